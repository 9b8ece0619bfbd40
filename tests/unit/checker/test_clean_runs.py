"""Honest runs give no finding; and what cannot be judged is never called valid."""

import pytest

from grit.checker.check import check_log, check_state
from grit.checker.report import Verdict
from grit.core.ids import Epoch, LeaderId
from grit.core.records import DbtmEpoch, Fence, Refused
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, clean, increment, put


@pytest.mark.parametrize("seed", range(50))
async def test_an_honest_run_has_no_finding(seed: int) -> None:
    run = clean(seed)
    for report in (await check_log(run.sources(), is_quiesced=True), await check_state(run.sources())):
        assert report.findings == ()
        assert report.verdict == Verdict.VALID
        assert report.transactions > 0


async def test_what_a_zombie_writes_after_its_successor_has_begun_is_no_finding() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    run.dbtm_takes_over(ORDERS)
    run.zombie_writes(ORDERS)
    run.renew(ORDERS)
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_a_claim_under_another_global_log_changes_nothing() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    run.dbtl[ORDERS].append(DbtmEpoch(Epoch(9), LeaderId("stranger"), "", run.now, "another-gtl"))
    run.local(ORDERS, put(2, "b"))
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_what_a_zombie_refused_may_commit() -> None:
    run = Recorded()
    run.dbtm_takes_over(ORDERS)
    run.zombie_writes(ORDERS)
    txid = run.local(ORDERS, put(1, "a"))
    run.dbtl[ORDERS][-2] = Refused(Epoch(1), (txid,))
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_what_is_on_its_way_into_a_realm_is_no_finding_while_the_system_runs() -> None:
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    run.decide((increment(1, 1),), (put(2, "b"),))
    report = await check_log(run.sources())
    assert report.verdict == Verdict.VALID
    assert "2 parts of committed transactions are on their way" in report.text()


async def test_what_is_on_its_way_is_missing_when_nothing_is_in_progress() -> None:
    run = Recorded()
    run.decide((put(1, "a"),), (put(2, "b"),))
    report = await check_log(run.sources(), is_quiesced=True)
    assert [(finding.kind, finding.log) for finding in report.findings] == [
        ("missing", f"dbtl.{CARTS}"),
        ("missing", f"dbtl.{ORDERS}"),
    ]


async def test_a_record_that_was_under_way_when_an_epoch_was_claimed_is_no_finding_before_its_leader_has_written() -> (
    None
):
    run = Recorded()
    run.local(ORDERS, put(1, "a"))
    claim = DbtmEpoch(Epoch(2), LeaderId("next"), "", run.now, "gtl-1")
    run.local(ORDERS, put(2, "b"))
    run.dbtl[ORDERS].insert(-1, claim)
    run.gtl.append(Fence(ORDERS, Epoch(2)))
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_nothing_is_not_valid() -> None:
    report = await check_log(Recorded().sources())
    assert report.verdict == Verdict.UNKNOWN
    assert report.exit_status == 2
    assert report.text().endswith("UNKNOWN 0 transactions 0 findings")


async def test_the_last_line_is_the_verdict_and_json_has_the_same() -> None:
    run = clean(1)
    report = await check_log(run.sources())
    assert report.text().splitlines()[-1] == f"VALID {report.transactions} transactions 0 findings"
    assert b'"valid":true' in report.json()
    assert report.exit_status == 0
