"""The elector by file locks, with real processes: a death is noticed at once, and an elector that hangs or lies loses nothing."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from functools import partial
from operator import eq
from pathlib import Path
from typing import IO

import pytest

import grit.client as grit
from sample_services.demo.deployment import HOST, free_ports
from tests.e2e.deployment import Deployment, until
from tests.e2e.load import Load

pytestmark = pytest.mark.timeout(120, method="signal")
REST = "dbtm carts player carts dbtm social player social player orders"
SEATS = {"gtm": "gtm", "dbtm orders": "dbtm.orders"}
"""Leader -> seat."""
NEVER = "limits: {election_timeout_ms: 60000}\n"
"""Silence for so long is nothing that a test waits for: who takes over was told to by the elector."""


class Doubled:
    """A deployment in which the GTM and one DBTM have a standby, and file locks say who tries first."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.deployment = Deployment(folder, extra="elector: {kind: file, path: var/elector}\n" + extra)
        self._stolen: list[IO[str]] = []
        self._seats = folder / "var" / "elector"
        text = self.deployment.config.read_text(encoding="utf-8")
        for address, port in zip((self.deployment.gtm, self.deployment.dbtm_orders), free_ports(2), strict=True):
            text = text.replace(f'["{address}"]', f'["{address}", "{HOST}:{port}"]')
        self.deployment.config.write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start all; the first replicas lead and hold their seats."""
        self.deployment.serve(*SEATS, REST, "sidecar")
        self.deployment.until_serving()
        leaders = (self.deployment.gtm, self.deployment.dbtm_orders)
        for seat, address in zip(SEATS.values(), leaders, strict=True):
            self.until_held(seat, partial(eq, address))
        self.deployment.serve(*(f"{leader}/2" for leader in SEATS))

    def seat(self, name: str) -> Path:
        return self._seats / f"{name}.lock"

    def holder(self, seat: str) -> str:
        return self.seat(seat).read_text(encoding="utf-8").strip() if self.seat(seat).exists() else ""

    def until_held(self, seat: str, by: Callable[[str], bool]) -> None:
        until(lambda: by(self.holder(seat)), lambda: f"{seat}: held by {self.holder(seat)!r}")

    def steal(self, seat: str) -> None:
        """Put a file in the place of a seat's that nobody can lock."""
        stolen = self.seat(seat).with_suffix(".stolen").open("w")
        self._stolen.append(stolen)
        fcntl.flock(stolen, fcntl.LOCK_EX)
        Path(stolen.name).replace(self.seat(seat))

    def give_away(self, seat: str) -> None:
        """Put a file in the place of a seat's that says the same, and that nobody has locked; wait until somebody has."""
        holder, lie = self.holder(seat), self.seat(seat).with_suffix(".lie")
        lie.write_text(holder, encoding="utf-8")
        lie.replace(self.seat(seat))
        self.until_held(seat, lambda now: now not in ("", holder))

    def stop(self) -> None:
        self.deployment.stop()
        for stolen in self._stolen:
            stolen.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Doubled]:
    """A deployment whose standbys would wait a minute for a sign of life."""
    doubled = Doubled(tmp_path / "patient", NEVER)
    try:
        yield doubled
    finally:
        doubled.stop()


@pytest.fixture
def usual(tmp_path: Path) -> Iterator[Doubled]:
    doubled = Doubled(tmp_path / "usual")
    try:
        yield doubled
    finally:
        doubled.stop()


async def test_a_standby_believes_the_elector_at_once_whether_the_leader_lives_or_is_dead_and_nothing_is_lost(
    patient: Doubled,
) -> None:
    patient.start()
    deployment = patient.deployment
    async with grit.connect(deployment.sidecar) as db:
        async with Load(db) as load:
            await load.more(20)
            for seat in SEATS.values():
                patient.give_away(seat)
            for replica in ("/2", ""):
                await load.more(20)
                for leader in SEATS:
                    deployment.processes[leader + replica].kill()
                await load.more(20)
                deployment.serve(*(leader + replica for leader in SEATS))
        deployment.until_serving()
        await load.expect_true(db)
    deployment.expect_valid()


async def test_an_elector_that_gives_nobody_the_seat_costs_time_only(usual: Doubled) -> None:
    usual.start()
    deployment = usual.deployment
    async with grit.connect(deployment.sidecar) as db:
        async with Load(db) as load:
            await load.more(20)
            for leader, seat in SEATS.items():
                deployment.processes[leader].signal(signal.SIGSTOP)
                usual.steal(seat)
                deployment.processes[leader].kill()
            await load.more(20)
            for leader in SEATS:
                deployment.serve(leader)
        deployment.until_serving()
        await load.expect_true(db)
    deployment.expect_valid()
