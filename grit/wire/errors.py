"""Errors on the wire: a gRPC status that says what may be concluded, and our `Error` beside it.

The status follows the table of interfaces.md section 5. Our own code travels in the trailing metadata entry
`grit-error-bin`. A failed call without that entry was not answered by a sidecar but by a proxy, or by nobody:
for a commit that is OutcomeUnknown, whatever the status says, because it may have come through.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from grit.core.errors import Code, GritError, Kind
from grit.core.ids import Collection, Lsn, Realm, TxnId
from grit.core.keys import decode_key
from grit.core.outcome import Conflict
from grit.pb.v1 import sidecar_pb2 as pb

ERROR_ENTRY = "grit-error-bin"
"""Name of the trailing metadata entry."""
MESSAGE_MAX = 1_000
"""Characters of a message: gRPC drops trailers above 8 KiB at random, and one takes up to 4 bytes, in base64."""
_STATUS_MESSAGE_MAX = 200
"""Characters of the message that goes with the bare status: one takes up to 12 bytes there."""

_KINDS: Mapping[Kind, pb.ErrorKind.ValueType] = {
    Kind.INVALID_REQUEST: pb.ERROR_KIND_INVALID_REQUEST,
    Kind.TXN_ABORTED: pb.ERROR_KIND_TXN_ABORTED,
    Kind.OUTCOME_UNKNOWN: pb.ERROR_KIND_OUTCOME_UNKNOWN,
    Kind.UNAVAILABLE: pb.ERROR_KIND_UNAVAILABLE,
}
_CODE_FOR_KIND: Mapping[pb.ErrorKind.ValueType, Code] = {
    pb.ERROR_KIND_INVALID_REQUEST: Code.BAD_REQUEST,
    pb.ERROR_KIND_TXN_ABORTED: Code.REFUSED,
    pb.ERROR_KIND_OUTCOME_UNKNOWN: Code.UNKNOWN,
    pb.ERROR_KIND_UNAVAILABLE: Code.OVERLOADED,
}
_STATUS_OF_KIND: Mapping[Kind, grpc.StatusCode] = {
    Kind.INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.TXN_ABORTED: grpc.StatusCode.ABORTED,
    Kind.OUTCOME_UNKNOWN: grpc.StatusCode.UNKNOWN,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
_STATUS_OF_CODE: Mapping[Code, grpc.StatusCode] = {
    Code.NOT_AUTHORISED: grpc.StatusCode.PERMISSION_DENIED,
    Code.ALREADY_EXISTS: grpc.StatusCode.FAILED_PRECONDITION,
    Code.NOT_FOUND: grpc.StatusCode.FAILED_PRECONDITION,
    Code.CONSTRAINT: grpc.StatusCode.FAILED_PRECONDITION,
    Code.BOUND_VIOLATION: grpc.StatusCode.FAILED_PRECONDITION,
    Code.NO_SUCH_TRANSACTION: grpc.StatusCode.FAILED_PRECONDITION,
}


def status_of(code: Code) -> grpc.StatusCode:
    """Return the gRPC status of a code."""
    return _STATUS_OF_CODE.get(code, _STATUS_OF_KIND[code.kind])


def encode_error(error: GritError) -> pb.Error:
    """Return the error as it travels, in trailing metadata or in a frame of a session."""
    return pb.Error(
        kind=_KINDS[error.kind],
        code=error.code.value,
        message=error.message[:MESSAGE_MAX],
        retry_after_ms=error.retry_after_ms,
        age=error.age,
        details=None if error.conflict is None else _encode_conflict(error.conflict),
    )


def decode_error(error: pb.Error) -> GritError:
    """Return the error; a code of a newer sidecar becomes the plainest one of its kind, its name in the message."""
    conflict = _decode_conflict(error.details) if error.HasField("details") else None
    try:
        code, message = Code(error.code), error.message
    except ValueError:
        code = _CODE_FOR_KIND.get(error.kind, Code.UNKNOWN)
        message = f"{error.code[:64]}: {error.message}"
    return GritError(code, message, retry_after_ms=error.retry_after_ms, age=error.age, conflict=conflict)


def trailing_metadata(error: GritError) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata entry that carries the error."""
    return ((ERROR_ENTRY, encode_error(error).SerializeToString()),)


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", error: GritError) -> None:
    """End a call with the error; raises inside gRPC, so it does not return."""
    await context.abort(status_of(error.code), error.message[:_STATUS_MESSAGE_MAX], trailing_metadata(error))


def error_of_call(failure: grpc.aio.AioRpcError, *, commits: bool) -> GritError:
    """Return the error of a failed call. `commits`: it was one that may have committed (Commit, Transact).

    Without our entry: OutcomeUnknown for a commit, else Unavailable, because nothing that matters happened
    and the same call may be made again.
    """
    found = _entry(failure.trailing_metadata() or ())
    if found is not None:
        return decode_error(found)
    status = failure.code().name
    if commits:
        return GritError(Code.UNKNOWN, f"the connection to the sidecar failed during the commit ({status}): ask Status")
    return GritError(Code.NO_LEADER, f"the sidecar did not answer ({status}: {failure.details() or 'no details'})")


def _entry(metadata: Iterable[tuple[str, str | bytes]]) -> pb.Error | None:
    for name, value in metadata:
        if name == ERROR_ENTRY and isinstance(value, bytes):
            try:
                return pb.Error.FromString(value)
            except DecodeError:
                return None
    return None


def _encode_conflict(conflict: Conflict) -> pb.ErrorDetails:
    return pb.ErrorDetails(
        realm=conflict.realm,
        collection=conflict.collection,
        key=_key_text(conflict.key),
        packed_key=conflict.key,
        predicate=conflict.predicate,
        winner_txn_id=conflict.winner,
        winner_service=conflict.origin,
        lsn=conflict.lsn,
        position=conflict.position,
    )


def _decode_conflict(details: pb.ErrorDetails) -> Conflict:
    return Conflict(
        Realm(details.realm),
        Collection(details.collection),
        details.packed_key,
        TxnId(details.winner_txn_id),
        details.winner_service,
        Lsn(details.lsn),
        Lsn(details.position),
        details.predicate,
    )


def _key_text(key: bytes) -> str:
    return f"({','.join(str(component) for component in decode_key(key))})" if key else ""
