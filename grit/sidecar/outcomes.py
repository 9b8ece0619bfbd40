"""What became of a transaction or of an idempotency key: the home's memory first, then the arbiters.

A txid has one arbiter. Who does not know which asks every candidate: COMMITTED if one says so, ABORTED when all have
refused it (protocol.md, section 7). Asking settles: a txid that an arbiter does not know can never commit afterwards.
"""

import asyncio
from collections.abc import Iterable, Sequence

from grit.core.errors import Code, GritError
from grit.core.ids import Realm, TxnId
from grit.core.messages import CancelAsked, Declined, DescribeAnswered, DescribeAsked, OutcomeAnswered, StatusAsked
from grit.core.outcome import Outcome, State, aborted
from grit.sidecar.peers import Asked, Asker, PeerAnswer, Peers, is_following
from grit.sidecar.sessions import Sessions

GIVE_UP_S = 10.0
RETRY_S = 0.05
DESCRIBE_S = 1.0


class Outcomes:
    """Answers Status and Cancel, and asks the roles how they are."""

    def __init__(self, sessions: Sessions, peers: Peers, realms: Sequence[Realm]) -> None:
        self._sessions = sessions
        self._peers = peers
        self._realms = sorted(realms)

    async def of_transaction(self, txid: TxnId, realms: Iterable[Realm]) -> Outcome:
        """Return what became of it; `realms`: where it may have been committed, none = not known.

        Raises:
            GritError: Unavailable, when an arbiter does not answer.
        """
        if self._sessions.is_open(txid):
            return Outcome(txid, State.RUNNING)
        ended = self._sessions.ended(txid)
        if ended is not None and ended.outcome is not None:
            return ended.outcome
        if ended is not None and ended.arbiter is None:
            assert ended.error is not None
            return aborted(txid, _abort_code(ended.error), ended.error.message)
        if ended is not None and ended.arbiter is not None:
            return await self._ask(ended.arbiter or None, txid)
        return await self._ask_all(txid, sorted(set(realms)) or self._realms)

    async def of_key(self, key: str) -> Outcome:
        """Return what became of an idempotency key.

        Raises:
            GritError: Unavailable.
        """
        return await self._settled(None, StatusAsked(next(self._peers.ids), TxnId(""), key))

    async def cancel(self, key: str) -> Outcome:
        """Refuse a key for good; return what stands.

        Raises:
            GritError: Unavailable.
        """
        return await self._settled(None, CancelAsked(next(self._peers.ids), key))

    async def describe(self, realm: Realm | None) -> dict[str, object] | str:
        """Return how the leader of a role is, or why it does not say; a standby's answer is the last resort."""
        try:
            async with asyncio.timeout(DESCRIBE_S):
                answer = await self._answer(realm, DescribeAsked(next(self._peers.ids)))
                if isinstance(answer, DescribeAnswered) and is_following(answer.facts):
                    answer = await self._answer(realm, DescribeAsked(next(self._peers.ids))) or answer
        except TimeoutError:
            return f"no answer within {DESCRIBE_S:g} s"
        if answer is None:
            return "its link broke"
        if isinstance(answer, Declined):
            return answer.message
        assert isinstance(answer, DescribeAnswered)
        return answer.facts

    async def _ask_all(self, txid: TxnId, realms: Sequence[Realm]) -> Outcome:
        unknown = [realm for realm in realms if realm not in self._realms]
        if unknown:
            raise GritError(Code.UNKNOWN_COLLECTION, f'unknown realm "{unknown[0]}"')
        outcomes = await asyncio.gather(self._ask(None, txid), *(self._ask(realm, txid) for realm in realms))
        order = (State.COMMITTED, State.RUNNING, State.UNKNOWN, State.ABORTED)
        return min(outcomes, key=lambda outcome: order.index(outcome.state))

    async def _ask(self, arbiter: Realm | None, txid: TxnId) -> Outcome:
        return await self._settled(arbiter, StatusAsked(next(self._peers.ids), txid))

    async def _settled(self, arbiter: Realm | None, asked: StatusAsked | CancelAsked) -> Outcome:
        """Ask until there is an answer: asking twice does no harm."""
        last = "its link broke"
        try:
            async with asyncio.timeout(GIVE_UP_S):
                while True:
                    answer = await self._answer(arbiter, asked)
                    if isinstance(answer, OutcomeAnswered):
                        return answer.outcome
                    if isinstance(answer, Declined):
                        last = answer.message
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            who = "the GTM" if arbiter is None else f"realm {arbiter}"
            raise GritError(Code.NO_LEADER, f"{who} does not answer: {last}", retry_after_ms=500) from None

    async def _answer(self, realm: Realm | None, asked: Asked) -> PeerAnswer | None:
        """Return the answer; None when the link broke."""
        future: asyncio.Future[PeerAnswer | None] = asyncio.get_running_loop().create_future()

        def settle(answer: PeerAnswer | None) -> None:
            if not future.done():
                future.set_result(answer)

        self._peers.ask(realm, asked, Asker(settle, lambda: settle(None)))
        return await future


def _abort_code(error: GritError) -> Code:
    """Return the code of a transaction that ended before its commit was sent: it has no effect, for ever."""
    return error.code if error.code != Code.NO_SUCH_TRANSACTION else Code.REFUSED
