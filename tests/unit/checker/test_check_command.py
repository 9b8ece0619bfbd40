"""`grit check` on files: logs written as by the roles, databases filled by the real player."""

import asyncio
import json
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from grit.cli.lazy_group import Lazy
from grit.cli.main import run
from grit.config.load import load_config
from grit.core.ids import Realm
from grit.core.records import encode_log_record
from grit.log.embedded import EmbeddedLog
from grit.store.open import open_reader, open_writer
from log_players.app import build_player
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, clean, put

COMMANDS = {"check": Lazy("grit.cli.check:check", "Check.")}
CONFIG = """\
log: {kind: embedded, path: log}
realms:
  orders:
    engine: sqlite
    url: orders.db
    collections:
      items: {key: [id], fields: {id: int, name: "string?", count: "int?"}}
  carts:
    engine: document
    url: carts.db
    collections:
      items: {key: [id], fields: {id: int, name: "string?", count: "int?"}}
"""
RULES = """\
rules:
- id: R1
  title: no cart is called c
  sql: SELECT id, name FROM carts.items WHERE name = 'c'
"""


async def write_logs(folder: Path, run_: Recorded) -> None:
    logs: dict[str, list[bytes]] = {"gtl": [encode_log_record(record) for record in run_.gtl]}
    logs |= {f"dbtl.{realm}": [encode_log_record(r) for r in records] for realm, records in run_.dbtl.items()}
    for name, payloads in logs.items():
        log = await EmbeddedLog.open(folder / "log", name)
        async with asyncio.timeout(20):
            await asyncio.gather(*(log.append(payload) for payload in payloads))
        await log.close()


async def play(folder: Path, realm: Realm, lsn: int) -> None:
    definition = load_config(folder / "grit.yaml", {}).realms[realm]
    log = await EmbeddedLog.open(folder / "log", f"dbtl.{realm}")
    role = build_player(definition, log, open_writer(definition, {}), trace=lambda _: None)
    await role.start()
    reader = open_reader(definition, {})
    async with asyncio.timeout(20):
        while role.metrics.applied_lsn < lsn:
            await asyncio.wait({asyncio.ensure_future(log.wait(await log.end(), timeout_ms=5))})
    await reader.close()
    await role.close()


async def deployed(folder: Path, run_: Recorded) -> Path:
    (folder / "grit.yaml").write_text(CONFIG)
    await write_logs(folder, run_)
    for realm in (ORDERS, CARTS):
        cursor = run_.store(realm).cursor_now()
        assert cursor is not None
        await play(folder, realm, cursor.lsn)
    return folder / "grit.yaml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return asyncio.run(deployed(tmp_path, clean(3, steps=60)))


def check(*arguments: str | Path) -> int:
    return run(["check", *map(str, arguments)], COMMANDS)


def test_an_honest_deployment_is_valid(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("log", config, "--quiesced") == 0
    assert check("state", config) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("findings")] == ["VALID", "VALID"]


def test_a_row_changed_past_grit_is_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(config.parent / "orders.db") as database:
        database.execute("UPDATE items SET name = 'hacked' WHERE id = (SELECT max(id) FROM items)")
    database.close()
    assert check("state", config, "-o", "json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    assert [(f["property"], f["kind"]) for f in report["findings"]] == [("W6", "foreign")]
    assert "name='hacked'" in report["findings"][0]["found"]


def test_a_flipped_byte_in_a_log_is_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config.parent / "log" / "dbtl.orders.log.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE records SET payload = CAST(substr(payload, 1, 9) || x'00' AS BLOB) WHERE offset = 5")
    database.close()
    assert check("log", config) == 1
    out = capsys.readouterr().out
    assert "W0 damaged" in out
    assert "offset 5" in out


def test_a_broken_rule_is_a_finding(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = config.parent / "RULES.yaml"
    rules.write_text(RULES)
    assert check("app", rules, config) == 1
    assert "R1 rule broken: no cart is called c: 1 row. First failed at Csn" in capsys.readouterr().out
    assert check("app", rules, config, "--at", "0") in {0, 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("log", "nowhere.yaml"), "nowhere.yaml"),
        (("app", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("log", "--loud"), "--loud"),
        (("app", "{rules}", "{config}", "--at", "99999"), "--at 99999: the newest Csn"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_status_3(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    rules = config.parent / "RULES.yaml"
    rules.write_text(RULES)
    assert check(*(argument.format(rules=rules, config=config) for argument in arguments)) == 3
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_deployment_that_never_ran_is_refused_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grit.yaml").write_text(CONFIG)
    assert check("log", tmp_path / "grit.yaml") == 3
    assert "no such log" in capsys.readouterr().err
    with suppress(FileNotFoundError):
        assert list((tmp_path / "log").iterdir()) == []


def test_logs_in_memory_cannot_be_checked_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grit.yaml").write_text(CONFIG.replace("{kind: embedded, path: log}", "{kind: memory}"))
    assert check("log", tmp_path / "grit.yaml") == 3
    assert "in the memory of a process" in capsys.readouterr().err


def test_strange_text_is_the_same_in_log_and_database(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.local(ORDERS, put(1, "a"))
    recorded.local(CARTS, put(1, "ä\x00"))
    config = asyncio.run(deployed(tmp_path, recorded))
    assert check("state", config) == 0
