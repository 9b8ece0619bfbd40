"""A GTM that does not decide blocks nobody for longer than the configured delay and one append (protocol.md section 6)."""

from typing import TypeVar

from grit.core.ids import Offset, Realm
from grit.core.limits import Limits
from grit.core.records import Commits, Refused, decode_gtl_record
from tests.scenarios.conftest import Stage
from tests.scenarios.hand import Hand
from tests.sim.programs import DOCS, DOCUMENT, ITEMS, TABLE

DELAY_MS = Limits().pending_refuse_ms
R = TypeVar("R")
SLACK_MS = 300
"""What a few appends, messages and ticks may take."""


def records(stage: Stage, kind: type[R]) -> list[R]:
    """Return the records of a kind in the GTL."""
    payloads = stage.world.logs["gtl"]
    read = [decode_gtl_record(payload, log="gtl", offset=Offset(0)) for payload in payloads]
    return [record for record in read if isinstance(record, kind)]


def pending(stage: Stage, realm: Realm) -> int:
    """Return how many parts of a realm are undecided."""
    return int(stage.cluster.dbtms[realm].machine.describe()["pending"])


def play(stage: Stage, ms: int) -> None:
    """Let so much time pass, and everything happen that is not held back."""
    end = stage.world.now + ms
    stage.world.run_until(lambda: stage.world.now >= end, steps_max=1_000_000)


def stuck(stage: Stage) -> Hand:
    """Return a global that both realms voted for, and whose entry is on its way into the log."""
    txn = stage.begin("stuck")
    txn.patch(TABLE, ITEMS, 1, a=1)
    txn.patch(DOCUMENT, DOCS, 1, a=1)
    stage.world.hold(f"{stage.cluster.gtm.name}.append")
    txn.send_commit()
    stage.world.run_until(lambda: pending(stage, TABLE) == pending(stage, DOCUMENT) == 1)
    return txn


def change_alone(stage: Stage, until_ms: int) -> bool:
    """Try to change the item that the global writes, in the table's realm alone; tell whether it was in time."""
    end = stage.world.now + until_ms
    for attempt in range(100):
        local = stage.begin(f"local{attempt}")
        local.patch(TABLE, ITEMS, 1, a=7)
        if _outcome(stage, local) == "COMMITTED":
            return stage.world.now <= end
    raise AssertionError("it was never freed")


def _outcome(stage: Stage, txn: Hand) -> str:
    txn.send_commit()
    stage.world.run_until(lambda: txn.is_answered, steps_max=1_000_000)
    return txn.outcome()


def test_who_waits_behind_a_dead_gtm_is_freed_after_the_delay_and_one_append(stage: Stage) -> None:
    stuck(stage)
    stage.cluster.gtm.kill()
    assert change_alone(stage, DELAY_MS + SLACK_MS)
    assert len(records(stage, Refused)) == 1
    stage.world.run_until(lambda: pending(stage, DOCUMENT) == 0)  # it reads the refusal too


def test_a_gtm_that_is_only_slow_is_not_refused(stage: Stage) -> None:
    txn = stuck(stage)
    local = stage.begin("local")
    local.patch(TABLE, ITEMS, 1, a=7)
    local.send_commit()
    play(stage, DELAY_MS - SLACK_MS)
    stage.world.release(f"{stage.cluster.gtm.name}.append")
    assert txn.outcome() == "COMMITTED"
    assert records(stage, Refused) == []


def test_a_global_log_that_is_slow_for_long_is_not_buried_under_refusals(stage: Stage) -> None:
    txn = stuck(stage)
    participant = stage.cluster.dbtms[TABLE].name
    stage.world.hold(f"{participant}.append.gtl")
    local = stage.begin("local")
    local.patch(TABLE, ITEMS, 1, a=7)
    local.send_commit()
    play(stage, 4 * DELAY_MS)
    stage.world.release(f"{participant}.append.gtl")
    stage.world.release(f"{stage.cluster.gtm.name}.append")
    stage.world.run_until(lambda: txn.is_answered)
    play(stage, DELAY_MS)
    assert len(records(stage, Refused)) == 1


def test_a_late_commit_of_the_old_gtm_is_void_for_everybody(stage: Stage) -> None:
    txn = stuck(stage)
    before = len([record for record in records(stage, Commits) if record.entries])
    assert change_alone(stage, DELAY_MS + SLACK_MS)
    stage.world.release(f"{stage.cluster.gtm.name}.append")
    assert txn.outcome() == "REFUSED"
    stage.cluster.settle()
    assert len([record for record in records(stage, Commits) if record.entries]) == before + 1
    later = stage.begin("later")
    assert later.get(TABLE, ITEMS, 1, ("a",)) == {"a": 7}
    assert later.get(DOCUMENT, DOCS, 1, ("a",)) == {"a": 0}
