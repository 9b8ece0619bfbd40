"""Rules of protocol.md, sections 2 to 9, each taken out by a patch of the machines that run in production.

In the order of the page. What is patched is private: a rule is a line somewhere, and the line is what has to go.
"""

from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

import dbtm.locals
import dbtm.machine
import dbtm.merging
from dbtm.certify import Examined
from dbtm.confirming import Confirming
from dbtm.freeing import Freeing
from dbtm.history import History, conflict_of
from dbtm.jobs import StoreDesk
from dbtm.ledger import Ledger
from dbtm.locals import LocalCommits
from dbtm.machine import DbtmMachine
from dbtm.reading import Reading
from dbtm.voting import Voting
from grit.core.errors import Code
from grit.core.fold import DbtlFold, DbtlFolded, GtlFold, GtlFolded, _Fold
from grit.core.ids import Csn, Lsn
from grit.core.messages import Decided
from grit.core.ordering import ordered
from grit.core.outcome import Outcome, State, aborted
from grit.core.records import DbtmEpoch, Entries, GtmEpoch, Refused
from grit.sidecar.asking import Verdict
from grit.sidecar.calls import Calls
from grit.sidecar.execution import Execution
from grit.sidecar.session import Session
from grit.store.memory import MemoryStore
from gtm.machine import GtmMachine
from log_players.cursor import PlayerMachine
from tests.sim.mutation import FILES, Mutation, method

_take_record = Ledger.take_record
_apply_rows = MemoryStore.apply_now
_plan = Voting._plan
_decide = Voting._decide
_decided = Voting.decided
_asked = Voting.asked
_merge = Reading._merge
_tick = Freeing.tick
_hello = Voting.hello
_status = LocalCommits.status
_append_commits = GtmMachine._append_commits
_refuse = Freeing._refuse


# --- section 2: logs, folds, acknowledgement ------------------------------------------------------


def _claim_anything(self: Any, record: GtmEpoch | DbtmEpoch) -> bool:
    self.epoch, self.leader_id, self.address = record.epoch, record.leader_id, record.address
    self.resigned = False
    self._see(record.time)
    return True


def _refusals_of_anybody(self: DbtlFold, record: Refused) -> DbtlFolded:
    return DbtlFolded(valid=True, refused=self._refuse(record.txids))


def _epoch_is_mine_by_number(self: DbtmMachine, record: DbtmEpoch, valid: bool) -> None:
    mine = replace(record, leader_id=self._leader_id) if record.epoch == self.epoch else record
    _new_epoch(self, mine, valid)


_new_epoch = DbtmMachine._new_epoch


def _unknown_is_success(self: DbtmMachine | GtmMachine, event: Any) -> None:
    """An append of which nobody knows anything counts as if it were on its way."""


def _forget_nothing(self: Ledger) -> None:
    """What was in flight stays, though its record may be void."""


# --- section 3: records ---------------------------------------------------------------------------


def _fence_back(self: GtlFold, record: Any) -> bool:
    self.fences[record.realm] = record.epoch
    return True


def _counts_twice(self: GtlFold, entry: Any) -> bool:
    return entry.txid not in self.refused and all(self._vote_counts(part) for part in entry.parts)


def _through_of_all(self: Ledger, epoch: Any, time: Any, through: Any) -> Entries | None:
    """A record that takes only a part of what is decided says that it holds everything."""
    record = _take_record(self, epoch, time, through)
    return (
        None if record is None else replace(record, gtl_through=max(through, record.gtl_through, key=lambda t: t.csn))
    )


def _plan_of_the_vote(self: Voting, part: Any, write: Any) -> Any:
    return part.plans[write.collection, write.key]


# --- section 4: reads -----------------------------------------------------------------------------


def _merge_ahead(self: Reading, job: Any, answer: Any) -> None:
    """A database that is ahead of the own tail is merged at once: its rows are of a later position."""
    _merge(self, job, replace(answer, after=None))


def _keep_floor(self: History, durable: Lsn) -> None:
    """What is forgotten is still taken for remembered."""
    floor = self.floor
    _trim(self, durable)
    self.floor = floor


_trim = History.trim


def _answer_of_the_past(self: StoreDesk, question_id: int, answer: Any) -> bool:
    question = self._waiting.pop(question_id, None)
    if question is not None:
        question.then(answer)
    return True


