"""`grit txn show` on logs that were made by hand; nothing has been applied."""

import asyncio
import json
from pathlib import Path

import pytest

from grit.cli.main import run
from grit.config.load import load_config
from grit.core.ids import Epoch, Lsn, Offset, TxnId
from grit.core.queries import Cursor
from grit.store.open import open_writer
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, patch, put
from tests.unit.cli.recorded_files import deployed


def show(config: Path, txid: str, *arguments: str) -> int:
    return run(["txn", "show", txid, "-c", str(config), *arguments])


def test_a_global_shows_its_csn_each_lsn_its_writes_and_what_they_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded()
    recorded.local(ORDERS, put(1, "first"))
    txid = recorded.globally((patch(1, "second"),), (put(2, "b", 7),), idempotency="k").txid
    assert show(deployed(tmp_path, recorded), txid) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{txid}  COMMITTED at Csn 1"
    assert "idempotency key 'k'" in lines
    (orders,) = (line for line in lines if line.startswith("realm orders"))
    (carts,) = (line for line in lines if line.startswith("realm carts"))
    assert "Lsn 2; whether it is applied is not known" in orders
    assert "Lsn 1; " in carts
    assert "  patch items/(1): name='second'" in lines
    assert "  after: items/(1) is now count=0, id=1, name='second'" in lines
    assert "  after: items/(2) is now count=7, id=2, name='b'" in lines


def test_each_realm_says_whether_its_database_has_applied_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded()
    recorded.local(ORDERS, put(1, "first"))
    txid = recorded.globally((patch(1, "second"),), (put(2, "b", 7),)).txid
    config = deployed(tmp_path, recorded)
    asyncio.run(apply_first(config))
    assert show(config, txid) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "realm orders: read nothing, 1 writes; Lsn 2, not applied yet: the database is at 1" in lines
    assert "realm carts: read nothing, 1 writes; Lsn 1, applied: the database is at 1" in lines


async def apply_first(config: Path) -> None:
    """Put both databases at Lsn 1."""
    for realm in load_config(config, {}).realms.values():
        writer = open_writer(realm, {})
        await writer.prepare()
        assert await writer.apply(None, (), Cursor(f"log-{realm.name}", Offset(4), Epoch(1), Lsn(1)))
        await writer.close()


def test_a_global_that_is_not_merged_yet_is_committed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded()
    txid = recorded.decide((put(1, "a"),), (put(2, "b"),)).txid
    assert show(deployed(tmp_path, recorded), txid) == 0
    assert capsys.readouterr().out.count("not in its log yet") == 2


def test_a_local_shows_its_realm_and_lsn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded()
    txid = recorded.local(CARTS, put(1, "a"))
    assert show(deployed(tmp_path, recorded), txid) == 0
    out = capsys.readouterr().out
    assert f"{txid}  COMMITTED, in one realm" in out
    assert "realm carts: read nothing, 1 writes; Lsn 1" in out


def test_refused_voided_and_unknown_are_told_apart_and_are_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded()
    refused = recorded.txid()
    recorded.refuse(refused)
    voided = recorded.decide((put(1, "a"),), (), dbtm_epoch=9).txid
    recorded.dbtm_takes_over(ORDERS)
    recorded.zombie_writes(ORDERS)
    config = deployed(tmp_path, recorded)
    told: dict[TxnId, str] = {}
    for txid in (refused, voided, recorded.txid()):
        assert show(config, txid) == 1
        told[txid] = capsys.readouterr().out.splitlines()[0]
    assert (
        f"REFUSED: no effect, by gtl offset {recorded.gtl.index(next(r for r in recorded.gtl if 'Refused' in repr(r)))}"
        in told[refused]
    )
    assert "VOIDED: no effect: realm orders voted in DBTM epoch 9" in told[voided]
    assert "unknown: not in the logs" in list(told.values())[2]


def test_json_has_the_outcome_the_parts_and_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded()
    txid = recorded.globally((put(1, "a"),), (put(2, "b"),)).txid
    assert show(deployed(tmp_path, recorded), txid, "--json") == 0
    trail = json.loads(capsys.readouterr().out)
    assert (trail["txid"], trail["outcome"], trail["decided"]["csn"]) == (txid, "COMMITTED", 1)
    assert {realm: entry["lsn"] for realm, entry in trail["entries"].items()} == {"orders": 1, "carts": 1}
    assert trail["entries"]["carts"]["images"][0]["after"] == {"id": 2, "name": "b", "count": 0}


def test_what_is_no_transaction_id_is_one_line_and_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(deployed(tmp_path, Recorded()), "t-1") == 3
    assert capsys.readouterr().err.startswith("grit: 't-1' is not a transaction id")
