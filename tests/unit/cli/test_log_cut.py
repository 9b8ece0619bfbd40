"""`grit log cut` on logs that were made by hand, and a deployment that starts on what is left."""

import asyncio
import json
from pathlib import Path

import pytest

from grit.cli.main import run
from grit.cli.role_names import every_role
from grit.cli.roles import Process
from grit.config.load import load_config
from grit.core.fold import GtlFold
from grit.core.ids import Offset
from grit.core.records import Checkpoint, decode_gtl_record, encode_log_record
from grit.core.states import split_state
from grit.log.embedded import EmbeddedLog
from grit.store.open import open_writer
from tests.unit.checker.recorded import CARTS, ORDERS, Recorded, clean, put
from tests.unit.cli.recorded_files import CONFIG, deployed

LIMIT_S = 30


def busy() -> Recorded:
    """Return a run in which both realms have merged the first globals, and carts not the last."""
    recorded = Recorded()
    for number in range(5):
        recorded.globally((put(number, "a"),), (put(number, "b"),))
    recorded.renew(CARTS)
    entry = recorded.decide((put(7, "late"),), (put(7, "late"),))
    recorded.merge(ORDERS, entry, (put(7, "late"),))
    recorded.renew(ORDERS)
    return recorded


def offsets(config: Path, capsys: pytest.CaptureFixture[str]) -> list[int]:
    capsys.readouterr()
    assert run(["log", "dump", "gtl", "--json", "-c", str(config)]) == 0
    return [json.loads(line)["offset"] for line in capsys.readouterr().out.splitlines()]


def test_the_log_is_cut_where_the_last_realm_stands_and_what_is_left_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = busy()
    config = deployed(tmp_path, recorded)
    merged = len(recorded.gtl) - 1  # carts lacks the last COMMITS
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(f"{merged} records below {merged} can go (realm carts has merged it)")
    assert told[1] == f"cut: log gtl begins at offset {merged}"
    assert offsets(config, capsys) == [merged, merged + 1]
    assert run(["check", "log", str(config)]) == 0


def test_a_second_cut_finds_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = deployed(tmp_path, busy())
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 0
    before = offsets(config, capsys)
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 0
    assert "nothing can be cut: realm carts has merged it up to" in capsys.readouterr().out
    assert offsets(config, capsys) == before


def test_nobody_is_asked_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = deployed(tmp_path, busy())
    before = offsets(config, capsys)
    assert run(["log", "cut", "-c", str(config)]) == 3
    assert "give --yes" in capsys.readouterr().err
    assert offsets(config, capsys) == before


def test_a_realm_that_the_configuration_does_not_have_holds_everything_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployed(tmp_path, busy())
    before = offsets(config, capsys)
    config.write_text(CONFIG[: CONFIG.index("  carts:")])
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 3
    assert "the global log has realm carts, the configuration has not" in capsys.readouterr().err
    assert offsets(config, capsys) == before


def test_a_realm_without_a_log_holds_everything_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = deployed(tmp_path, busy())
    (tmp_path / "log" / "dbtl.carts.log.db").unlink()
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 3
    assert "no such log" in capsys.readouterr().err


def test_a_log_of_another_deployment_holds_everything_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = busy()
    config = deployed(tmp_path, recorded)
    (tmp_path / "log" / "gtl.log.db").unlink()
    other = [encode_log_record(record) for record in [type(recorded.gtl[0])("other", "", 1), *recorded.gtl[1:]]]  # type: ignore[call-arg, arg-type] # a GENESIS
    asyncio.run(write(tmp_path, other))
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 3
    assert "is coordinated under GTL gtl-1, this one is other" in capsys.readouterr().err


async def write(folder: Path, payloads: list[bytes]) -> None:
    log = await EmbeddedLog.open(folder / "log", "gtl")
    for payload in payloads:
        await log.append(payload)
    await log.close()


def test_a_false_checkpoint_at_the_place_of_the_cut_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = busy()
    merged = len(recorded.gtl) - 1
    fold = GtlFold()
    for record in recorded.gtl[:merged]:
        fold.apply(fold.offset, record)
    fold.address = "nobody ever said so"
    recorded.gtl += split_state(Offset(merged), fold.dump())
    config = deployed(tmp_path, recorded)
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 3
    assert "is not what this program has folded: nothing was cut" in capsys.readouterr().err
    assert offsets(config, capsys)[0] == 0


def test_a_cut_that_was_broken_off_behind_its_checkpoint_is_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = busy()
    merged = len(recorded.gtl) - 1
    recorded.checkpoint("gtl", merged)
    config = deployed(tmp_path, recorded)
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 0
    kept = offsets(config, capsys)
    assert kept == [merged, merged + 1]
    (payload,) = asyncio.run(read(tmp_path, kept[-1]))
    assert isinstance(decode_gtl_record(payload, log="gtl", offset=Offset(kept[-1])), Checkpoint)


async def read(folder: Path, offset: int) -> list[bytes]:
    log = await EmbeddedLog.open(folder / "log", "gtl")
    payloads = [payload for _, payload in await log.read(Offset(offset))]
    await log.close()
    return payloads


def test_a_deployment_starts_on_a_global_log_that_was_cut(tmp_path: Path) -> None:
    config = deployed(tmp_path, clean(5))
    assert run(["log", "cut", "--yes", "-c", str(config)]) == 0
    asyncio.run(start(config))
    assert run(["check", "log", str(config)]) == 0
    assert run(["check", "state", str(config)]) == 0


async def start(path: Path) -> None:
    """Start every role on the logs, and wait until all serve."""
    config = load_config(path, {})
    for realm in config.realms.values():
        writer = open_writer(realm, {})
        await writer.prepare()
        await writer.close()
    process = Process(config, every_role(config.realms))
    await process.compose()
    for role in process.roles:
        await role.start()
    served = asyncio.Event()

    def look() -> None:
        if process.is_serving():
            served.set()
        else:
            asyncio.get_running_loop().call_later(0.01, look)

    look()
    async with asyncio.timeout(LIMIT_S):
        await served.wait()
    for role in reversed(process.roles):
        await role.close()
