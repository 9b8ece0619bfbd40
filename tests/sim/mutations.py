"""Which rule is held by what: each is taken out in turn, and the simulator must notice.

`python -m tests.sim.mutations` runs seeds until one fails, or a directed scenario where chance is too rare, and writes
docs/protocol/mutations.md. A rule whose removal nothing notices is superfluous, or untested. More rules stand in
`tests.sim.removed_rules`.
"""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import msgspec
import pytest

import gtm.voting
from dbtm.certify import Certifier
from dbtm.confirming import Confirming
from dbtm.freeing import Freeing
from dbtm.jobs import LocalJob
from dbtm.locals import LocalCommits
from dbtm.overlay import Overlay
from dbtm.pending import Pending
from dbtm.voting import Voting
from grit.core.election import Election
from grit.core.fold import DbtlFold, DbtlFolded, GtlFold, GtlFolded
from grit.core.messages import Votes
from grit.core.outcome import Outcome, State
from grit.core.records import CommitEntry, Commits, Entries
from grit.store.memory import MemoryStore
from gtm.evaluate import evaluate
from tests.sim.mutation import FILES, Mutation, method, together
from tests.sim.plan import draw
from tests.sim.removed_rules import REMOVED
from tests.sim.swarm import Swarm

PAGE = Path("docs/protocol/mutations.md")
RUNS_MAX = 3_000
RUNS_BESIDE = 60
"""So many random runs a rule gets that a directed scenario holds: the scenario is asked when none of them fails."""
_apply = MemoryStore.apply_now
_add = Pending.add
_admit = LocalCommits._admit
_check = Confirming._check
_counts = GtlFold._counts


def run_random(seed: int) -> None:
    """One random run."""
    Swarm(draw(seed)).run()


def _evaluate_changed(change: Callable[[Votes], Votes]) -> Callable[[], AbstractContextManager[Any]]:
    def changed(candidates: Any, ballots: Any, **rest: Any) -> Any:
        return evaluate(candidates, {realm: change(votes) for realm, votes in ballots.items()}, **rest)

    return lambda: patch.object(gtm.voting, "evaluate", changed)


def _no_conditions(votes: Votes) -> Votes:
    bare = tuple(msgspec.structs.replace(vote, conditions=()) for vote in votes.votes)
    return msgspec.structs.replace(votes, votes=bare)


def _any_first(record: Any, following: int) -> Any:
    if isinstance(record, Commits):
        return msgspec.structs.replace(record, first_csn=following)
    return msgspec.structs.replace(record, first_lsn=following) if isinstance(record, Entries) else record


def _fold_any_first() -> AbstractContextManager[Any]:
    gtl, dbtl = GtlFold.apply, DbtlFold.apply
    return together(
        patch.object(GtlFold, "apply", lambda self, at, record: gtl(self, at, _any_first(record, self.next_csn))),
        patch.object(DbtlFold, "apply", lambda self, at, record: dbtl(self, at, _any_first(record, self.next_lsn))),
    )


def _fold_any_epoch() -> AbstractContextManager[Any]:
    gtl, dbtl = GtlFold.apply, DbtlFold.apply

    def mine(self: Any, record: Any) -> Any:
        led = isinstance(record, Commits | Entries) and self.epoch
        return msgspec.structs.replace(record, epoch=self.epoch) if led else record

    return together(
        patch.object(GtlFold, "apply", lambda self, at, record: gtl(self, at, mine(self, record))),
        patch.object(DbtlFold, "apply", lambda self, at, record: dbtl(self, at, mine(self, record))),
    )


def _apply_without_compare(self: MemoryStore, expected: Any, writes: Any, reached: Any) -> bool:
    self._cursor = expected
    return _apply(self, expected, writes, reached)


def _add_writers_only(self: Pending, part: Any, images: Any) -> None:
    _add(self, part if part.writes else msgspec.structs.replace(part, reads=()), images)


def _admit_early(self: LocalCommits, job: LocalJob, examined: Any) -> None:
    _admit(self, job, examined)
    self._settle(Outcome(job.txid, State.COMMITTED))


