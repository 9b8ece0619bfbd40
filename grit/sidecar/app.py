"""The sidecar as a role of a process."""

from collections.abc import Iterable, Mapping, Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.core.limits import Limits
from grit.core.messages import Message
from grit.runtime.links.port import Links
from grit.sidecar.admin import AdminService
from grit.sidecar.clock import Clock
from grit.sidecar.outcomes import Outcomes
from grit.sidecar.peers import Peers
from grit.sidecar.requests import Requests
from grit.sidecar.service import SERVICE, RelayInterceptor, Relays, TransactionsService
from grit.sidecar.sessions import Sessions
from grit.telemetry.metrics import Sample
from grit.wire.channel import SERVER_OPTIONS

ADMIN = "grit.pb.v1.Admin"
CLOSE_S = 1.0


class SidecarRole:
    """A `grit.runtime.supervisor.Role`: the sidecar at one address.

    Args:
        catalogue: Of the deployment.
        links: The kind of connection to the GTM and the DBTMs.
        listen: host:port of the gRPC server; port 0 = any.
        gtm: Addresses of the GTM's replicas.
        dbtms: Realm -> addresses of its DBTM's replicas.
        limits: Bounds of everything.
        advertise: host:port at which called services reach it; "" = as it listens.
        drain_ms: How long open transactions may go on when the process is told to stop.
    """

    def __init__(
        self,
        catalogue: Mapping[Realm, RealmDef],
        links: Links[Message],
        listen: str,
        *,
        gtm: Sequence[str],
        dbtms: Mapping[Realm, Sequence[str]],
        limits: Limits,
        advertise: str = "",
        drain_ms: int = 5_000,
        clock: Clock | None = None,
    ) -> None:
        self._listen = listen
        self._bound = ""
        self._advertise = advertise
        self._drain_ms = drain_ms
        self._clock = clock or Clock()
        self._peers = Peers(links, gtm, dbtms, self._clock)
        self._sessions = Sessions(catalogue, limits, self._peers, self._clock)
        outcomes = Outcomes(self._sessions, self._peers, list(catalogue))
        self._requests = Requests(catalogue, limits, self._sessions, outcomes)
        self._relays = Relays()
        self._admin = AdminService(catalogue, self._sessions, outcomes, self._clock)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    @property
    def name(self) -> str:
        """Return the role."""
        return "sidecar"

    @property
    def address(self) -> str:
        """Return host:port of the gRPC server, with the bound port once it has started."""
        return self._bound or self._listen

    async def start(self) -> None:
        """Begin to serve, and to dial; transactions are Unavailable until the roles can be reached.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        server = grpc.aio.server(interceptors=[RelayInterceptor(self._requests, self._relays)], options=SERVER_OPTIONS)
        TransactionsService(self._requests, self._relays).add_to(server)
        self._admin.add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, ADMIN, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = self._bind(server)
        host = self._listen.rpartition(":")[0]
        self._bound = self._listen if self._listen.startswith("unix:") else f"{host}:{port}"
        self._requests.home = self._advertise or self._bound
        self._admin.address = self._requests.home
        await server.start()
        self._server = server
        self._sessions.start()
        self._peers.start(self._requests.home)
        for service in ("", SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Begin no transaction any more; return when those that are open have ended, or their time is over."""
        for service in ("", SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._sessions.drain(self._drain_ms)

    async def close(self) -> None:
        """Stop serving and release everything."""
        self._sessions.close()
        if self._server is not None:
            await self._server.stop(CLOSE_S)
        await self._relays.close()
        await self._peers.close()

    def problem(self) -> str:
        """Return what keeps it from working, one line; empty when nothing does."""
        return self._peers.problem()

    def samples(self) -> Iterable[Sample]:
        """Return its numbers of now."""
        yield Sample("grit_sidecar_open_transactions", len(self._sessions), kind="gauge", text="Open transactions")
        yield Sample("grit_sidecar_committed", self._sessions.committed, text="Transactions that committed")
        for code, count in sorted(self._sessions.aborts.items()):
            yield Sample(
                "grit_sidecar_ended", count, {"code": code}, text="Transactions that ended without effect, by code"
            )

    def _bind(self, server: grpc.aio.Server) -> int:
        try:
            port = server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise ConfigError(
                f"the sidecar cannot listen on {self._listen}: the port is in use, or the address is not of this machine;"
                " choose another with sidecar.listen"
            ) from error
        if port == 0:
            raise ConfigError(f"the sidecar cannot listen on {self._listen}: choose another with sidecar.listen")
        return port
