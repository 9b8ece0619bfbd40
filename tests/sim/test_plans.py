"""Plans: a run is its plan, a plan is its text, and what fails is made small."""

import pytest

from grit.core.operations import Delete, Operation
from tests.sim.plan import Fault, Plan, draw
from tests.sim.programs import ITEMS
from tests.sim.shrink import failure_of, find_failing, shrink
from tests.sim.spelling import read_plan, spell_plan
from tests.sim.swarm import Swarm


@pytest.mark.parametrize("seed", range(100))
def test_a_plan_reads_as_it_is_spelt(seed: int) -> None:
    plan = draw(seed)
    assert read_plan(spell_plan(plan)) == plan


def test_a_line_that_says_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="'kil gtm'"):
        read_plan("schedule 1\nkil gtm\n")


def _journal(plan: Plan) -> list[str]:
    cluster = Swarm(plan)
    cluster.run()
    return list(cluster.world.journal.read())


def test_the_same_plan_is_the_same_run() -> None:
    plan = draw(7)
    assert _journal(plan) == _journal(plan)
    assert _journal(plan) != _journal(read_plan(spell_plan(plan).replace("schedule 7", "schedule 8")))


def test_a_journal_says_who_did_what_and_why() -> None:
    lines = _journal(draw(7))
    said = next(line for line in lines if "OutcomeAnswered" in line)
    assert "setup.0/1" in said
    assert said.endswith("]")
    assert not any("t-18bcfe" in line for line in lines)


def _operations(plan: Plan) -> list[Operation]:
    return [
        one for script in plan.scripts for done in script for request in done.requests for one in request.operations
    ]


def test_of_a_plan_that_fails_only_what_is_guilty_is_left() -> None:
    guilty = Fault(100, "kill", "gtm/0")
    plan = read_plan(
        spell_plan(draw(2, clients=4))
        + "at 100 kill gtm/0\nclient\n  begin key=k1\n    get table.items 1\n    commit get table.items 2; delete table.items 2\n"
    )

    def run(one: Plan) -> str:
        deletes = [op for op in _operations(one) if isinstance(op, Delete) and op.collection == ITEMS]
        return "wrong" if guilty in one.faults and deletes and one.schedule % 3 == 0 else ""

    small = shrink(plan, run=run)
    assert small.faults == (guilty,)
    assert len(_operations(small)) == 1
    assert (small.replicas, small.limits, small.trouble, small.clocks) == (1, {}, {}, ())
    assert run(small)


def test_a_cut_always_leaves_something_to_do() -> None:
    seen: list[Plan] = []

    def run(one: Plan) -> str:
        seen.append(one)
        return "wrong"

    shrink(draw(3), run=run)
    assert all(one.requests for plan in seen for script in plan.scripts for one in script)
    assert all(any(request.operations for request in one.requests) for plan in seen for s in plan.scripts for one in s)


def test_a_plan_that_is_right_fails_under_no_schedule() -> None:
    assert failure_of(Plan(schedule=1)) == ""
    assert find_failing(Plan(schedule=1), schedules=3) is None
