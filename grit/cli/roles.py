"""The composition root of every process: which adapters a role gets, and how roles of one process meet.

A deployment without addresses lives in one process (`grit dev`): its roles are linked object to object, and
share one handle on each log. With addresses each role can be anywhere; those that share a process still do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dbtm.app import DbtmRole
from grit.cli.role_names import RoleKind, RoleName
from grit.config.model import Config
from grit.core.catalog import RealmDef
from grit.core.errors import ConfigError
from grit.core.ids import Realm
from grit.core.messages import Message
from grit.core.steps import Trace
from grit.log.open import open_log
from grit.log.port import Log
from grit.log.shared import SharedLog
from grit.runtime.electors.file_lock import FileElector
from grit.runtime.electors.port import Elector
from grit.runtime.links.codec import FrameCodec
from grit.runtime.links.inproc import InProcessLinks
from grit.runtime.links.nearby import NearbyLinks
from grit.runtime.links.port import Links
from grit.runtime.run import run
from grit.runtime.supervisor import Role, Supervisor
from grit.sidecar.app import SidecarRole
from grit.store.memory import MemoryStore
from grit.store.open import open_reader, open_writer
from grit.telemetry.logging import configure_logging
from grit.telemetry.metrics import Metrics, MetricsServer, Sample
from grit.telemetry.tracing import configure_tracing, record_span
from gtm.app import GtmRole
from gtm.config import GtmConfig
from log_players.app import PlayerRole, build_player

LOOPBACK = "127.0.0.1"
WELL = ("serving", "following")
"""A role that leads, or stands by, is well."""


def run_roles(
    config: Config,
    names: Sequence[RoleName],
    *,
    trace_file: Path | None = None,
    metrics_port: int | None = None,
    started: Callable[["Process"], None] | None = None,
) -> int:
    """Run roles in this process until it is told to stop; return its exit status.

    Args:
        config: The deployment.
        names: The roles, in the order in which they start.
        trace_file: Where spans go; None: where the configuration says.
        metrics_port: As `trace_file`.
        started: Told when every role has started; they may not lead yet, see `Process.is_serving`.
    """
    configure_logging(config.telemetry.log_level, as_json=config.telemetry.log_format == "json")
    path = trace_file or config.telemetry.trace_file
    tracing = None if path is None else configure_tracing(path, " ".join(str(name) for name in names))
    port = config.telemetry.metrics_port if metrics_port is None else metrics_port
    process = Process(config, names, metrics_port=port or None, started=started)
    try:
        return run(Supervisor().run(process.compose))
    finally:
        if tracing is not None:
            tracing.close()


class Process:
    """The roles of one process and what they share."""

    def __init__(
        self,
        config: Config,
        names: Sequence[RoleName],
        *,
        metrics_port: int | None = None,
        started: Callable[["Process"], None] | None = None,
    ) -> None:
        self.config = config
        self._names = names
        self._metrics_port = metrics_port
        self._started = started
        self._logs: dict[str, SharedLog] = {}
        self._memories: dict[Realm, MemoryStore] = {}
        self._links = self._make_links()
        self.roles: list[GtmRole | DbtmRole | PlayerRole | SidecarRole] = []

    async def compose(self) -> Sequence[Role]:
        """Open what the roles need and make them; see `Supervisor.run`."""
        self.roles = [await self._make(name) for name in self._names]
        roles: list[Role] = [*self.roles]
        if self._metrics_port is not None:
            metrics = Metrics()
            metrics.add_source(self._samples)
            metrics.add_check(self._problem)
            roles.append(MetricsServer(metrics, LOOPBACK, self._metrics_port))
        return [*roles, _Announcer(lambda: self._started(self) if self._started else None)]

    def is_serving(self) -> bool:
        """Tell whether every leader of this process leads and its sidecars reach whom they need."""
        return not self._problem()

    def sidecar_address(self) -> str:
        """Return where services reach the sidecar of this process; "" when there is none."""
        return next((role.address for role in self.roles if isinstance(role, SidecarRole)), "")

    async def _make(self, name: RoleName) -> GtmRole | DbtmRole | PlayerRole | SidecarRole:
        config = self.config
        if name.kind == RoleKind.SIDECAR:
            dbtms = {realm: self._dbtm_addresses(realm) for realm in config.realms}
            return SidecarRole(
                config.realms,
                self._links,
                config.sidecar.listen,
                gtm=self._gtm_addresses(),
                dbtms=dbtms,
                limits=config.limits,
                advertise=config.sidecar.advertise,
            )
        if name.kind == RoleKind.GTM:
            return await self._make_gtm(name)
        realm = config.realms[name.realm]
        dbtl = await self._log(f"dbtl.{realm.name}")
        if name.kind == RoleKind.PLAYER:
            writer = open_writer(realm, self._memories)
            return build_player(realm, dbtl, writer, trace=_spans("player", linked=True))
        return await self._make_dbtm(name, realm, dbtl)

    async def _make_gtm(self, name: RoleName) -> GtmRole:
        limits = self.config.limits
        return GtmRole(
            await self._log("gtl"),
            self._links,
            self._address(name),
            {realm: self._dbtm_addresses(realm) for realm in self.config.realms},
            config=GtmConfig(
                record_entries_max=limits.record_entries,
                record_bytes_max=limits.record_bytes,
                keys_max=limits.idempotency_keys,
                result_bytes_max=limits.result_bytes,
                vote_timeout_ms=limits.vote_timeout_ms,
                # An append to a log on this machine takes less time than a round: what waits for it makes the next round
                # larger, and finds fewer undecided ones in its way (docs/adr/0008).
                rounds_evaluated_max=1,
                quiet_push_ms=limits.renewal_ms,
                checkpoint_records=limits.checkpoint_records,
                election_timeout_ms=limits.election_timeout_ms,
            ),
            trace=_spans("gtm"),
            is_alone=len(self._gtm_addresses()) == 1,
            elector=self._elector(self._gtm_addresses()),
        )

    async def _make_dbtm(self, name: RoleName, realm: RealmDef, dbtl: Log) -> DbtmRole:
        return DbtmRole(
            realm,
            dbtl,
            await self._log("gtl"),
            open_reader(realm, self._memories),
            self._links,
            self._address(name),
            limits=self.config.limits,
            trace=_spans("dbtm"),
            is_alone=len(self._dbtm_addresses(realm.name)) == 1,
            elector=self._elector(self._dbtm_addresses(realm.name)),
        )

    def _elector(self, replicas: Sequence[str]) -> Elector | None:
        """Return who says which replica of a role tries first; where there is one, nobody has to."""
        path = self.config.elector.path
        return None if path is None or len(replicas) == 1 else FileElector(path)

    async def _log(self, name: str) -> Log:
        shared = self._logs.get(name)
        if shared is None:
            shared = self._logs[name] = SharedLog(await open_log(self.config.log, name))
        return shared.hold()

    def _make_links(self) -> Links[Message]:
        if not self.config.gtm:
            self._expect_whole()
            return InProcessLinks()
        encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[Message])
        here = [self._address(name) for name in self._names if name.kind in (RoleKind.GTM, RoleKind.DBTM)]
        return NearbyLinks(FrameCodec(encoder, decoder), here)

    def _address(self, name: RoleName) -> str:
        """Return where a GTM or DBTM serves."""
        addresses = self._gtm_addresses() if name.kind == RoleKind.GTM else self._dbtm_addresses(name.realm)
        if name.replica > len(addresses):
            raise ConfigError(
                f"{self.config.source}: {name} has no address: the configuration gives {len(addresses)}; add one"
            )
        return addresses[name.replica - 1]

    def _expect_whole(self) -> None:
        """Without addresses nobody outside can be reached."""
        there = set(self._names)
        needed = [RoleName(RoleKind.GTM), *(RoleName(RoleKind.DBTM, realm) for realm in self.config.realms)]
        missing = next((name for name in needed if name not in there), None)
        if missing is not None:
            raise ConfigError(
                f"{self.config.source}: {missing} is not run here and the configuration gives no address for it: "
                "set gtm and the dbtm of every realm, or run all roles in one process with `grit dev`"
            )

    def _gtm_addresses(self) -> tuple[str, ...]:
        return self.config.gtm or ("gtm",)

    def _dbtm_addresses(self, realm: Realm) -> tuple[str, ...]:
        return self.config.realms[realm].dbtm or (f"dbtm.{realm}",)

    def _problem(self) -> str:
        problems: list[str] = []
        for role in self.roles:
            if isinstance(role, SidecarRole):
                problems.append(role.problem())
            elif isinstance(role, GtmRole):
                state = str(role.describe()["state"]).lower()
                problems.append("" if state in WELL else f"gtm is {state}")
            elif isinstance(role, DbtmRole):
                phase = role.describe()["phase"]
                problems.append("" if phase in WELL else f"{role.name} is {phase}")
        return "; ".join(problem for problem in problems if problem)

    def _samples(self) -> Iterable[Sample]:
        for role in self.roles:
            if isinstance(role, SidecarRole):
                yield from role.samples()
            elif isinstance(role, PlayerRole):
                facts = msgspec.structs.asdict(role.metrics)
                yield from _facts("player", facts, {"realm": role.name.removeprefix("player ")})
            elif isinstance(role, DbtmRole):
                facts = role.describe()
                facts["leading"] = int(facts["phase"] == "serving")
                yield from _facts("dbtm", facts, {"realm": role.name.removeprefix("dbtm ")})
            else:
                facts = role.describe()
                yield from _facts("gtm", {**facts, "leading": int(facts["state"] == "SERVING")}, {})


class _Announcer:
    """The last role: it says that all others have started."""

    name = "announcer"

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    async def start(self) -> None:
        """Say so."""
        self._tell()

    async def drain(self) -> None:
        """Nothing is under way."""

    async def close(self) -> None:
        """Nothing to release."""


def _facts(role: str, facts: Mapping[str, Any], labels: Mapping[str, str]) -> Iterable[Sample]:
    """What a role tells of itself by numbers, as gauges; counts by code as counters."""
    for name, value in facts.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield Sample(f"grit_{role}_{name}", value, labels, kind="gauge")
        elif name == "aborts":
            for code, count in sorted(value.items()):
                yield Sample("grit_gtm_aborts", count, {"code": code}, text="Transactions aborted, by cause")


def _spans(role: str, *, linked: bool = False) -> Callable[[Trace], None]:
    """Return what makes spans of the finished pieces of work of a role; `linked`: they link to their cause too."""

    def record(trace: Trace) -> None:
        links = (trace.parent,) if linked else ()
        name = f"{role}.{trace.name}"
        record_span(name, trace.began * 1_000_000, trace.ended * 1_000_000, trace.parent, links, trace.facts)

    return record