def _check_only(self: Confirming, job: Any) -> None:
    _check(self, job)
    clean, self._clean = self._clean, []
    for one in clean:
        self._answer(one)


def _counts_without_keys(self: GtlFold, entry: CommitEntry) -> bool:
    return _counts(self, msgspec.structs.replace(entry, key=""))


MUTATIONS = (
    Mutation("f: a read that a decided write made stale refuses", method(Certifier, "find_stale", lambda *_: None)),
    Mutation(
        "g: what a pending part writes is held against a reader",
        method(Pending, "writers_that_disturb", lambda *_: []),
    ),
    Mutation(
        "g: what a pending part reads is held against a writer",
        method(Pending, "readers_disturbed_by", lambda *_: []),
    ),
    Mutation(
        "g: a local that writes what a pending part writes parks",
        method(Pending, "writers_of_same", lambda *_: []),
        f"{FILES}[local_behind_an_acknowledged_global]",
    ),
    Mutation(
        "participants that only read stay pending",
        lambda: patch.object(Pending, "add", _add_writers_only),
        f"{FILES}[read_only_participant]",
    ),
    Mutation("a condition that may have come true aborts", _evaluate_changed(_no_conditions)),
    Mutation(
        "edges of a round order the admitted",
        _evaluate_changed(lambda votes: msgspec.structs.replace(votes, edges=())),
    ),
    Mutation(
        "unknown fields count as a match",
        method(Pending, "_unknown_fields", lambda *_: frozenset()),
        f"{FILES}[predicate_against_two_undecided_increments]",
    ),
    Mutation(
        "a vote rests on durable state alone",
        method(Certifier, "find_unsettled", lambda *_: None),
        "tests/unit/dbtm/test_voting.py::test_a_vote_that_counts_on_a_write_in_flight_is_a_conflict",
    ),
    Mutation("increments keep their bound for every subset", method(Certifier, "find_unbounded", lambda *_: None)),
    Mutation("existence and constraints are judged", method(Certifier, "find_broken", lambda *_: None)),
    Mutation(
        "a commit is acknowledged when its record is folded, not before",
        lambda: patch.object(LocalCommits, "_admit", _admit_early),
    ),
    Mutation(
        "a refusal that was answered is durable",
        method(DbtlFold, "_refusals", lambda *_: DbtlFolded(valid=True)),
        f"{FILES}[status_of_a_commit_on_its_way]",
    ),
    Mutation(
        "records whose `first` is not the next number are void",
        _fold_any_first,
        "tests/unit/core/test_fold.py::test_after_a_lost_record_everything_of_its_leader_is_void",
    ),
    Mutation(
        "records of another epoch are void",
        _fold_any_epoch,
        "tests/unit/core/test_fold.py::test_a_leaders_record_of_another_epoch_is_void_and_uses_no_numbers",
    ),
    Mutation(
        "a vote counts only under the newest fence",
        method(GtlFold, "_vote_counts", lambda self, part: part.gtm_epoch == self.epoch),
        "tests/scenarios/test_fences.py::test_a_vote_under_a_fence_that_has_been_passed_does_not_count",
    ),
    Mutation(
        "a vote counts only in the GTM epoch that asked",
        method(GtlFold, "_vote_counts", lambda self, part: part.dbtm_epoch == self.fences.get(part.realm, 0)),
        "tests/unit/core/test_fold.py::test_a_vote_counts_only_with_this_records_gtm_epoch",
    ),
    Mutation(
        "REFUSED counts from anybody, for ever",
        method(GtlFold, "_refused", lambda *_: GtlFolded(valid=True)),
        "tests/scenarios/test_freeing.py",
    ),
    Mutation(
        "a participant frees itself from a GTM that has died",
        method(Freeing, "tick", lambda *_: []),
        "tests/scenarios/test_freeing.py",
    ),
    Mutation(
        "of equal keys one commits",
        lambda: patch.object(GtlFold, "_counts", _counts_without_keys),
        "tests/unit/core/test_fold.py::test_a_key_commits_once_and_keeps_its_result",
    ),
    Mutation("a take-over merges the committed globals", method(Voting, "unmerged", lambda *_: [])),
    Mutation(
        "the cursor is compared and set with the rows",
        method(MemoryStore, "apply_now", _apply_without_compare),
        "tests/property/test_player_exactly_once.py",
    ),
    Mutation(
        "overlay values stay while a read is under way",
        lambda: together(
            patch.object(Overlay, "pin", lambda self: self.applied), patch.object(Overlay, "unpin", lambda *_: None)
        ),
        "tests/property/test_dbtm_reads.py",
    ),
    Mutation(
        "a newer GTM epoch drops what older ones asked",
        method(Voting, "_drop_older", lambda *_: False),
        "tests/unit/dbtm/test_voting.py::test_a_newer_gtm_epoch_drops_what_older_ones_asked",
    ),
    Mutation(
        "what a parked local waited for is judged again",
        method(LocalCommits, "decided", lambda *_: None),
        "tests/scenarios/test_anomalies.py::test_a_local_parks_behind_a_pending_global",
    ),
    Mutation(
        "a strict reader's leader confirms that it led, after the check",
        lambda: patch.object(Confirming, "_check", _check_only),
        "tests/scenarios/test_read_only.py",
    ),
    Mutation(
        "a standby claims only without a sign of life",
        method(Election, "heard", lambda *_: None),
        "tests/sim/test_election.py::test_nobody_claims_while_the_leaders_live",
    ),
    *REMOVED,
)