def _data_error_at_once(self: Session, error: Any) -> None:
    self._doomed(error)


def _limited_plainly(query: Any, limit: int, rows: Any, _: Any) -> Any:
    return ordered(rows.items(), query.order_by)[:limit]


def _still_exact(self: Reading, asked: Any) -> Lsn:
    return asked.position or self._ledger.tail


# --- section 6: globals ---------------------------------------------------------------------------


def _decide_writers_only(self: Voting, txid: Any, csn: Csn, committed: bool) -> bool:
    part = self._ledger.pending.parts.get(txid)
    is_idle = part is not None and not part.writes
    return _decide(self, txid, csn, committed and not is_idle)


def _decided_without_chain(self: Voting, link: Any, message: Decided) -> bool:
    loose = tuple(replace(one, prev_csn=Csn(0)) for one in message.decisions)
    return _decided(self, link, replace(message, decisions=loose, last_csn=Csn(0)))


def _tick_times_out(self: Freeing) -> list[Any]:
    """A vote that was given is taken back after a while, by nobody's leave."""
    now = self._clock.now
    late = [t for t, part in self._pending.parts.items() if now - part.since >= self._limits.pending_fold_ms]
    return [*_tick(self), *late]


def _hello_at_once(self: Voting, link: Any, message: Any) -> None:
    """Answer a GTM whose epoch is not folded yet."""
    epoch, self.gtl.epoch = self.gtl.epoch, max(self.gtl.epoch, message.gtm_epoch)
    _hello(self, link, message)
    self.gtl.epoch = epoch


# --- section 7: leaders, refusals -----------------------------------------------------------------


def _status_guesses(self: LocalCommits, link: Any, asked: Any) -> bool:
    """A txid that is not known is called aborted, and nothing is written down."""
    if self.outcome_of(asked.txid) is None and not self.is_under_way(asked.txid):
        self._answer(link, asked.id, aborted(asked.txid, Code.REFUSED))
        return False
    return _status(self, link, asked)


def _say_before_the_fold(self: GtmMachine) -> None:
    """Outcomes are told when their record is handed to the log."""
    _append_commits(self)
    for admitted in list(self._outbox._sent):
        self._desk.finish(admitted.txn, Outcome(admitted.txn.txid, State.COMMITTED))


def _any_gtm_epoch(self: Voting, link: Any, asked: Any) -> None:
    """A GTM is answered although a newer one has been folded."""
    epoch, self.gtl.epoch = self.gtl.epoch, min(self.gtl.epoch, asked.gtm_epoch)
    _asked(self, link, asked)
    self.gtl.epoch = epoch


def _any_link(self: Voting, link: Any, asked: Any) -> None:
    """What an older link still delivers is taken."""
    link_now, self._link = self._link, link
    _asked(self, link, asked)
    self._link = link_now


def _extend_unasked(self: Execution, part: Any, answer: Any) -> None:
    """A later position is taken without asking whether the reads hold there."""
    part.position = answer.position
    self._accept(part.realm, answer)


def _refuse_at_once(self: Freeing) -> None:
    """What is waited for is refused without delay."""
    limits, self._limits = self._limits, replace(self._limits, pending_refuse_ms=100)
    _refuse(self)
    self._limits = limits


def _join_again(self: Calls, call_id: str, run: str) -> None:
    self.at(call_id)


def _keep_undecided(self: GtmMachine) -> None:
    """A new epoch goes on with the round of the one before."""
    self._voting._epoch = self._epoch


def _resend(self: Verdict, now: Any) -> int | None:
    """A commit whose answer is lost is sent again."""
    return self._wait(now, 0)


# --- section 8: strict readers --------------------------------------------------------------------


def _clean_despite_pending(self: Confirming, job: Any) -> None:
    asked, ledger = job.asked, self._ledger
    found = ledger.history.find_stale_read(asked.reads, asked.position, ledger.tail)
    if found is not None:
        self._answer(job, conflict_of(*found, self._realm, asked.position))
    else:
        self._clean.append(job)


def _confirmed_by_any(self: Confirming) -> None:
    """A record that was under way before the check confirms it too."""
    clean, self._clean = self._clean, []
    riding = self._riding.popleft() if self._riding else []
    for job in (*riding, *clean):
        self._answer(job)


# --- section 9: players ---------------------------------------------------------------------------


