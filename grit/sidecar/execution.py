"""Carries out the operations of one request: writes into the buffers, reads from the realms at one position each.

Operations are taken in order until one must know what is read (a detaching delete) or they end; then all reads so far
are asked for, one question a realm, and joined in order. An answer that is not true at the position of the part is held
back until the realm has said that nothing read before was overwritten up to the answer's own position: so the code never
sees two moments of one realm (protocol.md, section 4). *Extending to the tail at the time of the answer is a lost update.*

A snapshot transaction reads on one cut: the answers of a segment are held back until all its realms lie on it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeGuard

import msgspec

from grit.core.catalog import RealmDef
from grit.core.errors import Code, GritError
from grit.core.ids import Csn, Lsn, Realm, TxnId
from grit.core.limits import Limits
from grit.core.messages import ExtendAnswered, ExtendAsked, ReadAnswered, ReadAsked, Within
from grit.core.operations import Change, Condition, Delete, Nothing, Operation, Result, SessionToken
from grit.core.parts import Write
from grit.core.queries import Query
from grit.sidecar.asking import Asking, Question, RealmAnswer, Who
from grit.sidecar.cut import Cut
from grit.sidecar.reads import ConditionPlan, DetachPlan, Plan, Rows, plan_read
from grit.sidecar.realm_part import RealmPart
from grit.sidecar.validation import stale_error
from grit.sidecar.writes import write_of


class Work:
    """Operations of one request.

    Attributes:
        call: Whose they are.
        results: Of those carried out, in order; a condition has none.
        refusal: What is wrong with the step after the last.
        is_dropped: The call was given up: no further operation has any effect.
    """

    def __init__(self, call: str, steps: tuple[Condition | Operation, ...], refusal: GritError | None = None) -> None:
        self.call = call
        self.refusal = refusal
        self.results: list[Result] = []
        self.is_dropped = False
        self._steps = steps
        self._at = 0

    def next(self) -> Condition | Operation | None:
        """Take the next step; None at the end."""
        if self._at == len(self._steps):
            return None
        self._at += 1
        return self._steps[self._at - 1]


class _Segment:
    """Reads that are asked for together. `places`: where in the results each belongs, None = nowhere."""

    def __init__(self) -> None:
        self.plans: list[tuple[int | None, Plan]] = []
        self.rows: dict[int, tuple[Rows, ...]] = {}
        self.waiting: set[Realm] = set()
        self.answers: dict[Realm, ReadAnswered] = {}
        self.then: Callable[[], None] | None = None

    def queries(self) -> dict[Realm, tuple[Query, ...]]:
        """Return what each realm is asked, in the order of the plans."""
        out: dict[Realm, tuple[Query, ...]] = {}
        for _, plan in self.plans:
            if plan.queries:
                out[plan.realm] = (*out.get(plan.realm, ()), *plan.queries)
        return out

    def take(self, realm: Realm, rows: tuple[Rows, ...]) -> None:
        """Give the rows of a realm to its plans."""
        at = 0
        for index, (_, plan) in enumerate(self.plans):
            if plan.realm == realm and plan.queries:
                self.rows[index] = rows[at : at + len(plan.queries)]
                at += len(plan.queries)


class Execution:
    """Runs one `Work` at a time.

    Args:
        parts: Filled in as work is done; realm -> its part.
        read_only: Writes are refused.
        past: What the client has seen: no read shows less.
        cut: Where a snapshot transaction reads; None: at the newest state, which is validated later.
        done: Called when the work has come to its end.
        failed: Called instead, with an answer about the data, an abort, or a limit.
    """

    def __init__(
        self,
        txid: TxnId,
        catalogue: Mapping[Realm, RealmDef],
        limits: Limits,
        asking: Asking,
        *,
        read_only: bool,
        past: SessionToken,
        cut: Cut | None,
        done: Callable[[], None],
        failed: Callable[[GritError], None],
    ) -> None:
        self.parts: dict[Realm, RealmPart] = {}
        self.seen_elsewhere: set[str] = set()
        """Calls whose writes another call, or the root, has seen."""
        self._txid = txid
        self._catalogue = catalogue
        self._limits = limits
        self._asking = asking
        self._read_only = read_only
        self._past = past
        self._cut = cut
        self._done = done
        self._failed = failed
        self._work: Work | None = None
        self._segment = _Segment()

    def seen(self) -> SessionToken:
        """Return what was read so far. A cut shows its least Csn, also where no realm that was read has a global at it."""
        read = [part for part in self.parts.values() if part.is_read]
        lsns = {part.realm: part.position for part in read}
        csns = [part.csn for part in read]
        if self._cut is not None and read:
            csns.append(self._cut.low)
        return SessionToken(lsns, max(csns, default=Csn(0)))

    def run(self, work: Work) -> None:
        """Begin."""
        assert self._work is None
        self._work = work
        self._go_on()

    def stop(self) -> None:
        """Leave the work as it is; the caller forgets the questions."""
        self._work = None

    def place(self, then: Callable[[], None]) -> None:
        """Give realms that a snapshot only writes their positions on its cut; `then`: when they have them.

        One that has read nothing anywhere has no cut: its writes are blind.
        """
        is_placed = any(part.is_placed for part in self.parts.values())
        new = [part for _, part in sorted(self.parts.items()) if len(part.buffer) and not part.is_placed]
        if self._cut is None or not is_placed or not new:
            then()
            return
        self._segment = _Segment()
        self._segment.then = then
        self._segment.waiting = {part.realm for part in new}
        for part in new:
            self._ask_on_cut(part, (), self._cut.within())

    def _go_on(self) -> None:
        """Take steps until the realms must be asked, or the end."""
        work = self._work
        assert work is not None
        try:
            while self._collect(work):
                queries = self._segment.queries()
                if queries:
                    self._ask(queries)
                    return
                self._join(work)
        except GritError as error:
            self._fail(error)
            return
        self._work = None
        self._done()

    def _collect(self, work: Work) -> bool:
        """Buffer writes and gather reads; tell whether there is anything to join."""
        self._segment = _Segment()
        while (step := work.next()) is not None:
            if work.is_dropped:
                raise GritError(Code.LOST_BRANCH, f"call {work.call} was given up by its caller")
            if isinstance(step, Condition):
                self._segment.plans.append((None, ConditionPlan(step)))
                continue
            if self._read_only and isinstance(step, Change):
                raise GritError.bad_request(f"transaction {self._txid} was begun with read_only: it takes no writes")
            work.results.append(Nothing())
            if self._is_plain_write(step):
                self._write(work, step.realm, write_of(step))
                continue
            self._plan(work, step)
            if isinstance(step, Delete):
                break
        if step is None and work.refusal is not None and not self._segment.plans:
            raise work.refusal
        return bool(self._segment.plans)

    def _is_plain_write(self, step: Operation) -> TypeGuard[Change]:
        if not isinstance(step, Change):
            return False
        return not (isinstance(step, Delete) and step.detach)

    def _plan(self, work: Work, step: Operation) -> None:
        realm, buffer = self._catalogue[step.realm], self._part(step.realm).buffer
        plan: Plan
        if isinstance(step, Delete):
            plan = DetachPlan(realm, step, buffer)
        else:
            assert not isinstance(step, Change)
            plan = plan_read(step, realm, buffer)
        self.seen_elsewhere |= plan.seen - {work.call}
        self._segment.plans.append((len(work.results) - 1, plan))

    def _ask(self, queries: Mapping[Realm, tuple[Query, ...]]) -> None:
        self._segment.waiting = set(queries)
        for realm, asked in queries.items():
            part = self._part(realm)
            if self._cut is None:
                make = partial(self._read, part.wanted, asked, None)
                self._asking.ask(Question(realm, make, partial(self._answered, realm), self._fail, Who.LEADER_FIRST))
            else:
                self._ask_on_cut(part, asked, msgspec.structs.replace(self._cut.within(), is_placed=part.is_placed))

    def _read(self, position: Lsn, queries: tuple[Query, ...], within: Within | None, number: int) -> ReadAsked:
        return ReadAsked(number, self._txid, position, queries, within)

    def _ask_on_cut(self, part: RealmPart, queries: tuple[Query, ...], within: Within) -> None:
        make = partial(self._read, part.wanted, queries, within)
        self._asking.ask(Question(part.realm, make, partial(self._answered_on_cut, part), self._fail, Who.ANYBODY))

    def _answered_on_cut(self, part: RealmPart, answer: RealmAnswer) -> None:
        assert isinstance(answer, ReadAnswered)
        if part.is_placed and answer.position != part.position:
            text = f"realm {part.realm} no longer remembers what was written since Lsn {part.position:,}"
            self._fail(GritError(Code.TOO_OLD, text))
            return
        segment = self._segment
        segment.answers[part.realm] = answer
        segment.waiting.discard(part.realm)
        if not segment.waiting:
            self._settle(segment)

    def _settle(self, segment: _Segment) -> None:
        """Let the answers of a segment in once all lie on the cut; ask again where they do not."""
        assert self._cut is not None
        new = {realm: answer for realm, answer in segment.answers.items() if not self._part(realm).is_placed}
        try:
            again = self._cut.settle(new)
        except GritError as error:
            self._fail(error)
            return
        if again:
            segment.waiting = set(again)
            for realm, within in again.items():
                self._ask_on_cut(self._part(realm), segment.queries().get(realm, ()), within)
            return
        for realm, answer in segment.answers.items():
            self._part(realm).place(answer.position, answer.low)
            segment.take(realm, answer.rows)
        then = segment.then or self._finish_segment
        then()

    def _answered(self, realm: Realm, answer: RealmAnswer) -> None:
        assert isinstance(answer, ReadAnswered)
        part = self._part(realm)
        if not part.is_read:
            part.position = answer.position
        elif answer.exact_from > part.position:
            self._extend(part, answer)
            return
        self._accept(realm, answer)

    def _extend(self, part: RealmPart, answer: ReadAnswered) -> None:
        def make(number: int) -> ExtendAsked:
            return ExtendAsked(number, part.reads, part.position, answer.position)

        extended = partial(self._extended, part, answer)
        self._asking.ask(Question(part.realm, make, extended, self._fail, Who.LEADER_FIRST))

    def _extended(self, part: RealmPart, answer: ReadAnswered, extended: RealmAnswer) -> None:
        assert isinstance(extended, ExtendAnswered)
        stale = stale_error(part, extended)
        if stale is not None:
            self._fail(stale)
        else:
            part.position = answer.position
            self._accept(part.realm, answer)

    def _accept(self, realm: Realm, answer: ReadAnswered) -> None:
        part = self._part(realm)
        part.csn = max(part.csn, answer.low)
        self._segment.take(realm, answer.rows)
        self._segment.waiting.discard(realm)
        if not self._segment.waiting:
            self._finish_segment()

    def _finish_segment(self) -> None:
        work = self._work
        assert work is not None
        try:
            self._join(work)
        except GritError as error:
            self._fail(error)
            return
        self._go_on()

    def _join(self, work: Work) -> None:
        """Make results of the rows, in order; note every read before an error of any is told."""
        joined = [plan.finish(self._segment.rows.get(i, ())) for i, (_, plan) in enumerate(self._segment.plans)]
        for (_, plan), one in zip(self._segment.plans, joined, strict=True):
            if self._cut is None:
                self._part(plan.realm).note(one.reads)
            self._check_size(self._part(plan.realm))
        for (place, plan), one in zip(self._segment.plans, joined, strict=True):
            if one.error is not None:
                raise one.error
            if place is not None:
                work.results[place] = one.result
            for write in one.writes:
                self._write(work, plan.realm, write)

    def _write(self, work: Work, realm: Realm, write: Write) -> None:
        part = self._part(realm)
        part.buffer.add(work.call, write)
        self._check_size(part)

    def _part(self, realm: Realm) -> RealmPart:
        part = self.parts.get(realm)
        if part is None:
            part = self.parts[realm] = RealmPart(self._catalogue[realm], self._past.lsns.get(realm, Lsn(0)))
        return part

    def _check_size(self, part: RealmPart) -> None:
        limits = self._limits
        if part.keys > limits.keys_per_realm:
            text = f"realm {part.realm}: the transaction reads and writes more than {limits.keys_per_realm:,} keys"
            raise GritError(Code.TOO_LARGE, f"{text}: split it")
        if sum(one.bytes for one in self.parts.values()) > limits.transaction_bytes:
            raise GritError(
                Code.TOO_LARGE, f"the transaction holds more than {limits.transaction_bytes:,} bytes: split it"
            )

    def _fail(self, error: GritError) -> None:
        self._work = None
        self._failed(error)
