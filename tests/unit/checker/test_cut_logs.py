"""The checker on logs that were cut: honest ones are valid, what is wrong in what is left is found, checkpoints are judged."""

from typing import Any

import msgspec
import pytest

from grit.checker.check import check_app, check_log, check_state
from grit.checker.report import Report
from grit.checker.rules import parse_rules
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Csn, Epoch, Lsn, Millis, Offset
from grit.core.states import DbtlState, GtlState, LogState, decode_state, encode_state, split_state
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, clean, put

DBTL = f"dbtl.{ORDERS}"


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(finding.property, finding.kind) for finding in report.findings]


async def check(run: Recorded) -> list[tuple[str, str]]:
    log, state = await check_log(run.sources()), await check_state(run.sources())
    return [*kinds(log), *kinds(state)]


@pytest.mark.parametrize("seed", range(8))
async def test_an_honest_run_is_valid_wherever_its_logs_are_cut(seed: int) -> None:
    run = clean(seed)
    places = {"gtl": len(run.gtl), DBTL: len(run.dbtl[ORDERS]), f"dbtl.{CARTS}": len(run.dbtl[CARTS])}
    for at, name in enumerate(sorted(places)):
        run.checkpoint(name, places[name] * ((seed + at) % 4 + 1) // 5)
        run.checkpoint(name, places[name] * ((seed + 2 * at) % 4 + 1) // 5, cut=True)
    assert await check(run) == []


@pytest.mark.parametrize("name", ["gtl", DBTL])
async def test_true_checkpoints_of_every_offset_are_no_finding(name: str) -> None:
    run = clean(3)
    for at in range(1, len(run.gtl if name == "gtl" else run.dbtl[ORDERS]), 3):
        run.checkpoint(name, at)
    assert await check(run) == []


def lies(state: GtlState | DbtlState) -> list[GtlState | DbtlState]:
    """Return what a fold that is wrong in one thing would have dumped."""
    shared: LogState[Csn] | LogState[Lsn] = state.shared
    wrong: list[dict[str, Any]] = [
        {"log_id": "other"},
        {"epoch": Epoch(shared.epoch + 1)},
        {"now": Millis(shared.now + 1)},
        {"committed": shared.committed[1:]},
    ]
    number: dict[str, Any] = (
        {"next_csn": state.next_csn + 1} if isinstance(state, GtlState) else {"next_lsn": state.next_lsn + 1}
    )
    replace = msgspec.structs.replace
    return [*(replace(state, shared=replace(shared, **one)) for one in wrong), replace(state, **number)]


@pytest.mark.parametrize("lie", range(5))
async def test_a_false_checkpoint_of_the_gtl_is_found(lie: int) -> None:
    run = clean(3)
    at = len(run.gtl) - 2
    fold = GtlFold()
    for record in run.gtl[:at]:
        fold.apply(fold.offset, record)
    false = lies(decode_state(fold.dump(), GtlState, log="gtl"))[lie]
    run.gtl += split_state(Offset(at), encode_state(false))
    (finding,) = (await check_log(run.sources())).findings
    assert (finding.kind, finding.log, finding.offset) == ("false checkpoint", "gtl", len(run.gtl) - 1)


@pytest.mark.parametrize("lie", range(5))
async def test_a_false_checkpoint_of_a_realm_is_found(lie: int) -> None:
    run = clean(3)
    at = len(run.dbtl[ORDERS]) - 2
    fold = DbtlFold(DBTL, ORDERS)
    for record in run.dbtl[ORDERS][:at]:
        fold.apply(fold.offset, record)
    false = lies(decode_state(fold.dump(), DbtlState, log=DBTL))[lie]
    run.dbtl[ORDERS] += split_state(Offset(at), encode_state(false))
    (finding,) = (await check_log(run.sources())).findings
    assert (finding.kind, finding.log, finding.offset) == ("false checkpoint", DBTL, len(run.dbtl[ORDERS]) - 1)


async def test_a_global_that_is_missing_behind_the_cut_is_found() -> None:
    run = Recorded()
    run.globally((put(1, "a"),), (put(2, "b"),))
    cut = len(run.dbtl[ORDERS])
    run.decide((put(1, "c"),), (put(2, "d"),))
    run.renew(ORDERS)
    run.checkpoint(DBTL, cut, cut=True)
    run.checkpoint("gtl", 3, cut=True)
    assert ("W2", "missing") in kinds(await check_log(run.sources(), is_quiesced=True))


async def test_a_stale_row_behind_the_cut_is_found_and_what_is_older_is_told() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    cut = len(run.dbtl[ORDERS])
    run.local(ORDERS, put(2, "b"))
    run.local(ORDERS, put(2, "c"))
    run.checkpoint(DBTL, cut, cut=True)
    store = run.store(ORDERS)
    report = await check_state(run.sources())
    assert kinds(report) == []
    assert any("1 rows are older than the log" in note for note in report.notes)
    run.overwrite(ORDERS, put(2, "b").key, {"id": 2, "name": "b", "count": 0}, store)
    assert kinds(await check_state(run.sources())) == [("W6", "stale")]


async def test_a_position_below_the_cut_is_a_finding() -> None:
    run = Recorded()
    run.store(ORDERS)
    run.local(ORDERS, put(1, "a"))
    cut = len(run.dbtl[ORDERS])
    run.renew(ORDERS)
    run.checkpoint(DBTL, cut, cut=True)
    (finding,) = (await check_state(run.sources())).findings
    assert (finding.kind, "below what the log keeps" in finding.message) == ("wrong position", True)


async def test_rules_over_a_realm_whose_log_was_cut_are_not_said_to_hold() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    cut = len(run.dbtl[ORDERS])
    run.renew(ORDERS)
    run.checkpoint(DBTL, cut, cut=True)
    rules = parse_rules(
        "rules:\n- {id: R1, title: none, sql: 'SELECT * FROM orders.items WHERE id = 99'}", "rules.yaml"
    )
    assert (await check_app(rules, run.sources())).exit_status == 2
