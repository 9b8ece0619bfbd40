"""What holds for every test: how Hypothesis runs, and how the simulator's seeds are chosen.

A test that takes `sim_seed` runs once for each of the first seeds; `make sim` runs others, and shows one. Where it is marked
`sim_seeds(n)` these are n: CI runs thousands of fresh ones of the same kind beside.
"""

import pytest
from hypothesis import HealthCheck, settings

SEEDS = 500
"""How many seeds run where nobody says."""

# Tests never depend on the speed of the machine; a failure prints what repeats it.
settings.register_profile("grit", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("grit")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sim", "the simulator")
    group.addoption(
        "--sim-seeds", type=int, default=None, help=f"run so many seeds (default {SEEDS}, or what the test says)"
    )
    group.addoption("--sim-first", type=int, default=0, help="begin with this seed (default 0)")
    group.addoption("--sim-seed", type=int, default=None, help="run this seed only")
    group.addoption("--rewrite-scenarios", action="store_true", help="write what comes of tests/scenarios/*.txt anew")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sim_seed" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--sim-seed")
    first = metafunc.config.getoption("--sim-first")
    marked = metafunc.definition.get_closest_marker("sim_seeds")
    count = metafunc.config.getoption("--sim-seeds") or (marked.args[0] if marked else SEEDS)
    seeds = range(first, first + count) if only is None else [only]
    metafunc.parametrize("sim_seed", seeds)
