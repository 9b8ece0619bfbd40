r"""One open transaction, as a pure machine: what it read and wrote, the calls that it made, and its end.

    OPEN --commit--> SETTLING --calls settled, work done--> PLACING --> DECIDING --outcome--> APPLYING --> OVER
      |                             |                                      \--never admitted--> OPEN
      |                             \--nothing was written--> VALIDATING --reads confirmed, or not--> OVER
      |--an answer about the data--> its reads are validated --> doomed with it, or with the conflict
      \--conflict, limit, time-out--> doomed: every later operation and commit is answered with the same error

Requests are carried out one at a time, in the order in which they came; the operations of a request in theirs. An answer
about the data (DATA_CODES) is given only once the reads that led to it are validated, like those of a transaction that
wrote nothing (protocol.md, sections 4 and 8); the session is doomed with it, because what should have followed did not
happen.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial

import msgspec

from grit.core.catalog import RealmDef
from grit.core.errors import DATA_CODES, Code, GritError, Kind
from grit.core.ids import Millis, Realm, TxnId, began_at
from grit.core.limits import Limits
from grit.core.messages import CommitAsked, SubmitAsked
from grit.core.operations import Operation, SessionToken
from grit.core.outcome import Outcome, State
from grit.core.parts import encode_part
from grit.sidecar.applied import Applied
from grit.sidecar.asking import Asking, Verdict
from grit.sidecar.calls import Call, Calls, is_within
from grit.sidecar.cut import NEVER, Cut
from grit.sidecar.events import (
    Answer,
    Answered,
    CallConfirmed,
    CallDone,
    CallDropped,
    CallJoined,
    CallOpened,
    CallTaken,
    CommitRequested,
    Committed,
    Effect,
    Event,
    Expired,
    Finished,
    Lost,
    OperationsAsked,
    Reply,
    Request,
    Results,
    RollbackRequested,
    RolledBack,
    Tick,
)
from grit.sidecar.execution import Execution, Work
from grit.sidecar.realm_part import RealmPart
from grit.sidecar.validation import Validation
from grit.sidecar.writes import ROOT

BRANCH_WAIT_MS = 2_000
"""A commit waits so long for operations of calls that were confirmed and have not arrived."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a transaction was begun.

    Attributes:
        deadline: When the home gives up, by the `now` of `step`.
        idempotency_key: "" = none. A transaction that wrote nothing ignores it.
        read_only: Writes are refused.
        snapshot: Reads are made on one cut, and need not be the newest.
        staleness_ms: Of a snapshot: how much older than the transaction its cut may be; 0 = it may be any.
        past: What the client has seen: no read shows less.
        age: What the GTM gave to the attempt before this one; 0 = first attempt.
        trace, origin: Travel with the commit.
    """

    deadline: Millis
    idempotency_key: str = ""
    read_only: bool = False
    snapshot: bool = False
    staleness_ms: int = 0
    past: SessionToken = SessionToken()
    age: int = 0
    trace: str = ""
    origin: str = ""
    limits: Limits = Limits()


class _Phase(Enum):
    OPEN = "open"
    SETTLING = "settling"
    PLACING = "placing"
    DECIDING = "deciding"
    APPLYING = "applying"
    VALIDATING = "validating"
    OVER = "over"


class _Job:
    """A request that waits or is being carried out; the same request may come twice, and is answered twice."""

    def __init__(self, request: int, work: Work, finish: Callable[[], None]) -> None:
        self.requests = [request]
        self.work = work
        self.finish = finish


class _Numbered:
    """The newest numbered request of a call, and its answer once there is one."""

    def __init__(self, sequence: int, job: _Job) -> None:
        self.sequence = sequence
        self.job = job
        self.reply: Reply | GritError | None = None


class Session:
    """A transaction at its home.

    Args:
        txid: Its id, which holds when it began.
        catalogue: Operations are validated against it before they come.
        options: How it was begun.
        ids: Numbers of questions, shared by all sessions of the process.
    """

    def __init__(self, txid: TxnId, catalogue: Mapping[Realm, RealmDef], options: Options, ids: Iterator[int]) -> None:
        self.txid = txid
        self._options = options
        self._effects: list[Effect] = []
        self._asking = Asking(ids, self._effects)
        self._calls = Calls(txid)
        self._execution = Execution(
            txid,
            catalogue,
            options.limits,
            self._asking,
            read_only=options.read_only,
            past=options.past,
            cut=self._cut(),
            done=self._work_done,
            failed=self._work_failed,
        )
        self._phase = _Phase.OPEN
        self._doom: GritError | None = None
        self._queue: deque[_Job] = deque()
        self._current: _Job | None = None
        self._numbered: dict[str, _Numbered] = {}
        self._committing: _Job | None = None
        self._commit: CommitRequested | None = None
        self._applied: Applied | None = None
        self._settling_since = Millis(0)
        self._owed_since: Millis | None = None
        self._now = Millis(0)

    def _cut(self) -> Cut | None:
        options = self._options
        if not options.snapshot:
            return None
        is_bounded = options.staleness_ms > 0
        return Cut(options.past.csn, Millis(began_at(self.txid) - options.staleness_ms) if is_bounded else NEVER)

    @property
    def is_over(self) -> bool:
        """Tell whether the session can be forgotten."""
        return self._phase == _Phase.OVER

    @property
    def is_deciding(self) -> bool:
        """Tell whether a commit is on its way, and its outcome must be waited for; or it has one."""
        return self._phase in (_Phase.DECIDING, _Phase.APPLYING)

    @property
    def _is_ending(self) -> bool:
        return self.is_deciding or self._phase in (_Phase.PLACING, _Phase.VALIDATING)

    @property
    def deadline(self) -> Millis:
        """Return when the home gives up."""
        return self._options.deadline

    def step(self, now: Millis, event: Event) -> list[Effect]:
        """Take one event at time `now`; return what is to be done, in order."""
        self._now = now
        if isinstance(event, Answered):
            self._asking.answered(now, event.message)
            self._go_on()
        elif isinstance(event, Lost):
            self._asking.lost(now, event.id)
            self._go_on()
        elif isinstance(event, Tick):
            self._tick()
        elif isinstance(event, Expired):
            self._expired(event.error)
        elif self.is_over:
            self._answer(event.request, self._doom or self._refusal("is over"))
        else:
            self._request(event)
        effects = self._effects[:]
        self._effects.clear()
        return effects

    # --- requests ------------------------------------------------------------------------------------

    def _request(self, event: Request) -> None:
        try:
            if isinstance(event, OperationsAsked):
                self._operations(event)
            elif isinstance(event, CommitRequested):
                self._commit_requested(event)
            elif isinstance(event, RollbackRequested):
                self._rollback(event)
            else:
                self._answer(event.request, CallTaken(self._call(event)))
        except GritError as error:
            self._answer(event.request, error)
        self._go_on()

    def _operations(self, event: OperationsAsked) -> None:
        if self._doom is not None:
            raise self._doom
        if self._is_repeated(event.call, event.sequence, event.request):
            return
        if self._is_ending or (self._commit is not None and event.call == ROOT):
            raise self._refusal("is committing: it takes no further operations")
        self._expect_fit(event.operations)
        if event.call != ROOT:
            call = self._calls.at(event.call)
            if call.is_dropped:
                raise GritError(Code.LOST_BRANCH, f"call {event.call} was given up by its caller")
        work = Work(event.call, event.operations, event.refusal)
        job = _Job(event.request, work, lambda: self._worked(job))
        self._enqueue(job, event.sequence)

    def _worked(self, job: _Job) -> None:
        work = job.work
        if work.call != ROOT:
            self._calls.at(work.call).arrived += len(work.results)
        self._reply(job, Results(tuple(work.results), self._realms(), self._execution.seen()))

    def _commit_requested(self, event: CommitRequested) -> None:
        if self._doom is not None:
            self._answer(event.request, self._doom)
            self._over(None, None, self._doom)
            return
        if self._phase != _Phase.OPEN or self._commit is not None:
            raise self._refusal("is committing already")
        work = self._last_work(event)
        if len(event.result) > self._options.limits.result_bytes:
            raise GritError(Code.TOO_LARGE, f"a result may have {self._options.limits.result_bytes:,} bytes")
        self._expect_fit(event.operations)
        for call_id, operations in event.confirmed:
            self._calls.at(call_id).confirmed = operations
        self._commit = event
        job = _Job(event.request, work, lambda: self._settle(job))
        self._enqueue(job, event.sequence)

    def _last_work(self, event: CommitRequested) -> Work:
        """Return the operations of a commit; those of one that was never admitted have been carried out."""
        before = self._numbered.get(ROOT)
        newest = 0 if before is None else before.sequence
        if before is not None and event.sequence and event.sequence == newest:
            work = Work(ROOT, ())
            work.results = before.job.work.results
            return work
        if event.sequence and event.sequence != newest + 1:
            raise GritError.bad_request(f"commit {event.sequence} of {self.txid} does not follow request {newest}")
        return Work(ROOT, (*event.conditions, *event.operations), event.refusal)

    def _rollback(self, event: RollbackRequested) -> None:
        if self._is_ending:
            raise self._refusal("is committing: ask Status for its outcome")
        if not event.validate:
            self._doomed(self._refusal("was rolled back"))
            self._answer(event.request, RolledBack(reads_valid=False))
            self._over(None, None, self._doom)
            return
        job = _Job(event.request, Work(ROOT, ()), lambda: self._check_and_end(job))
        if self._doom is None or (self._doom.kind == Kind.INVALID_REQUEST and self._doom.code not in DATA_CODES):
            self._queue.append(job)
            return
        self._rolled_back(job, None if self._doom.code in DATA_CODES else self._doom)

    def _check_and_end(self, job: _Job) -> None:
        self._committing = job
        self._phase = _Phase.VALIDATING
        self._validate(partial(self._rolled_back, job))

    def _rolled_back(self, job: _Job, stale: GritError | None) -> None:
        self._committing = None
        self._reply(job, RolledBack(reads_valid=stale is None, stale=stale))
        self._over(None, None, stale or self._refusal("was rolled back"))

    def _call(self, event: CallOpened | CallJoined | CallDone | CallConfirmed | CallDropped) -> str:
        if self._is_ending:
            raise self._refusal("is committing: its calls are settled")
        if self._doom is not None and not isinstance(event, CallDropped):
            raise self._doom
        if isinstance(event, CallOpened):
            return self._calls.open(event.parent)
        if isinstance(event, CallJoined):
            self._calls.join(event.call, event.run)
        elif isinstance(event, CallDone):
            self._calls.at(event.call).done = event.operations
        elif isinstance(event, CallConfirmed):
            self._calls.at(event.call).confirmed = event.operations
        else:
            self._drop(event.call)
        return event.call

    def _drop(self, call_id: str) -> None:
        """Take out what a call and its own calls did; whatever else was made of it cannot stand without it."""
        gone = self._calls.drop(call_id)
        for job in (*self._queue, *([self._current] if self._current else [])):
            job.work.is_dropped = job.work.is_dropped or job.work.call in gone
        try:
            for _, part in sorted(self._execution.parts.items()):
                part.buffer.drop(gone)
        except GritError as error:
            self._doomed(GritError(Code.LOST_BRANCH, f"without the dropped call {call_id}: {error.message}"))
            return
        if self._execution.seen_elsewhere & gone:
            text = f"what the dropped call {call_id} wrote has been read outside of it"
            self._doomed(GritError(Code.LOST_BRANCH, text))

    def _is_repeated(self, call: str, sequence: int, request: int) -> bool:
        """Answer a numbered request that has come before; refuse one that leaves a gap."""
        before = self._numbered.get(call)
        newest = 0 if before is None else before.sequence
        if not sequence or sequence == newest + 1:
            return False
        if before is None or sequence != newest:
            raise GritError.bad_request(f"request {sequence} of {call or self.txid} does not follow {newest}")
        if before.reply is None:
            before.job.requests.append(request)
        else:
            self._answer(request, before.reply)
        return True

    def _enqueue(self, job: _Job, sequence: int) -> None:
        if sequence:
            self._numbered[job.work.call] = _Numbered(sequence, job)
        self._queue.append(job)

    def _expect_fit(self, operations: tuple[Operation, ...]) -> None:
        most = self._options.limits.operations_per_request
        if len(operations) > most:
            raise GritError(Code.TOO_LARGE, f"a request may hold {most:,} operations; this has {len(operations):,}")

    # --- work ----------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin what waits; when nothing does, a commit may be sent."""
        while self._current is None and not self.is_over:
            job = self._next_job()
            if job is None:
                break
            self._queue.remove(job)
            self._current = job
            self._execution.run(job.work)
        if self._phase == _Phase.SETTLING and self._current is None:
            self._try_to_decide()

    def _next_job(self) -> _Job | None:
        """Return what is to run next: first what a call still owes that its caller has seen come back.

        Its writes travel while it answers. *A read that overtook them would not see what the transaction wrote.*
        """
        owing = self._calls.owing()
        if not owing:
            self._owed_since = None
            return self._queue[0] if self._queue else None
        self._owed_since = self._now if self._owed_since is None else self._owed_since
        return next((job for job in self._queue if is_within(job.work.call, owing)), None)

    def _work_done(self) -> None:
        job = self._current
        assert job is not None
        self._current = None
        job.finish()

    def _work_failed(self, error: GritError) -> None:
        if error.code in DATA_CODES:
            self._validate(lambda stale: self._doomed(stale or error))
        elif error.code == Code.LOST_BRANCH and self._current is not None and self._current.work.is_dropped:
            job, self._current = self._current, None
            self._reply(job, error)
        else:
            self._doomed(error)

    def _doomed(self, error: GritError) -> None:
        """Answer everything that waits, and everything that comes, with this error."""
        self._doom = self._doom or error
        self._asking.forget()
        self._execution.stop()
        waiting = [*([self._current] if self._current else []), *self._queue]
        if self._committing is not None and self._committing not in waiting:
            waiting.append(self._committing)
        self._current, self._committing = None, None
        self._queue.clear()
        for job in waiting:
            self._reply(job, self._doom)
        if self._commit is not None:
            self._over(None, None, self._doom)

    # --- commit --------------------------------------------------------------------------------------

    def _settle(self, job: _Job) -> None:
        self._committing = job
        self._phase = _Phase.SETTLING
        self._settling_since = self._now

    def _try_to_decide(self) -> None:
        unsettled = self._calls.unsettled()
        broken = next((call for call in unsettled if call.is_broken), None)
        if broken is not None:
            text = f"call {broken.call_id} made {broken.arrived} operations, its caller saw {broken.confirmed}"
            self._doomed(GritError(Code.LOST_BRANCH, text))
        elif not unsettled:
            self._decide()
        elif self._now - self._settling_since >= BRANCH_WAIT_MS:
            self._doomed(_lost_branch(unsettled[0]))

    def _decide(self) -> None:
        if any(len(part.buffer) for part in self._touched()):
            self._phase = _Phase.PLACING
            self._execution.place(self._send_parts)
        else:
            self._phase = _Phase.VALIDATING
            self._validate(self._validated)

    def _send_parts(self) -> None:
        """Commit what was written; a realm that was only read takes part too, unless a snapshot has read it."""
        commit = self._commit
        assert commit is not None
        parts = tuple(
            (part.realm, encode_part(part.part()))
            for part in self._touched()
            if len(part.buffer) or not self._options.snapshot
        )
        size, most = sum(len(data) for _, data in parts), self._options.limits.transaction_bytes
        if size > most:
            self._doomed(
                GritError(Code.TOO_LARGE, f"the transaction has {size:,} bytes; it may have {most:,}: split it")
            )
            return
        self._phase = _Phase.DECIDING
        self._ask_verdict(parts, commit.result)

    def _ask_verdict(self, parts: tuple[tuple[Realm, bytes], ...], result: bytes) -> None:
        """Send the commit to its arbiter: the one realm, unless a key or an age needs the GTM."""
        options, txid = self._options, self.txid
        key = options.idempotency_key
        is_local = len(parts) == 1 and not key and not options.age
        arbiter = parts[0][0] if is_local else None

        def make(number: int) -> CommitAsked | SubmitAsked:
            if is_local:
                return CommitAsked(number, txid, parts[0][1], options.trace, options.origin)
            kept = result if key else b""
            return SubmitAsked(number, txid, options.age, parts, key, kept, options.trace, options.origin)

        self._asking.ask(Verdict(txid, arbiter, make, partial(self._decided, arbiter)))

    def _decided(self, arbiter: Realm | None, verdict: Outcome | GritError) -> None:
        job = self._committing
        assert job is not None
        self._committing = None
        if isinstance(verdict, GritError):
            # Never admitted, and all work is done: the same commit may come again.
            self._phase, self._commit = _Phase.OPEN, None
            self._reply(job, verdict)
            return
        who = arbiter if arbiter is not None else Realm("")
        if verdict.state == State.COMMITTED:
            repeated = verdict.txid != self.txid
            token = self._token(verdict, arbiter)
            reply = Committed(verdict, self._realms(), tuple(job.work.results), repeated, token)
            self._await_applied(job, reply, partial(self._over, verdict, who, None))
            return
        error = verdict.error()
        self._reply(job, error)
        self._over(verdict if verdict.state == State.ABORTED else None, who, error)

    def _await_applied(self, job: _Job, reply: Committed, over: Callable[[], None]) -> None:
        """Answer a commit; when the databases have it, if that was asked for."""

        def answer(*, is_applied: bool) -> None:
            self._applied = None
            self._reply(job, msgspec.structs.replace(reply, is_applied=is_applied))
            over()

        if self._commit is None or not self._commit.ack_applied:
            answer(is_applied=False)
            return
        self._phase = _Phase.APPLYING
        written = [part.realm for part in self._touched() if len(part.buffer)]
        self._applied = Applied(written, reply.outcome, self._asking, lambda done: answer(is_applied=done), self._now)
        self._applied.start()

    def _validate(self, then: Callable[[GritError | None], None]) -> None:
        """Validate the reads so far; `then` takes None when they are current, else why the transaction must abort.

        A snapshot has none to validate: what it saw was true together, on its cut.
        """
        Validation(self._touched(), self._asking, then).start()

    def _validated(self, stale: GritError | None) -> None:
        """End a transaction that wrote nothing: nobody but its home knows of it."""
        job = self._committing
        assert job is not None
        self._committing = None
        if stale is not None:
            self._reply(job, stale)
            self._over(None, None, stale)
            return
        outcome = Outcome(self.txid, State.COMMITTED)
        token = self._token(outcome, None)
        results = tuple(job.work.results)
        self._reply(job, Committed(outcome, self._realms(), results, token=token, is_applied=True))
        self._over(outcome, None, None)

    def _token(self, outcome: Outcome, arbiter: Realm | None) -> SessionToken:
        """Return what was read, and what was committed: a local has its Lsn, a global its Csn."""
        lsns = {} if arbiter is None else {arbiter: outcome.lsn}
        return self._execution.seen().merged(SessionToken(lsns, outcome.csn))

    def _touched(self) -> list[RealmPart]:
        return [part for _, part in sorted(self._execution.parts.items()) if part.is_touched]

    def _realms(self) -> tuple[Realm, ...]:
        return tuple(part.realm for part in self._touched())

    # --- time and the end ----------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self.is_deciding and self._now >= self._options.deadline:
            text = (
                f"transaction {self.txid} was open for longer than it may be; begin it with more time, or do less in it"
            )
            self._expired(GritError(Code.TIMED_OUT, text))
            return
        self._asking.tick(self._now)
        if self._applied is not None:
            self._applied.tick(self._now)
        self._go_on()
        if self._owed_since is not None and self._now - self._owed_since >= BRANCH_WAIT_MS and not self.is_over:
            self._doomed(_lost_branch(self._calls.unsettled()[0]))

    def _expired(self, error: GritError) -> None:
        if self._applied is not None:
            self._applied.give_up()
        elif not self.is_deciding and not self.is_over:
            self._doomed(error)
            self._over(None, None, self._doom)

    def _over(self, outcome: Outcome | None, arbiter: Realm | None, error: GritError | None) -> None:
        if self.is_over:
            return
        self._phase = _Phase.OVER
        self._asking.forget()
        self._doom = error or self._refusal("is committed")
        self._effects.append(Finished(outcome, arbiter, error))

    def _reply(self, job: _Job, reply: Reply | GritError) -> None:
        numbered = self._numbered.get(job.work.call)
        if numbered is not None and numbered.job is job:
            numbered.reply = reply
        for request in job.requests:
            self._answer(request, reply)

    def _answer(self, request: int, reply: Reply | GritError) -> None:
        self._effects.append(Answer(request, reply))

    def _refusal(self, state: str) -> GritError:
        return GritError(Code.NO_SUCH_TRANSACTION, f"transaction {self.txid} {state}")


def _lost_branch(call: Call) -> GritError:
    what = "its answer was never confirmed" if call.confirmed is None else f"{call.confirmed} were confirmed"
    return GritError(Code.LOST_BRANCH, f"call {call.call_id}: {call.arrived} operations arrived, {what}")
