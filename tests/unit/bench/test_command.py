import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import BENCHMARKS, main
from bench.certify import alone, filled_history, step
from bench.figure import Figure, Target
from grit.core.ids import Lsn
from grit.core.keys import encode_key


def test_list_tells_every_benchmark() -> None:
    told = CliRunner().invoke(main, ["--list"])
    assert told.exit_code == 0
    assert [line.split()[0] for line in told.output.splitlines()] == list(BENCHMARKS)


def test_an_unknown_benchmark_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["m1", "--out", str(tmp_path / "out")])
    assert told.exit_code == 2
    assert "no benchmark m1; there are certify, floor" in told.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("lost", "status"), [(0, 0), (2, 1)])
def test_strictly_what_was_lost_is_a_failure_and_what_was_slow_is_not(
    lost: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [Figure("fast", 2.0, "s", Target("<=", 1.0)), Figure("lost", lost, "x", Target("=", 0))]
    monkeypatch.setattr(importlib.import_module("bench.floor"), "run", lambda _: figures)
    lenient = CliRunner().invoke(main, ["floor", "--out", str(tmp_path)])
    strict = CliRunner().invoke(main, ["floor", "--strict", "--out", str(tmp_path)])
    assert (lenient.exit_code, strict.exit_code) == (0, status)
    assert ("must not be: lost: 2\n" in strict.output) == bool(status)
    assert "missed" in strict.output


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(f"bench.{name}").run)


def test_certification_alone_commits_what_does_not_conflict() -> None:
    rate, refused = alone(keys=20_000, count=200)
    assert rate > 0
    assert refused < 100


def test_certification_alone_refuses_what_conflicts() -> None:
    assert alone(keys=20, count=200)[1] > 100


def test_a_whole_step_commits_what_does_not_conflict() -> None:
    rate, refused = step(keys=2_000, count=50)
    assert rate > 0
    assert refused < 50


def test_a_filled_history_holds_every_key_once() -> None:
    history = filled_history([encode_key([number]) for number in range(10)])
    assert (history.size(), history.newest, history.floor) == (10, Lsn(10), Lsn(0))
