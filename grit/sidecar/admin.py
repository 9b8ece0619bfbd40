"""The state of a deployment, as a sidecar sees it: for `grit status`."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import grpc

from grit.core.catalog import RealmDef
from grit.core.ids import Millis, Realm
from grit.pb.v1 import admin_pb2 as pb
from grit.pb.v1 import admin_pb2_grpc
from grit.sidecar.clock import Clock
from grit.sidecar.outcomes import Outcomes
from grit.sidecar.sessions import Sessions

_STATES = {
    "serving": pb.ROLE_STATE_SERVING,
    "claiming": pb.ROLE_STATE_TAKING_OVER,
    "fencing": pb.ROLE_STATE_TAKING_OVER,
    "merging": pb.ROLE_STATE_TAKING_OVER,
    "following": pb.ROLE_STATE_STANDBY,
    "halted": pb.ROLE_STATE_HALTED,
}


class AdminService(admin_pb2_grpc.AdminServicer):
    """Handlers of the service `Admin`."""

    def __init__(
        self, catalogue: Mapping[Realm, RealmDef], sessions: Sessions, outcomes: Outcomes, clock: Clock
    ) -> None:
        self.address = ""
        self._catalogue = catalogue
        self._sessions = sessions
        self._outcomes = outcomes
        self._clock = clock
        self._began = time.monotonic()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register every method."""
        admin_pb2_grpc.add_AdminServicer_to_server(self, server)

    async def Status(  # noqa: N802 - the name of the method
        self, request: pb.AdminStatusRequest, context: Any
    ) -> pb.AdminStatusResponse:
        """Ask every role how it is; one that does not answer is UNREACHABLE, with the reason."""
        wanted = [realm for realm in sorted(self._catalogue) if not request.realms or realm in request.realms]
        gtm, *dbtms = await asyncio.gather(
            self._outcomes.describe(None), *(self._outcomes.describe(realm) for realm in wanted)
        )
        return pb.AdminStatusResponse(deployment=self._deployment(gtm, wanted, dbtms))

    def _deployment(
        self, gtm: dict[str, object] | str, realms: Sequence[Realm], dbtms: Sequence[dict[str, object] | str]
    ) -> pb.DeploymentStatus:
        roles = [self._own_role(), _role(pb.ROLE_GTM, "", gtm)]
        roles += [_role(pb.ROLE_DBTM, realm, one) for realm, one in zip(realms, dbtms, strict=True)]
        return pb.DeploymentStatus(
            now_ms=self._clock.now(),
            version=_version(),
            roles=roles,
            global_log=_global_log(gtm),
            realms=[self._realm(realm, one) for realm, one in zip(realms, dbtms, strict=True)],
            abort_causes=[pb.AbortCause(code=code, count=n) for code, n in sorted(self._sessions.aborts.items())],
            committed=self._sessions.committed,
            open=len(self._sessions),
        )

    def _own_role(self) -> pb.RoleStatus:
        return pb.RoleStatus(
            role=pb.ROLE_SIDECAR,
            state=pb.ROLE_STATE_SERVING,
            address=self.address,
            uptime_ms=Millis(int((time.monotonic() - self._began) * 1000)),
        )

    def _realm(self, realm: Realm, facts: dict[str, object] | str) -> pb.RealmStatus:
        engine = self._catalogue[realm].engine
        if isinstance(facts, str):
            return pb.RealmStatus(realm=realm, engine=engine)
        return pb.RealmStatus(
            realm=realm,
            engine=engine,
            epoch=_number(facts, "epoch"),
            leader=str(facts.get("leader", "")),
            lsn=_number(facts, "lsn"),
            applied_lsn=_number(facts, "applied"),
            lag=_number(facts, "lag"),
            gtl_through_csn=_number(facts, "gtl_through"),
            pending=_number(facts, "pending"),
            parked=_number(facts, "parked"),
            history_keys=_number(facts, "history"),
            low_watermark=_number(facts, "low_watermark"),
        )


def _role(role: pb.Role.ValueType, realm: str, facts: dict[str, object] | str) -> pb.RoleStatus:
    if isinstance(facts, str):
        return pb.RoleStatus(role=role, realm=realm, state=pb.ROLE_STATE_UNREACHABLE, reason=facts)
    state = str(facts.get("state") or facts.get("phase") or "").lower()
    return pb.RoleStatus(
        role=role,
        realm=realm,
        state=_STATES.get(state, pb.ROLE_STATE_STARTING),
        epoch=_number(facts, "epoch"),
        address=str(facts.get("leader", "")),
        reason="" if state == "serving" else state,
    )


def _global_log(facts: dict[str, object] | str) -> pb.GlobalLogStatus:
    if isinstance(facts, str):
        return pb.GlobalLogStatus()
    return pb.GlobalLogStatus(
        epoch=_number(facts, "epoch"),
        leader=str(facts.get("leader", "")),
        csn=max(0, _number(facts, "next_csn") - 1),
        voting=_number(facts, "voting"),
    )


def _number(facts: dict[str, object], name: str) -> int:
    value = facts.get(name, 0)
    return value if isinstance(value, int) else 0


def _version() -> str:
    try:
        return version("grit-txn")
    except PackageNotFoundError:  # run from a checkout
        return "development"
