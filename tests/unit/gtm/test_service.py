"""The shell of the GTM: real links within one process, a log in memory, and DBTMs that say yes to everything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from grit.core.errors import Code
from grit.core.ids import Csn, Epoch, Realm, make_txn_id
from grit.core.messages import (
    DbtmHello,
    Decided,
    Declined,
    DescribeAnswered,
    DescribeAsked,
    GtmHello,
    Message,
    OutcomeAnswered,
    SubmitAsked,
    Vote,
    VoteAsked,
    Votes,
)
from grit.core.outcome import Outcome, State
from grit.core.records import Fence, encode_log_record
from grit.core.steps import Trace
from grit.log.memory import MemoryLog
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.port import Link, LinkCallbacks
from grit.runtime.loop import wall_clock
from gtm.app import GtmRole
from gtm.config import GtmConfig
from tests.unit.gtm.rig import A, B

LIMIT_S = 20
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Mailbox:
    """Keeps what comes over links, and lets one wait for it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.closed: list[str] = []
        self.link: Link[Message] | None = None
        self._came = asyncio.Event()

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        return LinkCallbacks(self.on_open, self.on_message, self.on_closed)

    def on_open(self, link: Link[Message]) -> None:
        self.link = link
        self._came.set()

    def on_message(self, link: Link[Message], message: Message) -> None:
        self.messages.append(message)
        self._came.set()

    def on_closed(self, link: Link[Message], reason: str) -> None:
        self.closed.append(reason)
        self._came.set()

    async def next_link(self) -> Link[Message]:
        """Return the link, once it is open."""
        await self.until(lambda: self.link is not None)
        assert self.link is not None
        return self.link

    async def answer(self, request: int) -> Message:
        """Return the answer to the request with this id."""
        await self.until(lambda: any(getattr(message, "id", None) == request for message in self.messages))
        return next(message for message in self.messages if getattr(message, "id", None) == request)

    async def closing(self) -> str:
        """Return why the first link ended."""
        await self.until(lambda: bool(self.closed))
        return self.closed[0]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until `is_true`, looking after everything that comes."""
        async with asyncio.timeout(LIMIT_S):
            while not is_true():
                self._came.clear()
                await self._came.wait()


class YesDbtm(Mailbox):
    """A DBTM that says yes, unless it is told to hold its votes back."""

    def __init__(self, realm: Realm) -> None:
        super().__init__()
        self.realm = realm
        self.is_holding = False
        self.held: list[VoteAsked] = []

    def on_message(self, link: Link[Message], message: Message) -> None:
        if isinstance(message, GtmHello):
            link.send(DbtmHello(self.realm, message.gtm_epoch, Epoch(1), 0, ()))
        elif isinstance(message, VoteAsked) and self.is_holding:
            self.held.append(message)
        elif isinstance(message, VoteAsked):
            self.vote(message)
        super().on_message(link, message)

    def vote(self, asked: VoteAsked) -> None:
        """Say yes to all parts."""
        assert self.link is not None
        votes = tuple(Vote(part[0]) for part in asked.parts)
        self.link.send(Votes(asked.gtm_epoch, Epoch(1), asked.round, votes))


class Cluster:
    """A GTM, two DBTMs, one sidecar."""

    def __init__(self) -> None:
        self.links = InProcessLinks[Message]()
        self.log = MemoryLog("gtl")
        self.traces: list[Trace] = []
        self.dbtms = {A: YesDbtm(A), B: YesDbtm(B)}
        self.sidecar = Mailbox()
        self._is_fenced = False

    def role(self) -> GtmRole:
        """Return a new GTM process."""
        addresses = {realm: [f"dbtm {realm}"] for realm in self.dbtms}
        return GtmRole(self.log, self.links, "gtm", addresses, config=GtmConfig(), trace=self.traces.append)

    async def start(self, role: GtmRole) -> None:
        """Start a GTM, wait until it leads and its realms can vote, and dial it."""
        await role.start()
        await _until(lambda: role.describe()["state"] == "SERVING")
        if not self._is_fenced:
            self._is_fenced = True
            for realm in self.dbtms:
                await self.log.append(encode_log_record(Fence(realm, Epoch(1))))
        await _until(lambda: all(facts["link"] == "usable" for facts in role.describe()["realms"].values()))


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Cluster, GtmRole]]:
    made = Cluster()
    servers = [
        await made.links.listen(f"dbtm {realm}", "dbtm", realm, dbtm.callbacks) for realm, dbtm in made.dbtms.items()
    ]
    role = made.role()
    await made.start(role)
    dialer = made.links.dial("gtm", "sidecar", "shop", made.sidecar.callbacks)
    try:
        yield made, role
    finally:
        await dialer.close()
        await role.close()
        for server in servers:
            await server.close()


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        for _ in iter(is_true, True):
            await asyncio.sleep(0.001)


def submit(request: int) -> SubmitAsked:
    txid = make_txn_id(wall_clock(), chance=request)
    return SubmitAsked(request, txid, 0, ((A, b"in a"), (B, b"in b")), trace=TRACEPARENT)


async def test_a_transaction_commits_over_links_and_a_log() -> None:
    async with cluster() as (made, _):
        link = await made.sidecar.next_link()
        request = submit(7)
        link.send(request)
        answer = await made.sidecar.answer(7)
        assert isinstance(answer, OutcomeAnswered)
        assert answer.outcome == Outcome(request.txid, State.COMMITTED, csn=Csn(1))
        pushed = [message for message in made.dbtms[B].messages if isinstance(message, Decided) and message.decisions]
        assert [decision.txid for message in pushed for decision in message.decisions] == [request.txid]
        assert [(trace.name, trace.parent) for trace in made.traces] == [("commit", TRACEPARENT)]


async def test_a_restarted_process_goes_on_with_the_next_number() -> None:
    async with cluster() as (made, first):
        link = await made.sidecar.next_link()
        link.send(submit(1))
        await made.sidecar.answer(1)
        made.sidecar.link = None
        await first.close()
        second = made.role()
        await made.start(second)
        link = await made.sidecar.next_link()
        link.send(submit(2))
        answer = await made.sidecar.answer(2)
        assert isinstance(answer, OutcomeAnswered)
        assert answer.outcome.csn == 2
        await second.close()


async def test_draining_finishes_what_is_in_progress_and_declines_what_is_new() -> None:
    async with cluster() as (made, role):
        made.dbtms[A].is_holding = True
        link = await made.sidecar.next_link()
        link.send(submit(1))
        await made.dbtms[A].until(lambda: bool(made.dbtms[A].held))
        draining = asyncio.create_task(role.drain())
        await asyncio.sleep(0)
        link.send(submit(2))
        declined = await made.sidecar.answer(2)
        assert isinstance(declined, Declined)
        assert declined.code == Code.SHUTTING_DOWN
        assert not draining.done()
        made.dbtms[A].vote(made.dbtms[A].held[0])
        async with asyncio.timeout(LIMIT_S):
            await draining
        answer = await made.sidecar.answer(1)
        assert isinstance(answer, OutcomeAnswered)
        assert answer.outcome.state == State.COMMITTED


async def test_whoever_dials_may_ask_how_it_is() -> None:
    async with cluster() as (made, _):
        link = await made.sidecar.next_link()
        link.send(DescribeAsked(3))
        answer = await made.sidecar.answer(3)
        assert isinstance(answer, DescribeAnswered)
        assert answer.facts["state"] == "SERVING"


async def test_a_dbtm_that_dials_the_gtm_is_sent_away_with_the_reason() -> None:
    async with cluster() as (made, _):
        stranger = Mailbox()
        dialer = made.links.dial("gtm", "dbtm", "a", stranger.callbacks)
        assert "the GTM dials the DBTMs" in await stranger.closing()
        await dialer.close()
