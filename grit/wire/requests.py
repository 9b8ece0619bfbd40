"""The requests around operations: how a transaction begins, its conditions, what became of it."""

from collections.abc import Mapping

from grit.core.errors import Code, GritError
from grit.core.ids import Csn, Lsn, Realm, TxnId, is_txn_id
from grit.core.operations import Begin, Condition, Result, SessionToken
from grit.core.outcome import Outcome, State
from grit.pb.v1 import sidecar_pb2 as pb
from grit.wire.errors import decode_error, encode_error
from grit.wire.operations import encode_result, split_collection
from grit.wire.predicates import decode_where, encode_where
from grit.wire.values import decode_components, encode_components

ORIGIN_MAX = 64
"""Characters of the name and of the service of a transaction."""
NOTHING_SEEN = SessionToken()
NO_LSNS: Mapping[Realm, Lsn] = {}
_STATES: Mapping[State, pb.Outcome.ValueType] = {
    State.COMMITTED: pb.OUTCOME_COMMITTED,
    State.ABORTED: pb.OUTCOME_ABORTED,
    State.RUNNING: pb.OUTCOME_RUNNING,
    State.NOT_COMMITTED: pb.OUTCOME_NOT_COMMITTED,
    State.UNKNOWN: pb.OUTCOME_UNKNOWN,
}
_STATE_OF = {number: state for state, number in _STATES.items()}


def decode_txn_id(text: str, place: str = "txn_id") -> TxnId:
    """Return a transaction id.

    Raises:
        GritError: BAD_REQUEST.
    """
    if not is_txn_id(text):
        raise GritError.bad_request(f"{place} is not a transaction id: {text[:80]!r}")
    return TxnId(text)


def decode_begin(begin: pb.BeginRequest) -> Begin:
    """Return how a transaction begins; what is not supported is for `grit.core.validate`.

    Raises:
        GritError: BAD_REQUEST.
    """
    if begin.isolation not in pb.Isolation.values():
        raise GritError.bad_request(f"begin.isolation is unknown: {begin.isolation}")
    for place, text in (("service", begin.service), ("name", begin.name)):
        if len(text) > ORIGIN_MAX:
            raise GritError(Code.TOO_LARGE, f"begin.{place} may have {ORIGIN_MAX} characters; this has {len(text):,}")
    return Begin(
        snapshot=begin.isolation == pb.ISOLATION_SNAPSHOT,
        read_only=begin.read_only,
        staleness_ms=begin.staleness_ms,
        timeout_ms=begin.timeout_ms,
        idempotency_key=begin.idempotency_key,
        age=begin.age,
        session=decode_token(begin.session),
        traceparent=begin.traceparent,
        origin=", ".join(text for text in (begin.name, begin.service) if text),
    )


def decode_token(token: pb.SessionToken) -> SessionToken:
    """Return what a client has seen.

    Raises:
        GritError: BAD_REQUEST.
    """
    if token.csn < 0 or any(lsn < 0 for lsn in token.lsns.values()):
        raise GritError.bad_request("a session token holds no numbers below 0: send it as it was answered")
    return SessionToken({Realm(realm): Lsn(lsn) for realm, lsn in token.lsns.items()}, Csn(token.csn))


def encode_token(token: SessionToken) -> pb.SessionToken:
    """Return what a client has seen, as a message."""
    return pb.SessionToken(lsns={str(realm): int(lsn) for realm, lsn in token.lsns.items()}, csn=token.csn)


def decode_condition(condition: pb.Condition, place: str) -> Condition:
    """Return a condition of a Transact.

    Raises:
        GritError: BAD_REQUEST.
    """
    realm, collection = split_collection(condition.collection, place)
    key = decode_components(condition.key, f"{place}.key")
    expectation = condition.WhichOneof("expectation")
    if expectation is None:
        raise GritError.bad_request(f"{place} expects nothing: set exists, absent or where")
    if expectation == "where":
        return Condition(realm, collection, key, where=decode_where(condition.where, f"{place}.where"))
    return Condition(realm, collection, key, present=expectation == "exists")


def encode_condition(condition: Condition, *, packed: bool = True) -> pb.Condition:
    """Return a condition of a Transact."""
    message = pb.Condition(
        collection=f"{condition.realm}.{condition.collection}",
        key=encode_components(condition.key, packed=packed),
        where=encode_where(condition.where, packed=packed),
    )
    if not condition.present:
        message.absent.SetInParent()
    elif not condition.where:
        message.exists.SetInParent()
    return message


def encode_commit(
    asked: TxnId,
    outcome: Outcome,
    lsns: Mapping[Realm, Lsn],
    results: tuple[Result, ...] = (),
    *,
    token: SessionToken = NOTHING_SEEN,
    packed: bool = False,
) -> pb.CommitResponse:
    """Return the answer to a commit of `asked`; `lsns` by realm, as far as they are known."""
    assert outcome.state == State.COMMITTED
    return pb.CommitResponse(
        txn_id=outcome.txid,
        csn=outcome.csn,
        lsns={str(realm): int(lsn) for realm, lsn in lsns.items()},
        result=outcome.result,
        repeated_key=outcome.txid != asked,
        results=[encode_result(result, packed=packed) for result in results],
        session=encode_token(token),
    )


def encode_status(outcome: Outcome, lsns: Mapping[Realm, Lsn] = NO_LSNS) -> pb.StatusResponse:
    """Return what became of a transaction or a key; `lsns` by realm, as far as they are known."""
    response = pb.StatusResponse(outcome=_STATES[outcome.state])
    if outcome.state == State.COMMITTED:
        response.commit.CopyFrom(encode_commit(outcome.txid, outcome, lsns))
    elif outcome.code:
        response.error.CopyFrom(encode_error(outcome.error()))
    return response


def decode_cancel(response: pb.CancelResponse) -> Outcome:
    """Return what stands of a key that was to be cancelled."""
    return decode_status(pb.StatusResponse(outcome=response.outcome, commit=response.commit))


def decode_status(response: pb.StatusResponse) -> Outcome:
    """Return what became of it; an outcome that this client does not know is UNKNOWN."""
    state = _STATE_OF.get(response.outcome, State.UNKNOWN)
    commit = response.commit
    if not response.HasField("error"):
        lsn = Lsn(max(commit.lsns.values(), default=0))  # a local has one, a global none
        return Outcome(TxnId(commit.txn_id), state, csn=Csn(commit.csn), lsn=lsn, result=commit.result)
    error = decode_error(response.error)
    return Outcome(
        TxnId(commit.txn_id),
        state,
        error.code.value,
        error.message,
        age=error.age,
        conflict=error.conflict,
        retry_after_ms=error.retry_after_ms,
    )