def _apply_rows_anyway(self: MemoryStore, expected: Any, writes: Any, reached: Any) -> bool:
    """The rows are written although another player has moved the cursor."""
    if self._cursor != expected:
        cursor = self._cursor
        self._cursor = expected
        _apply_rows(self, expected, writes, reached)
        self._cursor = cursor
        return False
    return _apply_rows(self, expected, writes, reached)


# --- the list -------------------------------------------------------------------------------------

UNIT = "tests/unit"


REMOVED = (
    Mutation("an epoch is valid only if it is greater", method(_Fold, "_claim", _claim_anything)),
    Mutation(
        "an epoch is mine only if its record carries my leader_id",
        method(DbtmMachine, "_new_epoch", _epoch_is_mine_by_number),
    ),
    Mutation(
        "a refusal in a DBTL counts only from its leader",
        method(DbtlFold, "_refusals", _refusals_of_anybody),
        f"{UNIT}/core/test_fold.py::test_a_refusal_in_a_dbtl_counts_from_its_leader_only",
    ),
    Mutation(
        "a realm is coordinated under one GTL: a claim under another is void",
        method(DbtlFold, "_dbtm_epoch", lambda self, record: DbtlFolded(valid=self._claim(record))),
        f"{UNIT}/core/test_fold.py::test_an_epoch_under_another_gtl_is_void_for_everybody",
    ),
    Mutation(
        "a DBTM whose append is unknown leads anew and answers from the fold",
        method(DbtmMachine, "_append_failed", _unknown_is_success),
    ),
    Mutation(
        "a GTM whose append is unknown leads anew and answers from the fold",
        method(GtmMachine, "_append_failed", _unknown_is_success),
    ),
    Mutation("what was in flight and is void is forgotten", method(Ledger, "forget_in_flight", _forget_nothing)),
    Mutation(
        "outcomes of globals are answered from the fold", method(GtmMachine, "_append_commits", _say_before_the_fold)
    ),
    Mutation(
        "a DBTM refuses a log that is shorter than, or another one than, what its database has applied",
        lambda: patch.object(dbtm.machine, "find_stranger", lambda *_: ""),
        f"{UNIT}/dbtm/test_leadership.py",
    ),
    Mutation(
        "a player refuses a log that has lost records",
        method(PlayerMachine, "_log_caught_up", lambda _: []),
        f"{UNIT}/log_players/test_player_shell.py::test_a_log_that_lost_records_is_refused_and_nothing_is_changed",
    ),
    Mutation(
        "a player compares its cursor with what the log says there",
        method(PlayerMachine, "_check_identity", lambda *_: None),
        f"{UNIT}/log_players/test_player_machine.py",
    ),
    Mutation(
        "a fence is valid only if it is greater",
        method(GtlFold, "_fence", _fence_back),
        f"{UNIT}/core/test_fold.py::test_a_fence_that_is_not_greater_is_void",
    ),
    Mutation(
        "a txid commits once",
        method(GtlFold, "_counts", _counts_twice),
        f"{UNIT}/core/test_fold.py::test_a_txid_commits_once",
    ),
    Mutation(
        "what began before now - 2L is voided",
        method(_Fold, "is_expired", lambda *_: False),
        f"{UNIT}/core/test_fold.py::test_an_entry_that_began_before_now_minus_2l_is_voided",
    ),
    Mutation(
        "a record says no more than it holds: gtl_through",
        method(Ledger, "take_record", _through_of_all),
        f"{UNIT}/dbtm/test_voting.py::test_through_never_claims_more_than_the_log_holds_when_a_record_takes_only_a_part",
    ),
    Mutation(
        "after-images are made when the Lsn is given, not at the vote", method(Voting, "_plan", _plan_of_the_vote)
    ),
    Mutation("a read waits until the own tail is where the database is", method(Reading, "_merge", _merge_ahead)),
    Mutation(
        "a limited read shows no row before which an unseen one may stand",
        lambda: patch.object(dbtm.merging, "_limited", _limited_plainly),
        f"{FILES}[limited_read_of_a_database_that_lags]",
    ),
    Mutation(
        "an answer says no earlier than it is since when it is true", method(Reading, "_exact_from", _still_exact)
    ),
    Mutation("a later position is taken only if the reads hold there", method(Execution, "_extend", _extend_unasked)),
    Mutation(
        "a database that went back makes the DBTM begin anew",
        method(StoreDesk, "answered", _answer_of_the_past),
        f"{UNIT}/dbtm/test_leadership.py::test_a_database_that_went_back_restarts_the_machine",
    ),
    Mutation("nothing is certified below the low watermark", method(History, "trim", _keep_floor)),
    Mutation(
        "errors about the data are reads too",
        method(Session, "_work_failed", _data_error_at_once),
        f"{FILES}[error_after_reads_of_two_moments]",
    ),
    Mutation("what a write counts on is a read", method(Examined, "derived_reads", lambda _: [])),
    Mutation("a commit is sent once", method(Verdict, "lose", _resend)),
    Mutation(
        "what began too long ago, or after now, is not admitted",
        lambda: patch.object(dbtm.locals, "check_age", lambda *_: None),
        f"{UNIT}/dbtm/test_locals.py::test_a_commit_that_began_too_long_ago_or_after_now_is_refused",
    ),
    Mutation(
        "a realm that lags too far takes no commits",
        lambda: patch.object(dbtm.locals, "find_backlog", lambda *_: None),
        f"{UNIT}/dbtm/test_admission.py",
    ),
    Mutation(
        "ABORTED is said of an unknown txid only behind a refusal",
        method(LocalCommits, "status", _status_guesses),
        f"{FILES}[status_of_a_commit_on_its_way]",
    ),
    Mutation("every participant gets an entry", method(Voting, "_decide", _decide_writers_only)),
    Mutation(
        "a push that leaves a hole makes the DBTM read the GTL", method(Voting, "decided", _decided_without_chain)
    ),
    Mutation("a vote that was given is never timed out", method(Freeing, "tick", _tick_times_out)),
    Mutation(
        "a part that is pending for long makes the DBTM read the GTL",
        method(Freeing, "_look", lambda _: None),
        f"{UNIT}/dbtm/test_voting.py::test_a_part_pending_for_long_makes_the_dbtm_read_the_gtl",
    ),
    Mutation(
        "a GTM that is only slow is not refused",
        method(Freeing, "_refuse", _refuse_at_once),
        "tests/scenarios/test_freeing.py::test_a_gtm_that_is_only_slow_is_not_refused",
    ),
    Mutation("before it votes for a GTM epoch a DBTM folds up to it", method(Voting, "hello", _hello_at_once)),
    Mutation(
        "a DBTM does not vote for a GTM epoch below the newest that it has folded",
        method(Voting, "asked", _any_gtm_epoch),
        f"{UNIT}/dbtm/test_voting.py::test_a_vote_of_an_epoch_below_the_newest_folded_is_not_given",
    ),
    Mutation(
        "a DBTM listens to one link, the newest",
        method(Voting, "asked", _any_link),
        f"{UNIT}/dbtm/test_voting.py::test_a_newer_link_closes_the_older_one_whose_messages_are_dropped",
    ),
    Mutation("a take-over waits for its fence in the GTL", method(DbtmMachine, "_is_fenced", lambda _: True)),
    Mutation("a new GTM never completes what is undecided", method(GtmMachine, "_abort_undecided", _keep_undecided)),
    Mutation(
        "a strict reader waits for what is pending or in flight", method(Confirming, "_check", _clean_despite_pending)
    ),
    Mutation(
        "the record that confirms a strict reader was handed to the log after the check",
        method(Confirming, "confirmed", _confirmed_by_any),
        "tests/scenarios/test_read_only.py",
    ),
    Mutation("a player that lost the compare writes nothing", method(MemoryStore, "apply_now", _apply_rows_anyway)),
    Mutation(
        "a call whose answer never arrived makes the commit fail",
        method(Calls, "unsettled", lambda _: []),
        f"{UNIT}/sidecar/test_calls.py",
    ),
    Mutation(
        "a call that is delivered twice runs once",
        method(Calls, "join", _join_again),
        f"{UNIT}/sidecar/test_calls.py::test_a_call_delivered_twice_runs_once",
    ),
    Mutation(
        "a cancelled key never commits",
        method(GtlFold, "_refused", lambda self, record: GtlFolded(valid=True, refused=self._refuse(record.txids))),
        f"{UNIT}/core/test_fold.py::test_a_cancelled_key_never_commits",
    ),
)
