"""Certification: how many transactions one core can judge, and what that costs in memory.

*alone*: a decoded part in; the verdict, and its writes in the history, out. Reads lie `LAG` transactions back, so each
is looked up. *step*: a whole `DbtmMachine`: decoding, images, the record of the log, its fold, and the answers.
Rates are by CPU time of this process: so many on one core, whoever else uses the machine.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.dbtm_driver import CATALOGUE, ITEM, REALM, DbtmDriver
from bench.figure import Figure, Target
from bench.results import ROOT
from bench.settings import Settings
from dbtm.certify import Certifier
from dbtm.constraints import Constraints
from dbtm.history import Change, History
from dbtm.pending import Pending
from grit.core.ids import Key, Lsn, TxnId
from grit.core.keys import encode_key
from grit.core.parts import Act, Expect, KeyRead, Part, Write, encode_changes, encode_part
from grit.core.values import encode_record

READS, WRITES, LAG, GROUP = 10, 5, 50, 50
HISTORY_MAX = 1_000_000
FIELDS = frozenset({"on_hand"})
NO_FIELDS: frozenset[str] = frozenset()
KEYS = (10_000, 100_000, 1_000_000)


def run(settings: Settings) -> list[Figure]:
    """Measure certification alone, its growth, the whole step, and memory."""
    count = settings.pick(60_000, 300_000)
    figures: list[Figure] = []
    rates: dict[int, float] = {}
    for keys in KEYS:
        rates[keys], refused = alone(keys, count)
        target = Target(">=", 100_000) if keys == 100_000 else None
        figures.append(Figure(f"alone, {keys:,} keys", rates[keys], "1/s", target, f"{refused} refused"))
    figures.append(Figure("alone, cost of 1,000,000 keys / of 10,000", rates[KEYS[0]] / rates[KEYS[-1]], "x"))
    most = settings.pick(100_000, 1_000_000)
    for keys in sorted({KEYS[0], KEYS[1], most}):
        rates[keys], refused = step(keys, settings.pick(10_000, 50_000))
        figures.append(Figure(f"step with after-images, {keys:,} keys", rates[keys], "1/s", None, f"{refused} refused"))
    figures.append(
        Figure(f"step, cost of {most:,} keys / of 10,000", rates[KEYS[0]] / rates[most], "x", Target("<=", 1.2))
    )
    figures.append(Figure("history of 1,000,000 keys", _history_mib(1_000_000), "MiB", Target("<=", 1_024)))
    return figures


def alone(keys: int, count: int) -> tuple[float, int]:
    """Return certifications a second, and how many were refused."""
    names = [encode_key([number]) for number in range(keys)]
    history = filled_history(names)
    certifier = Certifier(REALM, Constraints(CATALOGUE), history, Pending())
    before, after = encode_record({"id": 1, "on_hand": 7}), encode_record({"id": 1, "on_hand": 8})
    refused, spent = 0, 0.0
    for batch in _batches(names, count):
        # What arrives is made outside of the clock, a batch at a time: its positions must not grow old.
        positions = Lsn(history.newest - LAG)
        parts = [Part(positions, reads, writes) for reads, writes in batch]
        began = time.process_time()
        for part in parts:
            if certifier.find_stale(part) is not None:
                refused += 1
                continue
            lsn = Lsn(history.newest + 1)
            changes = [
                Change(lsn, _TXID, "bench", w.collection, w.key, FIELDS, NO_FIELDS, before, after) for w in part.writes
            ]
            history.add(lsn, changes)
            history.trim(lsn)
        spent += time.process_time() - began
    return count / spent, refused


def step(keys: int, count: int) -> tuple[float, int]:
    """Return local commits a second of a whole machine, and how many were refused."""
    driver = DbtmDriver()
    names = [encode_key([number]) for number in range(keys)]
    for first in range(0, keys, 1_000):
        writes = tuple(
            Write(
                ITEM, names[at], Expect.ANYTHING, Act.REPLACE, encode_record({"id": at, "on_hand": 0, "name": f"n{at}"})
            )
            for at in range(first, min(first + 1_000, keys))
        )
        driver.commit([(driver.txid(), encode_part(Part(Lsn(0), (), writes)))])
        driver.tick()
    refused_before = driver.refused
    spent = 0.0
    for batch in _batches(names, count):
        position = driver.tail()
        parts = [(driver.txid(), encode_part(Part(position, reads, writes))) for reads, writes in batch]
        began = time.process_time()
        driver.commit(parts)
        spent += time.process_time() - began
        driver.tick()
    return count / spent, driver.refused - refused_before


def filled_history(names: list[Key]) -> History:
    """Return a history in which every key was written once."""
    history = History(HISTORY_MAX)
    for at, name in enumerate(names):
        lsn = Lsn(at + 1)
        before, after = encode_record({"id": at, "on_hand": at}), encode_record({"id": at, "on_hand": at + 1})
        history.add(
            lsn, [Change(lsn, TxnId(f"t-{at:011x}-{at:016x}"), "bench", ITEM, name, FIELDS, NO_FIELDS, before, after)]
        )
    return history


_TXID = TxnId("t-00000000001-0000000000000001")


def _batches(names: list[Key], count: int) -> Iterator[list[tuple[tuple[KeyRead, ...], tuple[Write, ...]]]]:
    """Yield reads and writes of transactions, uniform over the keys, in groups that arrive together."""
    chance = random.Random(1)
    changed = encode_changes({"on_hand": 8})
    for _ in range(0, count, GROUP):
        yield [
            (
                tuple(KeyRead(ITEM, name, ("on_hand",)) for name in chance.sample(names, READS)),
                tuple(Write(ITEM, name, Expect.PRESENT, Act.CHANGE, changed) for name in chance.sample(names, WRITES)),
            )
            for _ in range(GROUP)
        ]


def _history_mib(keys: int) -> float:
    command = [sys.executable, "-m", "bench.history_memory", str(keys)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout)
