"""Shrinking: the smallest plan found that still fails, so that somebody can read what goes wrong.

Whatever is left out changes what happens when, so a smaller plan is tried under several schedules, and keeps the first
under which it fails. Greedy (delta debugging): large cuts first; a cut that still fails is kept, and all cuts are tried
again on what is left, until none is. Any failure counts: what is small and wrong is worth reading, whatever it is.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from tests.sim.plan import Fault, Plan, Script
from tests.sim.script import program
from tests.sim.swarm import Swarm

SCHEDULES = 30
"""Under so many schedules a plan must pass, to pass."""
RUNS_MAX = 6_000
"""A search ends after about so many runs, with the smallest plan until then."""

_T = TypeVar("_T")
Run = Callable[[Plan], str]


def failure_of(plan: Plan) -> str:
    """Run a plan; return the first line of how it fails, "" = it does not."""
    try:
        Swarm(plan).run()
    except Exception as error:  # noqa: BLE001 - whatever a broken protocol breaks is how it shows
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def find_failing(plan: Plan, *, schedules: int = SCHEDULES, run: Run = failure_of) -> Plan | None:
    """Return the plan with the first schedule from its own on under which it fails; None: there is none."""
    candidates = (replace(plan, schedule=plan.schedule + i) for i in range(schedules))
    return next((one for one in candidates if run(one)), None)


def shrink(plan: Plan, *, schedules: int = SCHEDULES, runs_max: int = RUNS_MAX, run: Run = failure_of) -> Plan:
    """Return a plan that fails, and of which no single cut fails (or `runs_max` was reached)."""
    runs = 0

    def counted(one: Plan) -> str:
        nonlocal runs
        runs += 1
        return run(one)

    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in _cuts(plan):
            if runs >= runs_max:
                return plan
            failing = find_failing(candidate, schedules=schedules, run=counted)
            if failing is not None:
                plan, is_smaller = failing, True
                break
    return plan


def _cuts(plan: Plan) -> Iterator[Plan]:
    """Yield smaller plans, those that leave out most first."""
    yield from (replace(plan, scripts=scripts) for scripts in _without_one(plan.scripts))
    if len(plan.faults) > 1:
        half = len(plan.faults) // 2
        yield from (replace(plan, faults=faults) for faults in ((), plan.faults[half:], plan.faults[:half]))
    yield from (replace(plan, faults=faults) for faults in _without_one(plan.faults))
    yield from (replace(plan, trouble={k: v for k, v in plan.trouble.items() if k != name}) for name in plan.trouble)
    yield from (replace(plan, limits={k: v for k, v in plan.limits.items() if k != name}) for name in plan.limits)
    yield from (replace(plan, gtm={k: v for k, v in plan.gtm.items() if k != name}) for name in plan.gtm)
    yield from (replace(plan, clocks=clocks) for clocks in _without_one(plan.clocks))
    if plan.replicas > 1 and not any(fault.whom.endswith("/1") for fault in plan.faults):
        yield replace(plan, replicas=1)
    yield from _fewer_realms(plan)
    yield from (replace(plan, scripts=scripts) for scripts in _smaller_scripts(plan.scripts))


def _fewer_realms(plan: Plan) -> Iterator[Plan]:
    """Leave out a realm that no transaction names."""
    named = {
        operation.realm for script in plan.scripts for one in script for r in one.requests for operation in r.operations
    }
    for realms in _without_one(plan.realms):
        if len(realms) > 1 and named <= set(realms):
            faults = tuple(fault for fault in plan.faults if _realm_of(fault) in (*realms, ""))
            yield replace(plan, realms=realms, faults=faults)


def _realm_of(fault: Fault) -> str:
    return fault.whom.partition("/")[0].partition(".")[2]


def _smaller_scripts(scripts: tuple[Script, ...]) -> Iterator[tuple[Script, ...]]:
    """Leave out one transaction, or one request, or one operation, or what is special about one."""
    for at, script in enumerate(scripts):
        for smaller in (*_without_one(script), *_smaller_programs(script)):
            if smaller:
                yield (*scripts[:at], smaller, *scripts[at + 1 :])


def _smaller_programs(script: Script) -> Iterator[Script]:
    for at, one in enumerate(script):
        for lines in _smaller_lines(one.lines):
            yield (*script[:at], program(lines), *script[at + 1 :])


def _smaller_lines(lines: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a transaction with less in it; the last line stays its commit, and something is left to do."""
    begin, *requests, commit = lines
    operations = tuple(commit.removeprefix("commit").strip().split("; "))
    if begin != "begin":
        yield ("begin", *requests, commit)
    for at, request in enumerate(requests):
        rest = (*requests[:at], *requests[at + 1 :])
        if not request.startswith(("call", "drop")) or len(rest) == len(requests) - 1 == 0:
            yield (begin, *rest, commit)
        for fewer in _without_one(tuple(request.split("; "))):
            if fewer and not request.startswith(("call", "drop")):
                yield (begin, *requests[:at], "; ".join(fewer), *requests[at + 1 :], commit)
    plain = tuple(request for request in requests if not request.startswith(("call", "drop")))
    if len(plain) < len(requests):
        yield (begin, *plain, commit)
    for fewer in _without_one(operations):
        if fewer or plain:
            yield (begin, *requests, f"commit {'; '.join(fewer)}".rstrip())


def _without_one(items: tuple[_T, ...]) -> Iterator[tuple[_T, ...]]:
    for at in range(len(items)):
        yield items[:at] + items[at + 1 :]