def runs_until_caught(mutation: Mutation, runs_max: int) -> int | None:
    """Return the number of random runs until one fails; None: none did."""
    with mutation.remove():
        for seed in range(runs_max):
            try:
                run_random(seed)
            except Exception:  # noqa: BLE001 - whatever a broken protocol breaks is how it is caught
                return seed + 1
    return None


def scenario_fails(mutation: Mutation) -> bool:
    """Tell whether the directed scenario notices."""
    with mutation.remove():
        return pytest.main(["-q", "-x", "-p", "no:randomly", "--no-header", mutation.scenario]) == 1


@click.command()
@click.option("--runs", type=int, default=RUNS_MAX, show_default=True, help="Random runs of a mutation, at most.")
@click.option("--only", default="", help="Only rules that contain this.")
def main(runs: int, only: str) -> None:
    """Take out each rule in turn and say what noticed; write the table."""
    rows: list[str] = []
    missed = 0
    for mutation in MUTATIONS:
        if only in mutation.rule:
            began = time.monotonic()
            caught = _how_caught(mutation, runs)
            missed += not caught
            click.echo(f"{time.monotonic() - began:6.1f} s  {mutation.rule}: {caught or 'NOT CAUGHT'}")
            rows.append(f"| {mutation.rule} | {caught or '**not caught**'} |")
    if not only:
        PAGE.write_text(HEAD.format(runs=runs, beside=RUNS_BESIDE) + "\n".join(rows) + "\n", encoding="utf-8")
    sys.exit(1 if missed else 0)


def _how_caught(mutation: Mutation, runs: int) -> str:
    """Ask chance first: whatever it notices is held by the whole cluster, and not by one test."""
    count = runs_until_caught(mutation, min(runs, RUNS_BESIDE) if mutation.scenario else runs)
    if count is not None:
        return f"random run {count:,}"
    if mutation.scenario and scenario_fails(mutation):
        return f"`{mutation.place}`"
    return ""


HEAD = """# What holds each rule

Each rule of the protocol is taken out of the machines that run in production, and the simulator must notice: in one of {runs:,} random
runs (a run is a seed: realms, clients, transactions, faults and the order of everything), or, where chance is too rare, by a directed
test, asked after {beside} random runs. Made by `make sim-mutations`; `make sim SEED=n ARGS="--without '...'"` shows what one rule prevents.

| rule taken out | noticed by |
| --- | --- |
"""

if __name__ == "__main__":
    main()
