"""Scenario files: plans that once failed are right now, and still notice the rules that they are kept for."""

from pathlib import Path

import pytest

from tests.sim.scenario import FOLDER, Scenario, came_of, read_scenario
from tests.sim.spelling import read_plan, spell_plan

FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_what_comes_of_a_scenario_is_what_its_file_says(path: Path, request: pytest.FixtureRequest) -> None:
    scenario = read_scenario(path)
    came = came_of(scenario.plan, scenario.without)
    if request.config.getoption("--rewrite-scenarios"):
        path.write_text(Scenario(scenario.head, scenario.plan, scenario.without, came).text(), encoding="utf-8")
        return
    assert came == scenario.came, f"{path.name}: `make scenarios` writes it anew; review the diff"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_no_scenario_that_is_kept_is_wrong(path: Path) -> None:
    came = read_scenario(path).came.splitlines()
    assert came[0].startswith("right "), came
    assert all(line.startswith("wrong without: ") for line in came[1:]), came


def test_there_are_scenarios() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_plan_reads_as_it_is_spelt(path: Path) -> None:
    plan = read_scenario(path).plan
    assert read_plan(spell_plan(plan)) == plan
