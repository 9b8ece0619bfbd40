"""Plans: everything that a run is made of but the order in which things happen, as data.

A seed draws a plan: realms, programs of clients, faults and when they strike, what is slow, failing or wrong. The order of everything
is then drawn from the plan's schedule. So a plan can be read, written to a file (`tests.sim.spelling`), made smaller, and run under
other schedules.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from grit.core.ids import Realm
from tests.sim.programs import CATALOGUE, EVERYWHERE, Programs
from tests.sim.script import Program

FAULTS = ("kill", "term", "pause", "cut", "drain", "fuse", "deafen", "stall")
"""Of a process: dead; told to stop; stopped; a link lost; a link lost that drains; dead in the middle of a step; cut off from its logs; a
database that takes its time. A later one may end what an earlier one began."""
FAULTS_A_RUN = 6
FAULT_STEPS = 300
"""A fault happens about so many steps after the one before."""
HOUR_MS = 3_600_000
MEMORIES = (1, 4, 1_000_000)
"""What a DBTM remembers: with little it has to look into the database, and finds reads too old."""
HASTY = {"pending_refuse_ms": 100, "pending_fold_ms": 10}
"""DBTMs that free themselves from a GTM that has hardly begun to decide."""
TIGHT = {"pending_refuse_ms": 100, "open_requests": 2, "pending_parts": 1, "aborts_remembered": 50}
"""And whose tables are full most of the time."""


Script = tuple[Program, ...]
"""What one client does, one transaction after the other."""

SMALL_ROUNDS = {"round_max": 1, "record_entries_max": 1, "rounds_evaluated_max": 1}
"""GTMs that put one transaction at a time to the vote."""
FEW = {"round_max": 2, "waiting_max": 1, "aborted_max": 1, "keys_max": 2, "refusals_max": 1, "askers_max": 1}
"""And whose tables are full most of the time."""


class Fault(msgspec.Struct, frozen=True):
    """`what` happens to `whom` (`gtm/0`, `dbtm.table/1`, `player.graph/0`, `client/2`) at a step."""

    at: int
    what: str
    whom: str


class ClockOf(msgspec.Struct, frozen=True):
    """How the clock of a process differs."""

    whom: str
    ahead_ms: int = 0
    rate: float = 1.0


class Plan(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        schedule: The seed of the order of everything.
        realms: Those that there are.
        replicas: Of every role.
        scripts: What each client does, one transaction after the other.
        limits: Of the DBTMs, by name; the others are the defaults. `gtm`: likewise of the GTMs.
        trouble: Shares of what goes wrong by itself: `appends_unknown`, `appends_refused`, `databases`.
    """

    schedule: int
    realms: tuple[Realm, ...] = tuple(CATALOGUE)
    replicas: int = 2
    scripts: tuple[Script, ...] = ()
    faults: tuple[Fault, ...] = ()
    limits: dict[str, int] = {}
    gtm: dict[str, int] = {}
    trouble: dict[str, float] = {}
    clocks: tuple[ClockOf, ...] = ()


def draw(seed: int, *, clients: int | None = None, transactions: int = 3) -> Plan:
    """Draw a run, a different mix of everything each (swarm); `clients` None: two to five."""
    count = 2 + seed % 4 if clients is None else clients
    chance = random.Random(f"plan {seed}")
    realms = tuple(sorted(chance.sample(sorted(EVERYWHERE), chance.choice((2, 2, 3, 3, 4)))))
    programs = Programs(chance, realms)
    scripts = tuple(tuple(programs.transaction() for _ in range(transactions)) for _ in range(count))
    limits = {"history_keys": chance.choice(MEMORIES), "images_records": chance.choice(MEMORIES)}
    limits |= chance.choice(({}, {}, {}, HASTY, TIGHT)) | chance.choice(({}, {}, {"record_entries": 1}))
    gtm = chance.choice(({}, {}, {}, SMALL_ROUNDS, FEW))
    trouble = {
        "appends_unknown": chance.choice((0.0, 0.0, 0.0, 0.1, 0.3)),
        "appends_refused": chance.choice((0.0, 0.0, 0.0, 0.2)),
        "databases": chance.choice((0.0, 0.0, 0.0, 0.2)),
    }
    replicas = chance.choice((1, 2, 2, 2))
    slots = list(_slots(realms, replicas))
    faults = tuple(_draw_faults(chance, slots, max(FAULTS_A_RUN, count * transactions // 5)))
    clocks = tuple(_draw_clocks(chance, [*slots, *(f"client/{i}" for i in range(count))]))
    return Plan(
        schedule=seed,
        realms=realms,
        replicas=replicas,
        scripts=scripts,
        faults=faults,
        limits=limits,
        gtm=gtm,
        trouble={name: share for name, share in trouble.items() if share},
        clocks=clocks,
    )


def _slots(realms: Sequence[Realm], replicas: int) -> Iterator[str]:
    for role in ("gtm", *(f"dbtm.{realm}" for realm in realms), *(f"player.{realm}" for realm in realms)):
        yield from (f"{role}/{replica}" for replica in range(replicas))


def _draw_faults(chance: random.Random, slots: Sequence[str], count: int) -> Iterator[Fault]:
    kinds = chance.sample(FAULTS, chance.randint(1, 4))
    at = 0
    for _ in range(count):
        at += chance.randint(1, 2 * FAULT_STEPS)
        what = chance.choice(kinds)
        able = [slot for slot in slots if (what == "stall") == slot.startswith("player")]
        yield Fault(at, what, chance.choice(slots if what in ("kill", "pause", "fuse") else able))


def _draw_clocks(chance: random.Random, slots: Sequence[str]) -> Iterator[ClockOf]:
    """Most runs have good clocks; in the others some are fast, slow, or an hour off."""
    if chance.random() < 0.7:
        return
    for slot in chance.sample(slots, chance.randint(1, 3)):
        ahead_ms = chance.choice((0, -HOUR_MS, HOUR_MS) if slot.startswith("client") else (0, -30_000, 30_000))
        yield ClockOf(slot, ahead_ms, chance.choice((1.0, 0.5, 2.0)))
