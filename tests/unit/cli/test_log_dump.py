"""`grit log dump` on logs that were made by hand."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grit.cli.main import run
from grit.cli.record_facts import predicate_text
from grit.core.ids import Csn, Epoch, Key, LeaderId, Lsn, Millis, make_txn_id
from grit.core.keys import encode_key
from grit.core.parts import KeyRead, Part, PredicateRead, encode_part
from grit.core.predicate import EVERYTHING, And, Compare, Contains, Expr, In, IsNull, Not, Or, Prefix, encode_expr
from grit.core.records import Commits, Entry, Fence, Genesis, GtmEpoch, Refused
from tests.unit.checker.recorded import CARTS, ITEMS, ORDERS, TIME, Recorded, delete, increment, patch, put
from tests.unit.cli.recorded_files import deployed


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def dump(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["log", "dump", *arguments, "-c", str(config)]) == 0
    return capsys.readouterr().out.splitlines()


def records(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dump(config, capsys, "--json", *arguments)]


def test_every_record_of_every_log_is_printed_in_order(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.globally((put(1, "a"),), (put(2, "b"),))
    places = [(one["log"], one["offset"]) for one in records(deployed(tmp_path, recorded), capsys)]
    lengths = {"gtl": len(recorded.gtl)} | {f"dbtl.{realm}": len(log) for realm, log in recorded.dbtl.items()}
    assert places == [(name, offset) for name, length in lengths.items() for offset in range(length)]


def test_reads_writes_and_images_are_decoded(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    where = encode_expr(Compare("count", ">=", 3))
    reads = (
        KeyRead(ITEMS, encode_key((1,)), ("name",)),
        PredicateRead(ITEMS, where, ()),
        PredicateRead(ITEMS, EVERYTHING),
        KeyRead(ITEMS, Key(b"\x01\x01"), (), commutes=True),
    )
    recorded.local(ORDERS, put(1, "a\x1b[2J"), patch(2, None), increment(3, -4), delete(4))
    recorded._write(ORDERS, Entry(recorded.txid(), Csn(0), encode_part(Part(Lsn(1), reads, ())), (), "00-ab-cd-01"))
    text = dump(deployed(tmp_path, recorded), capsys, "dbtl.orders")
    wanted = [
        r"put items/(1): count=0, id=1, name='a\x1b[2J'",
        "patch items/(2): name=null",
        "increment items/(3): count -4",
        "delete items/(4)",
        r"items/(1) is now count=0, id=1, name='a\x1b[2J'",
        "items/(4) is now absent",
        "realm orders: read at Lsn 1, 0 writes",
        "read items/(1): name",
        "find items where count >= 3: which match",
        "find every record of items: whole",
        "read items/(True): whether it exists, as an increment does",
    ]
    assert [line for line in wanted if not any(shown.strip() == line for shown in text)] == []
    assert any(line.endswith("trace=ab") for line in text)


def test_what_a_fenced_leader_wrote_is_void_and_said_so(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.dbtm_takes_over(ORDERS)
    recorded.zombie_writes(ORDERS)
    recorded.lose_an_append(ORDERS)
    void = [one for one in records(deployed(tmp_path, recorded), capsys, "dbtl.orders") if "void" in one]
    assert [one["void"] for one in void] == [
        "epoch 2 leads",
        "epoch 2 leads",
        "it begins at 2, 1 is next: a record before it was lost",
    ]
    assert [entry["void"] for entry in void[0]["entries"]] == ["its record is void"]


def test_a_part_that_cannot_be_decoded_is_said_and_the_rest_is_printed(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.zombie_writes(ORDERS)
    recorded.local(ORDERS, put(1, "a"))
    text = "\n".join(dump(deployed(tmp_path, recorded), capsys, "dbtl.orders"))
    assert "its part cannot be decoded" in text
    assert "put items/(1)" in text


def test_every_reason_why_an_entry_is_voided_is_told(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    first = recorded.decide((put(1, "a"),), (), idempotency="k")
    recorded.decide((put(1, "a"),), (), txid=first.txid)
    recorded.decide((put(1, "a"),), (), idempotency="k")
    recorded.decide((put(1, "a"),), (), dbtm_epoch=9)
    refused = recorded.txid()
    recorded.refuse(refused)
    recorded.decide((put(1, "a"),), (), txid=refused)
    recorded.gtl.append(Refused(Epoch(1), (), ("gone",)))
    recorded.decide((put(1, "a"),), (), idempotency="gone")
    recorded.decide((put(1, "a"),), (), txid=make_txn_id(Millis(TIME - 1_000_000), 1))
    entries = [e for one in records(deployed(tmp_path, recorded), capsys, "gtl") for e in one.get("entries", ())]
    assert [entry.get("void", "") for entry in entries] == [
        "",
        "its transaction was committed before",
        f"its idempotency key was used by {first.txid}",
        "realm orders voted in DBTM epoch 9, the fence is 1",
        "its transaction was refused before",
        "its idempotency key was cancelled",
        "its transaction began too long before",
    ]


def test_what_a_gtm_wrote_after_its_successor_and_votes_for_another_gtm_are_void(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.decide((put(1, "a"),), (put(2, "b"),))
    late = recorded.gtl[-1]
    assert isinstance(late, Commits)
    recorded.gtm_takes_over()
    recorded.gtl += [late, Commits(Epoch(2), Csn(2), TIME, late.entries)]
    zombie, foreign = records(deployed(tmp_path, recorded), capsys, "gtl")[-2:]
    assert (zombie["void"], zombie["entries"][0]["void"]) == ("epoch 2 leads", "its record is void")
    assert ("void" in foreign, foreign["entries"][0]["void"]) == (False, "its transaction was committed before")
    entry = msgspec.structs.replace(late.entries[0], txid=recorded.txid())
    recorded.gtl[-1] = Commits(Epoch(2), Csn(2), TIME, (entry, entry))
    (tmp_path / "again").mkdir()
    (again,) = records(deployed(tmp_path / "again", recorded), capsys, "gtl")[-1:]
    assert [one["void"] for one in again["entries"]] == ["realm orders voted for GTM epoch 1, 2 leads"] * 2


def test_one_id_twice_in_a_record_counts_once(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.decide((put(1, "a"),), (put(2, "b"),))
    (entry,) = recorded.gtl[-1].entries if isinstance(recorded.gtl[-1], Commits) else ()
    recorded.gtl[-1] = Commits(Epoch(1), Csn(1), TIME, (entry, entry))
    (record,) = records(deployed(tmp_path, recorded), capsys, "gtl")[-1:]
    assert [one.get("void", "") for one in record["entries"]] == [
        "",
        "an entry before it in this record took its id or its key",
    ]


def test_times_are_utc_and_long_values_are_cut_in_text_and_whole_in_json(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.local(ORDERS, put(1, "x" * 500))
    config = deployed(tmp_path, recorded)
    text = "\n".join(dump(config, capsys, "dbtl.orders"))
    assert "time=2023-11-14T22:13:20.010+00:00" in text
    assert f"name='{'x' * 119}... (502 characters)" in text
    (entry,) = records(config, capsys, "dbtl.orders")[-1]["entries"]
    assert entry["images"][0]["after"]["name"] == "x" * 500


def test_claims_and_fences_that_come_too_late_are_void(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.gtl += [GtmEpoch(Epoch(1), LeaderId("late"), "", TIME), Fence(ORDERS, Epoch(1)), Genesis("x", ORDERS, 1)]
    lines = dump(deployed(tmp_path, recorded), capsys, "gtl")[-3:]
    assert [line.partition("VOID: ")[2] for line in lines] == [
        "epoch 1 was claimed before",
        "realm orders is fenced at epoch 1 already",
        "only the first record of a log is its GENESIS",
    ]


def test_a_refusal_that_comes_too_late_is_told_apart(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    done = recorded.globally((put(1, "a"),), (put(2, "b"),)).txid
    other = recorded.txid()
    recorded.gtl.append(Refused(Epoch(1), (done, other), ("k",)))
    lines = dump(deployed(tmp_path, recorded), capsys, "gtl")[-3:]
    assert lines == [
        f"  refuses {done}  WITHOUT EFFECT: it is too late for that",
        f"  refuses {other}",
        "  refuses the idempotency key 'k'",
    ]


def test_from_and_to_choose_offsets_and_the_fold_still_knows_what_was_before(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.dbtm_takes_over(CARTS)
    recorded.zombie_writes(CARTS)
    config = deployed(tmp_path, recorded)
    last = len(recorded.dbtl[CARTS]) - 1
    chosen = records(config, capsys, "dbtl.carts", "--from", str(last - 1), "--to", str(last))
    assert [(one["offset"], one["void"]) for one in chosen] == [
        (last - 1, "epoch 2 leads"),
        (last, "epoch 2 leads"),
    ]
    assert dump(config, capsys, "gtl", "--from", "10000") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gtx"], 'there is no log "gtx"; did you mean "gtl"?'),
        (["--from", "-1"], "-1 is not in the range"),
        (["-c", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_status_3(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    config = deployed(tmp_path, recorded)
    assert run(["log", "dump", "-c", str(config), *arguments]) == 3
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_log_that_is_not_there_is_not_made(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded)
    (tmp_path / "log" / "dbtl.carts.log.db").unlink()
    assert run(["log", "dump", "dbtl.carts", "-c", str(config)]) == 3
    assert "no such log" in capsys.readouterr().err
    assert not (tmp_path / "log" / "dbtl.carts.log.db").exists()


def test_records_before_the_damage_are_printed_then_one_line_says_where_it_is(
    tmp_path: Path, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, recorded)
    with sqlite3.connect(tmp_path / "log" / "gtl.log.db") as database:
        database.execute("UPDATE records SET payload = x'00' WHERE offset = 2")
    database.close()
    assert run(["log", "dump", "gtl", "-c", str(config)]) == 3
    told = capsys.readouterr()
    assert [line.split()[1] for line in told.out.splitlines()] == ["0", "1"]
    assert "offset 2 is damaged" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (And(()), ""),
        (Compare("a", "!=", "x\n"), r"a != 'x\n'"),
        (In("a", (1, None)), "a in (1, null)"),
        (Prefix("a", "x"), "a begins with 'x'"),
        (IsNull("a"), "a is null"),
        (Contains("a", [1, {"b": b"c"}]), "a contains [1, {'b': b'c'}]"),
        (And((Compare("a", "=", 1), Or((IsNull("b"), Not(IsNull("c")))))), "(a = 1 and (b is null or not c is null))"),
    ],
)
def test_predicates_read_as_people_write_them(expression: Expr, text: str) -> None:
    assert predicate_text(encode_expr(expression)) == text
