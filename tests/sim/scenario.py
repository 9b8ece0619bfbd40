"""Scenario files: small plans that once failed, what they show, and what must come of them.

    # Why, in words.
    without a condition that may have come true aborts
    schedule 41
    ...
    ----
    right under 30 schedules
    wrong without: a condition that may have come true aborts

Above the line is a plan (`tests.sim.spelling`), and the rules whose removal it must notice; below it what came of both.
`make scenarios` writes the lower part anew, to be reviewed as a diff.
"""

from pathlib import Path

import msgspec

from tests.sim.mutations import MUTATIONS
from tests.sim.plan import Plan
from tests.sim.shrink import find_failing
from tests.sim.spelling import read_plan, spell_plan

FOLDER = Path(__file__).parents[1] / "scenarios"
RULE = "----\n"
SCHEDULES = 30
"""The plan must be right under so many."""
SCHEDULES_WITHOUT = 150
"""And wrong under one of so many when a rule is taken out."""


class Scenario(msgspec.Struct, frozen=True):
    """One file. `head` is the text above the line, `without` the rules that it names, `came` the text below."""

    head: str
    plan: Plan
    without: tuple[str, ...]
    came: str

    def text(self) -> str:
        """Return the whole file."""
        return self.head + RULE + self.came


def read_scenario(path: Path) -> Scenario:
    """Return the scenario of a file."""
    head, _, came = path.read_text(encoding="utf-8").partition(RULE)
    marked = [line.removeprefix("without ") for line in head.splitlines() if line.startswith("without ")]
    plan = read_plan("\n".join(line for line in head.splitlines() if not line.startswith("without ")))
    return Scenario(head, plan, tuple(marked), came)


def write_found(plan: Plan, name: str, why: str, without: str = "") -> Path:
    """Write a plan that fails as a scenario that nobody has reviewed; return its file."""
    path = FOLDER / f"{name}.txt"
    rules = f"without {without}\n" if without else ""
    head = f"# {why}\n{rules}{spell_plan(plan)}"
    path.write_text(head + RULE + came_of(plan, (without,) if without else ()), encoding="utf-8")
    return path


def came_of(plan: Plan, without: tuple[str, ...]) -> str:
    """Run a plan as it is, and without each rule; return what came of it."""
    failing = find_failing(plan, schedules=SCHEDULES)
    verdict = f"right under {SCHEDULES} schedules" if failing is None else f"wrong under schedule {failing.schedule}"
    return "".join(f"{line}\n" for line in (verdict, *(_without(plan, rule) for rule in without)))


def _without(plan: Plan, rule: str) -> str:
    (mutation,) = (one for one in MUTATIONS if one.rule == rule)
    with mutation.remove():
        failing = find_failing(plan, schedules=SCHEDULES_WITHOUT)
    return f"{'right' if failing is None else 'wrong'} without: {rule}"
