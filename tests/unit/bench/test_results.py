from pathlib import Path
from typing import Any

from bench.figure import Figure, Target
from bench.results import Result, read_results, this_machine, write_page, write_result

MACHINE: dict[str, Any] = {
    "cpu": "one", "cores": 2, "load_before": 0.1, "kernel": "Linux 6", "python": "3.11.7", "commit": "abc",
}  # fmt: skip


def result(name: str, began: str, value: float) -> Result:
    figures = [
        Figure("rate", value, "1/s", Target(">=", 2.0), "a note"),
        Figure("other", 1.5, "ms", samples=(1.0, 1.5)),
    ]
    return Result(name, began, f"python -m bench {name}", MACHINE, {"quick": True}, figures)


def test_a_result_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    one = result("m0", "2026-01-02T03:04:05+00:00", 3.0)
    assert write_result(one, tmp_path / "new").name == "m0-2026-01-02.json"
    assert read_results(tmp_path / "new") == [one]


def test_the_newest_run_of_each_benchmark_counts(tmp_path: Path) -> None:
    for name, began, value in (("m0", "2026-01-03", 3.0), ("m0", "2026-01-02", 1.0), ("cli", "2026-01-01", 1.0)):
        write_result(result(name, began, value), tmp_path)
    assert [(one.name, one.began) for one in read_results(tmp_path)] == [("cli", "2026-01-01"), ("m0", "2026-01-03")]


def test_the_page_has_figures_beside_targets_command_machine_and_date(tmp_path: Path) -> None:
    write_result(result("m0", "2026-01-02T03:04:05+00:00", 1.0), tmp_path)
    text = write_page(tmp_path).read_text(encoding="utf-8")
    assert "| rate | 1 | 1/s | >= 2 | missed | a note |" in text
    assert "| other | 1.5 | ms |  |  |  |" in text
    assert "`python -m bench m0`, 2026-01-02T03:04:05+00:00, commit abc: one, 2 cores," in text


def test_the_page_is_no_result(tmp_path: Path) -> None:
    write_page(tmp_path)
    assert read_results(tmp_path) == []


def test_this_machine_is_told() -> None:
    machine = this_machine()
    assert set(machine) == set(MACHINE)
    assert machine["cpu"]
    assert machine["commit"]
