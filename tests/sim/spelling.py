"""Plans as text, to be read, reviewed as a diff, and read back.

    schedule 47
    realms document table
    replicas 2
    limits history_keys=1
    gtm round_max=1
    trouble appends_unknown=0.3 databases=0.1
    clock gtm/1 ahead_ms=30000 rate=0.5
    client
      begin key=k1
        get table.items 1; count document.docs a<=1
        commit patch table.items 2 {"a":1}
    at 412 kill dbtm.table/0

How transactions are written: `tests.sim.script`.
"""

from collections.abc import Iterator, Mapping

from grit.core.ids import Realm
from tests.sim.plan import ClockOf, Fault, Plan
from tests.sim.script import WORDS, program

_FACTS = ("schedule", "realms", "replicas", "limits", "gtm", "trouble", "clock", "at")


def spell_plan(plan: Plan) -> str:
    """Return the text of a plan; every line ends with a newline."""
    return "".join(f"{line}\n" for line in _lines_of(plan))


def _lines_of(plan: Plan) -> Iterator[str]:
    yield f"schedule {plan.schedule}"
    yield f"realms {' '.join(plan.realms)}"
    yield f"replicas {plan.replicas}"
    if plan.limits:
        yield f"limits {_pairs(plan.limits)}"
    if plan.gtm:
        yield f"gtm {_pairs(plan.gtm)}"
    if plan.trouble:
        yield f"trouble {_pairs(plan.trouble)}"
    for clock in plan.clocks:
        yield f"clock {clock.whom} {_pairs({'ahead_ms': clock.ahead_ms, 'rate': clock.rate})}"
    for script in plan.scripts:
        yield "client"
        for one in script:
            yield f"  {one.lines[0]}"
            yield from (f"    {line}" for line in one.lines[1:])
    for fault in plan.faults:
        yield f"at {fault.at} {fault.what} {fault.whom}"


def read_plan(text: str) -> Plan:
    """Return the plan of a text; lines that begin with # are comments.

    Raises:
        ValueError: A line that says nothing known.
    """
    facts: dict[str, list[str]] = {}
    scripts: list[list[list[str]]] = []
    for line in (line.strip() for line in text.splitlines()):
        word, _, rest = line.partition(" ")
        if word in _FACTS:
            facts.setdefault(word, []).append(rest)
        elif word == "client":
            scripts.append([])
        elif word == "begin":
            scripts[-1].append([line])
        elif word in WORDS:
            scripts[-1][-1].append(line)
        elif word and not word.startswith("#"):
            raise ValueError(f"a plan does not know {line!r}")
    return Plan(
        schedule=int(facts["schedule"][0]),
        realms=tuple(Realm(name) for name in facts["realms"][0].split()),
        replicas=int(facts["replicas"][0]),
        scripts=tuple(tuple(program(one) for one in script) for script in scripts),
        faults=tuple(_fault(rest) for rest in facts.get("at", ())),
        limits={name: int(value) for name, value in _values(facts.get("limits", [""])[0])},
        gtm={name: int(value) for name, value in _values(facts.get("gtm", [""])[0])},
        trouble={name: float(value) for name, value in _values(facts.get("trouble", [""])[0])},
        clocks=tuple(_clock(rest) for rest in facts.get("clock", ())),
    )


def _fault(text: str) -> Fault:
    at, what, whom = text.split()
    return Fault(int(at), what, whom)


def _clock(text: str) -> ClockOf:
    whom, _, rest = text.partition(" ")
    values = dict(_values(rest))
    return ClockOf(whom, int(values.get("ahead_ms", 0)), float(values.get("rate", 1.0)))


def _values(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.split():
        name, _, value = pair.partition("=")
        yield name, value


def _pairs(values: Mapping[str, int] | Mapping[str, float]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
