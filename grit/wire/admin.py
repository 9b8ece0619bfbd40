"""The service `Admin`: the state of a deployment, asked of its sidecar."""

import grpc
import msgspec
from google.protobuf.json_format import MessageToDict

from grit.pb.v1 import admin_pb2 as pb
from grit.pb.v1 import admin_pb2_grpc
from grit.wire.channel import CHANNEL_OPTIONS


class RoleStatus(msgspec.Struct, frozen=True):
    """A role, as the sidecar sees it. `reason`: why it is not serving."""

    role: str
    realm: str
    state: str
    epoch: int
    address: str
    leader_id: str
    reason: str
    uptime_ms: int


class GlobalLogStatus(msgspec.Struct, frozen=True):
    """The global log; `leader` is the address of the GTM, "" when nobody leads."""

    log_id: str
    epoch: int
    leader: str
    end_offset: int
    csn: int
    voting: int


class HotKey(msgspec.Struct, frozen=True):
    """A key that transactions fail on."""

    collection: str
    key: str
    conflicts: int


class RealmStatus(msgspec.Struct, frozen=True):
    """A realm; see `RealmStatus` in admin.proto."""

    realm: str
    engine: str
    log_id: str
    epoch: int
    leader: str
    lsn: int
    applied_lsn: int
    lag: int
    gtl_through_csn: int
    pending: int
    oldest_pending_ms: int
    parked: int
    history_keys: int
    low_watermark: int
    hot_keys: tuple[HotKey, ...]


class AbortCause(msgspec.Struct, frozen=True):
    """How many transactions of the sidecar ended without effect, by code."""

    code: str
    count: int


class DeploymentStatus(msgspec.Struct, frozen=True):
    """The state of a deployment at `now_ms`, by the clock of the sidecar that tells it; `open`: its transactions."""

    now_ms: int
    version: str
    roles: tuple[RoleStatus, ...]
    realms: tuple[RealmStatus, ...]
    abort_causes: tuple[AbortCause, ...]
    committed: int
    open: int
    global_log: GlobalLogStatus | None = None


class StatusUnanswered(Exception):
    """The sidecar did not answer; one line."""


async def ask_status(sidecar: str, *, timeout_ms: int) -> DeploymentStatus:
    """Ask the sidecar at host:port how the deployment is.

    Raises:
        StatusUnanswered: It cannot be reached, or says something else.
    """
    async with grpc.aio.insecure_channel(sidecar, options=CHANNEL_OPTIONS) as channel:
        try:
            answer = await admin_pb2_grpc.AdminStub(channel).Status(
                pb.AdminStatusRequest(), timeout=timeout_ms / 1000, wait_for_ready=False
            )
        except grpc.aio.AioRpcError as error:
            raise StatusUnanswered(" ".join((error.details() or error.code().name).split())) from error
    return decode_deployment(answer.deployment)


def decode_deployment(message: pb.DeploymentStatus) -> DeploymentStatus:
    """Return the message; enums as their names without prefix: "SERVING"."""
    facts = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    for role in facts["roles"]:
        role["role"] = role["role"].removeprefix("ROLE_")
        role["state"] = role["state"].removeprefix("ROLE_STATE_")
    # JSON of protobuf spells 64-bit numbers as strings; convert takes them back.
    return msgspec.convert(facts, DeploymentStatus, strict=False)
