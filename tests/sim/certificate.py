"""A certificate of strict serializability in linear time, for runs of any length (protocol.md section 10).

Every transaction gets the instant at which it took place: a local, its certification; a global, the landing of its record
in the GTL, then its place in it; one that wrote nothing, the moment when its reads were done. In the order of these instants
every answer must be what the model says, and every instant must lie between request and answer. So order and real time are
checked without search. An error about the data changes nothing: it must be right at some instant of its attempt.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from grit.checker.check import Histories
from grit.core.catalog import RealmDef
from grit.core.ids import Realm, TxnId
from tests.sim.chronicle import Chronicle
from tests.sim.oracle import Attempt, Model, State, fingerprint

Instant = tuple[int, int]
"""A moment of the world, and the place within it."""


def find_uncertified(
    attempts: Sequence[Attempt],
    chronicle: Chronicle,
    histories: Histories,
    realms: Mapping[Realm, RealmDef],
    final: State,
) -> list[str]:
    """Return what breaks the certificate, one a line; empty when it holds."""
    instants = instants_of(chronicle, histories)
    placed, lost = _placed(attempts, instants)
    if lost:
        return lost
    walk = _Walk(Model(realms))
    walk.go(placed)
    errors = [attempt for attempt in attempts if attempt.error]
    return [*walk.broken, *_broken_time(placed), *walk.wrong_errors(errors), *walk.wrong_end(final)]


def instants_of(chronicle: Chronicle, histories: Histories) -> dict[TxnId, Instant]:
    """Return when everything that is in the logs took place."""
    instants: dict[TxnId, Instant] = {}
    for decision in histories.gtl.committed():
        instants[decision.entry.txid] = (chronicle.landed["gtl"][decision.offset], decision.csn)
    for realm, history in histories.realms.items():
        for transaction in history.transactions:
            txid, lsn = transaction.entry.txid, transaction.lsn
            moment = chronicle.admitted.get((realm, lsn, txid))
            if moment is not None:
                instants[txid] = (moment, lsn)
    return instants


def _placed(
    attempts: Sequence[Attempt], instants: Mapping[TxnId, Instant]
) -> tuple[list[tuple[Instant, Attempt]], list[str]]:
    placed: list[tuple[Instant, Attempt]] = []
    lost: list[str] = []
    for attempt in attempts:
        instant = instants.get(attempt.name)
        if instant is None and attempt.checked:
            instant = (attempt.checked, 0)
        if attempt.error or not attempt.operations:
            continue  # what did nothing took place nowhere, and anywhere
        if instant is not None:
            placed.append((instant, attempt))
        elif attempt.sure:
            lost.append(f"certificate: {attempt.name} was acknowledged and took place nowhere")
    return sorted(placed, key=lambda pair: pair[0]), lost


def _broken_time(placed: Sequence[tuple[Instant, Attempt]]) -> Iterator[str]:
    for (moment, _), attempt in placed:
        if moment < attempt.began or (attempt.sure and moment > attempt.ended):
            yield f"certificate: {attempt.name} took place at {moment}, outside of ({attempt.began}, {attempt.ended})"


class _Walk:
    """The states of a serial run, and the answers that do not fit."""

    def __init__(self, model: Model) -> None:
        self.broken: list[str] = []
        self._model = model
        self._moments: list[int] = []
        self._states: list[State] = [{}]

    def go(self, placed: Sequence[tuple[Instant, Attempt]]) -> None:
        for (moment, _), attempt in placed:
            after = self._model.replay(attempt, self._states[-1])
            if after is None:
                self.broken.append(f"certificate: at its place {attempt.name} is answered otherwise: {attempt}")
                after = self._states[-1]
            self._moments.append(moment)
            self._states.append(after)

    def wrong_errors(self, attempts: Sequence[Attempt]) -> Iterator[str]:
        for attempt in attempts:
            first, last = (bisect_right(self._moments, at) for at in (attempt.began, attempt.ended))
            if all(self._model.replay(attempt, state) is None for state in self._states[first : last + 1]):
                yield f"certificate: {attempt.name} was told {attempt.error}, which was true at no moment of it: {attempt}"

    def wrong_end(self, final: State) -> Iterator[str]:
        if fingerprint(self._states[-1]) != fingerprint(final):
            yield f"certificate: the databases end with {final}, the serial order with {self._states[-1]}"
