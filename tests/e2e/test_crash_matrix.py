"""The crash matrix in real processes: whoever dies or pauses wherever, nothing is lost and nothing stays stuck.

`make crash-matrix`; not part of `make test`, for its length. One deployment serves all points: the GTM and the DBTM of
orders have a standby each, and who died is started again at once, as a supervisor would. A failpoint that nobody reaches
fails its test.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

import grit.client
from grit.client import Client, Transaction, Unavailable
from grit.core.errors import Code
from sample_services.demo.deployment import HOST, free_ports
from tests.e2e import crash_service
from tests.e2e.crash_points import ALONE, CLIENT, KILLED, LED, PLAYER, POWER_CUT, SERVICE, Point
from tests.e2e.deployment import Deployment, Process, until
from tests.e2e.load import CLIENTS, Load, patiently

pytestmark = [pytest.mark.xdist_group("crash matrix"), pytest.mark.timeout(180, method="signal")]

REST = "dbtm carts player carts dbtm social player social"
SOME = 20
STUCK_S = 10.0
"""Nothing may be stuck for longer, from the moment at which somebody died."""


class LocalLoad(Load):
    """Each transaction reads and writes one realm: its DBTM alone decides."""

    async def _order(self, txn: Transaction, order_id: str) -> None:
        assert await txn.get("orders.orders", order_id) is None
        order = {"order_id": order_id, "customer": self._name, "product": "x", "qty": 1, "total_cents": 1}
        await txn.insert("orders.orders", {**order, "status": "open"})

    async def _look(self, txn: Transaction) -> tuple[set[str], set[str], int]:
        orders = await self._orders(txn)
        return orders, orders, len(orders)


class CallingLoad(Load):
    """As its parent, but the order and the stock are the work of a service that is called in the transaction."""

    def __init__(self, db: Client, channel: grpc.aio.Channel) -> None:
        super().__init__(db)
        self._take: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(crash_service.METHOD)

    async def _order(self, txn: Transaction, order_id: str) -> None:
        await txn.put("carts.carts", {"customer": order_id, "items": [], "status": self._name})
        try:
            await self._take(f"{order_id} {self._name}".encode())
        except grpc.aio.AioRpcError as error:
            raise Unavailable(Code.NO_LEADER, f"the service is away: {error.details()}") from error


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("matrix"))
    deployment.add_standbys(deployment.gtm, deployment.dbtm_orders)
    try:
        deployment.serve("gtm", "dbtm orders", "player orders", REST, "sidecar")
        deployment.until_serving()
        deployment.serve("gtm/2", "dbtm orders/2")
        yield deployment
    finally:
        deployment.stop()


class Scene:
    """A deployment under two loads, and what happens to it."""

    def __init__(self, deployment: Deployment, db: Client, loads: tuple[Load, Load]) -> None:
        self.deployment = deployment
        self.db = db
        self.loads = loads
        self.recovered_s = 0.0

    async def more(self, count: int) -> None:
        """Wait until so many more were acknowledged of transactions of either kind."""
        await asyncio.gather(*(load.more(count) for load in self.loads))

    async def expect_progress(self, since: float) -> None:
        """Expect that transactions of both kinds which began afterwards commit soon."""
        await self.more(CLIENTS + 1)  # of those under way each client has one: their answers may still come
        self.recovered_s = time.monotonic() - since
        assert self.recovered_s <= STUCK_S, f"stuck for {self.recovered_s:.1f} s"

    async def reached(self, process: Process, point: str, status: int) -> float:
        """Wait until a failpoint has acted; return when it was seen."""
        await self.until(lambda: not process.is_running, lambda: f"{point} was reached by\n{process.output[-2_000:]}")
        ended = process.wait()
        assert ended == status, f"ended with {ended}, not {status}, at {point}\n{process.output[-2_000:]}"
        return time.monotonic()

    async def expect_applied(self, since: float) -> None:
        """Expect that the databases take what is in the logs again soon."""
        lsn = self.deployment.lsn("orders")
        await self.until(lambda: self.deployment.applied("orders") >= lsn, lambda: f"orders has Lsn {lsn}")
        self.recovered_s = time.monotonic() - since
        assert self.recovered_s <= STUCK_S, f"stuck for {self.recovered_s:.1f} s"

    async def acted(self, victim: Process, point: Point) -> float:
        """Wait until the failpoints of a point have acted; return when it was seen."""
        if not point.is_stop:
            return await self.reached(victim, point.at, point.status)
        await self.until(lambda: victim.is_stopped, lambda: f"{point.at} has stopped\n{victim.output[-2_000:]}")
        return time.monotonic()

    async def until(self, is_true: Callable[[], bool], what: Callable[[], str]) -> None:
        await asyncio.to_thread(until, is_true, what)

    async def restart(self, name: str, failpoints: str = "") -> Process:
        """Start a process, again if it runs, with failpoints."""
        process = self.deployment.processes[name]
        await asyncio.to_thread(process.kill)
        process.start(failpoints=failpoints)
        return process


@asynccontextmanager
async def under_load(deployment: Deployment, point: Point) -> AsyncIterator[Scene]:
    """Load a deployment; at the end everything must be as clients were told. Says what the point did."""
    await asyncio.to_thread(deployment.until_serving)
    async with grit.client.connect(deployment.sidecar, service="load") as db:
        async with Load(db) as globals_, LocalLoad(db) as locals_:
            scene = Scene(deployment, db, (globals_, locals_))
            await scene.more(SOME)
            yield scene
            await scene.more(SOME)
        await asyncio.to_thread(deployment.until_applied)
        await asyncio.to_thread(deployment.expect_valid)
        for load in scene.loads:
            await load.expect_true(db)
    told = [len(set_) for load in scene.loads for set_ in (load.acknowledged, load.refused, load.unknown)]
    print(
        f"{point.what}: {point.at}; goes on after {scene.recovered_s:.1f} s; acknowledged, refused, unknown:"
        f" global {told[:3]}, local {told[3:]}; VALID"
    )


@pytest.mark.parametrize("point", LED, ids=lambda point: point.what)
async def test_a_replica_that_dies_or_pauses(doubled: Deployment, point: Point) -> None:
    async with under_load(doubled, point) as scene:
        leader = await asyncio.to_thread(doubled.leader, point.role)
        second = next(name for name in doubled.leaders.values() if name.startswith(point.role) and name != leader)
        victim = await scene.restart(second, point.at)
        await scene.until(lambda: "announcer" in victim.output, lambda: f"{second} has started: {victim.output}")
        doubled.processes[leader].signal(point.ends)
        await asyncio.to_thread(doubled.processes[leader].wait)
        if point.is_taking_over:  # else who was killed could claim first
            await scene.acted(victim, point)
        other = await scene.restart(leader, point.successor)
        at = await scene.acted(victim, point)
        if point.successor:
            at = await scene.reached(other, point.successor, KILLED)
            other.start()
        if point.is_stop:
            await _comes_back_as_zombie(scene, victim, at)
        else:
            victim.start()
            await scene.expect_progress(at)


async def _comes_back_as_zombie(scene: Scene, victim: Process, at: float) -> None:
    """Another one takes over; then who was stopped goes on with what it was about to do."""
    await scene.expect_progress(at)
    await scene.more(SOME)
    victim.signal(signal.SIGCONT)


async def test_everything_dies_at_once(doubled: Deployment) -> None:
    """As in a power cut: nobody resigned, every standby waits for the time-out, and players and sidecars find no one."""
    async with under_load(doubled, POWER_CUT) as scene:
        at = time.monotonic()
        for process in doubled.processes.values():
            process.signal(signal.SIGKILL)
        for process in doubled.processes.values():
            await asyncio.to_thread(process.wait)
        for process in doubled.processes.values():
            process.start()
        await scene.more(CLIENTS + 1)
        scene.recovered_s = (
            time.monotonic() - at
        )  # all of them start on this machine: for this there is no limit of 10 s


@pytest.mark.parametrize("point", ALONE, ids=lambda point: point.what)
async def test_a_player_or_a_sidecar_that_dies_or_pauses(doubled: Deployment, point: Point) -> None:
    async with under_load(doubled, point) as scene:
        victim = await scene.restart(point.role, point.at)
        at = await scene.acted(victim, point)
        if point.is_stop:
            await _two_players(scene, victim, at)
            return
        victim.start()
        await scene.expect_progress(at)
        if point.role == PLAYER:
            await scene.expect_applied(at)


async def _two_players(scene: Scene, stopped: Process, at: float) -> None:
    """While one holds a batch, another one applies; then both run, and the first goes on with its batch."""
    name = "player orders twice"
    second = scene.deployment.run(name, ["serve", "player", "orders", "-c", scene.deployment.config])
    try:
        await scene.until(lambda: "announcer" in second.output, lambda: second.output)
        await scene.expect_progress(at)
        await scene.expect_applied(at)
        stopped.signal(signal.SIGCONT)
        await scene.more(SOME)
    finally:
        await asyncio.to_thread(second.kill)
        del scene.deployment.processes[name]


async def test_a_called_service_that_dies_between_two_calls(doubled: Deployment, tmp_path: Path) -> None:
    async with under_load(doubled, SERVICE) as scene:
        address = f"{HOST}:{free_ports(1)[0]}"
        service = Process([address, doubled.sidecar], tmp_path / "service.out", module=crash_service.__name__)
        service.start(failpoints=SERVICE.at)
        try:
            await scene.until(lambda: "listening" in service.output, lambda: service.output)
            async with grpc.aio.insecure_channel(address, interceptors=[grit.client.CallInterceptor()]) as channel:
                async with CallingLoad(scene.db, channel) as calling:
                    at = await scene.reached(service, SERVICE.at, SERVICE.status)
                    service.start()
                    await scene.expect_progress(at)
                    await calling.more(SOME)
                await calling.expect_true(scene.db)
        finally:
            await asyncio.to_thread(service.kill)


@pytest.mark.parametrize("point", CLIENT, ids=lambda point: point.what)
async def test_a_client_that_dies(doubled: Deployment, point: Point, tmp_path: Path) -> None:
    async with under_load(doubled, point) as scene:
        name = f"d{time.monotonic_ns() % 10**12}"  # the status of a cart has 16 characters
        client = Process([doubled.sidecar, name], tmp_path / "client.out", module="tests.e2e.crash_client")
        client.start(failpoints=point.at)
        at = await scene.reached(client, point.at, point.status)
        await scene.expect_progress(at)
        acknowledged = set(client.output.split())
        assert acknowledged, "it died before its first commit"
        there = await patiently(scene.db, lambda txn: _orders_of(txn, name))
        assert acknowledged <= there
        # The one that was under way: committed or not, but one, and in both databases.
        assert len(there - acknowledged) <= 1
        carts = await patiently(scene.db, lambda txn: _carts_of(txn, name))
        assert carts == there


async def _orders_of(txn: Transaction, name: str) -> set[str]:
    return {row["order_id"] for row in await txn.find("orders.orders", grit.client.field("customer") == name)}


async def _carts_of(txn: Transaction, name: str) -> set[str]:
    return {row["customer"] for row in await txn.find("carts.carts", grit.client.field("status") == name)}
