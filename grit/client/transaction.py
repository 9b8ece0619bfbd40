"""One transaction as its body sees it.

Writes are buffered and travel with the next read or the commit; reads that are asked for at the same time travel
together. A transaction that failed once answers everything with that error: what should have followed did not happen.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar, overload

import msgspec

from grit.client.errors import GritError, InvalidRequest, TxnAborted, invalid, typed
from grit.client.kept import Kept
from grit.client.metadata import FinishedCall, OutgoingCall
from grit.client.naming import Keyed, key_of, split
from grit.client.stream import SessionStream
from grit.client.where import Where, encoded
from grit.core.errors import Code
from grit.core.operations import (
    Count,
    Delete,
    Direction,
    Find,
    Get,
    GetMany,
    Increment,
    Insert,
    Link,
    Neighbours,
    NumberResult,
    Operation,
    Patch,
    Put,
    Result,
    RowResult,
    RowsResult,
    SessionToken,
    Sum,
    Unlink,
)
from grit.core.queries import OrderBy
from grit.core.values import Row, Value
from grit.pb.v1 import sidecar_pb2 as pb
from grit.telemetry.tracing import current_traceparent
from grit.wire.errors import decode_error
from grit.wire.operations import decode_result, encode_operation
from grit.wire.requests import decode_token

BUFFERED_MAX = 500
"""So many writes wait for the next read; then they travel by themselves."""

Model = TypeVar("Model")
Number = int | Decimal | float


class _Asked:
    """An operation that has not been sent; `answer` is None for a write."""

    def __init__(self, message: pb.Operation, answer: "asyncio.Future[Result] | None") -> None:
        self.message = message
        self.answer = answer


class Transaction:
    """Reads and writes of one attempt. Made by `Client`; not to be used after its body.

    Attributes:
        txid: Its id.
        home: host:port of the sidecar that began it.
        call: The call that it runs in, in a called service; "" in the service that began it.
        kept: What `keep` left, if anything.
        token: What it has read, and, once it is committed, written: see `Client.session`.
        applied: Once it is committed with ack "applied": every database has it. False: not yet, as far as is known.
    """

    def __init__(
        self,
        stream: SessionStream,
        txid: str,
        home: str,
        timeout_ms: int,
        call: str = "",
        *,
        has_key: bool = False,
        see: Callable[[SessionToken], None] | None = None,
    ) -> None:
        self.txid = txid
        self.home = home
        self.call = call
        self.operations = 0
        self.realms: set[str] = set()
        self.kept: Kept | None = None
        self.token = SessionToken()
        self.applied = False
        self._see = see
        self._has_key = has_key
        self._stream = stream
        self._deadline = time.monotonic() + timeout_ms / 1000
        self._sequence = 0
        self._buffer: list[_Asked] = []
        self._is_flush_due = False
        self._doom: GritError | None = None
        self._is_over = False
        self._sent: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._open_calls: set[str] = set()
        self._failed_calls: set[str] = set()

    # --- reads ---------------------------------------------------------------------------------------

    @overload
    async def get(self, collection: str, key: Keyed, *, fields: Sequence[str] | None = None) -> Any: ...

    @overload
    async def get(self, collection: str, key: Keyed, *, into: type[Model]) -> Model | None: ...

    async def get(
        self, collection: str, key: Keyed, *, fields: Sequence[str] | None = None, into: type[Any] | None = None
    ) -> Any:
        """Return one record as a dict, None when it is absent.

        Args:
            collection: "realm.collection".
            key: Its one component, or a tuple of all.
            fields: Only these; reading fewer fields conflicts with fewer writes.
            into: A dataclass, `msgspec.Struct` or TypedDict to make of it.

        Raises:
            GritError: TxnAborted when the body must run again (let it pass); InvalidRequest.
        """
        realm, name = split(collection)
        result = await self._read(Get(realm, name, key_of(collection, key), _fields(fields)))
        assert isinstance(result, RowResult)
        return _made(result.row, into)

    async def get_many(
        self, collection: str, keys: Iterable[Keyed], *, fields: Sequence[str] | None = None
    ) -> list[dict[str, Value] | None]:
        """Return records in the order of the keys, None for each that is absent; raises as `get`."""
        realm, name = split(collection)
        wanted = tuple(key_of(collection, key) for key in keys)
        return list(_rows(await self._read(GetMany(realm, name, wanted, _fields(fields)))))

    @overload
    async def find(
        self,
        collection: str,
        where: Where | None = None,
        *,
        order_by: str | OrderBy | Sequence[str | OrderBy] = (),
        limit: int | None = None,
        fields: Sequence[str] | None = None,
    ) -> list[dict[str, Value]]: ...

    @overload
    async def find(
        self,
        collection: str,
        where: Where | None = None,
        *,
        order_by: str | OrderBy | Sequence[str | OrderBy] = (),
        limit: int | None = None,
        into: type[Model],
    ) -> list[Model]: ...

    async def find(
        self,
        collection: str,
        where: Where | None = None,
        *,
        order_by: str | OrderBy | Sequence[str | OrderBy] = (),
        limit: int | None = None,
        fields: Sequence[str] | None = None,
        into: type[Any] | None = None,
    ) -> list[Any]:
        """Return the records that match, in order; ties, and all without `order_by`, by key. Raises as `get`.

        Args:
            collection: "realm.collection".
            where: As `field("price") >= 3`; None = every record.
            order_by: Fields; `descending("price")` for the other way.
            limit: At most so many.
            fields: Only these.
            into: As in `get`.
        """
        realm, name = split(collection)
        find = Find(realm, name, encoded(where), _order(order_by), limit, _fields(fields))
        return [_made(row, into) for row in _rows(await self._read(find))]

    async def count(self, collection: str, where: Where | None = None) -> int:
        """Return how many records match; raises as `get`."""
        realm, name = split(collection)
        return int(_number(await self._read(Count(realm, name, encoded(where)))))

    async def sum(self, collection: str, field: str, where: Where | None = None) -> Number:
        """Return the sum of a number field over the records that match, of none 0; raises as `get`."""
        realm, name = split(collection)
        return _number(await self._read(Sum(realm, name, field, encoded(where))))

    async def neighbours(
        self, node: str, key: Keyed, relationship: str, direction: Direction | str = Direction.OUT
    ) -> list[dict[str, Value]]:
        """Return the relationships of one type at a node, with `start`, `end` and properties; raises as `get`.

        Args:
            node: "realm.Label".
            key: Of the node.
            relationship: The type, "realm.TYPE" or only TYPE.
            direction: "out", "in" or "both".
        """
        realm, name = split(node)
        edges = split(relationship)[1] if "." in relationship else split(f"{realm}.{relationship}")[1]
        asked = Neighbours(realm, name, key_of(node, key), edges, Direction(direction))
        return [row for row in _rows(await self._read(asked)) if row is not None]

    # --- writes --------------------------------------------------------------------------------------

    async def insert(self, collection: str, record: Row) -> None:
        """Add a record, which holds its key fields; ALREADY_EXISTS, at the latest at commit, when it is there."""
        realm, name = split(collection)
        await self._write(Insert(realm, name, record))

    async def put(self, collection: str, record: Row) -> None:
        """Insert or replace a whole record."""
        realm, name = split(collection)
        await self._write(Put(realm, name, record))

    async def patch(self, collection: str, key: Keyed, changes: Mapping[str, Value]) -> None:
        """Change the named fields, None removes one; NOT_FOUND when the record is absent."""
        realm, name = split(collection)
        await self._write(Patch(realm, name, key_of(collection, key), changes))

    async def delete(self, collection: str, key: Keyed, *, detach: bool = False) -> None:
        """Remove a record, with `detach` a node's relationships too; NOT_FOUND when it is absent."""
        realm, name = split(collection)
        await self._write(Delete(realm, name, key_of(collection, key), detach))

    async def increment(self, collection: str, key: Keyed, field: str, delta: int) -> None:
        """Add to an int field without reading it: increments do not conflict with each other.

        BOUND_VIOLATION, at the latest at commit, when the field would leave the bounds of the catalogue.
        """
        realm, name = split(collection)
        await self._write(Increment(realm, name, key_of(collection, key), field, delta))

    async def link(self, relationship: str, start: Keyed, end: Keyed, **properties: Value) -> None:
        """Make or replace the relationship "realm.TYPE" between two nodes, given by their keys."""
        realm, name = split(relationship)
        ends = key_of(relationship, start), key_of(relationship, end)
        await self._write(Link(realm, name, *ends, properties))

    async def unlink(self, relationship: str, start: Keyed, end: Keyed) -> None:
        """Remove a relationship; NOT_FOUND when there is none."""
        realm, name = split(relationship)
        await self._write(Unlink(realm, name, key_of(relationship, start), key_of(relationship, end)))

    # --- calls ---------------------------------------------------------------------------------------

    async def open_call(self) -> OutgoingCall:
        """Return what a service that is called next must be told; everything written so far is at the home then.

        For transports that have no interceptor here: send it as `grit-txn`, and give the `grit-call` of the answer
        to `close_call`.
        """
        await self._flushed()
        self._calls += 1
        call = f"{self.call or self.txid}-{self._calls}"
        self._open_calls.add(call)
        left_ms = max(1, int((self._deadline - time.monotonic()) * 1000))
        return OutgoingCall(self.txid, self.home, call, left_ms)

    async def close_call(self, call: str, finished: FinishedCall | None, *, failed: bool = False) -> None:
        """Take the answer of a call: it is confirmed to the home, or dropped when the service answered an error.

        Without an answer (`finished` None) it may still be running: the commit fails unless it is dropped.
        """
        self._open_calls.discard(call)
        if finished is None or finished.call != call:
            self._failed_calls.add(call)
        elif failed:
            self.drop_call(call)
        else:
            self.realms.update(finished.realms)
            await self._confirm(call, finished.operations)

    def drop_call(self, call: str) -> None:
        """Give a call up: whatever it did, and will do, has no effect."""
        self._failed_calls.discard(call)
        self._send("drop_call", pb.DropCallRequest(txn_id=self.txid, call_id=call))

    def drop_failed_calls(self) -> None:
        """Give up every call that had no answer, so that the transaction can commit without them."""
        for call in sorted(self._failed_calls):
            self.drop_call(call)

    async def _confirm(self, call: str, operations: int) -> None:
        """Tell the home how much the call did: it lets nothing that follows run before all of that has arrived.

        What the root sends next follows on the same stream. A called service waits: its own caller, on another stream,
        must find the confirmation at the home.
        """
        confirmed = pb.ConfirmedCall(call_id=call, operations=operations)
        self._send("confirm_call", pb.ConfirmCallRequest(txn_id=self.txid, call=confirmed))
        if self.call:
            await self._settled()

    # --- the idempotency key ---------------------------------------------------------------------------

    def keep(self, result: bytes) -> Kept:
        """Leave a result with the idempotency key: whoever commits with the key again gets it, and applies nothing.

        Return it from the body, so that the caller has the first answer, whichever run that was of. Of several
        results the last is left. A transaction that wrote nothing leaves none.

        Args:
            result: At most `limits.result_bytes`, 4 KiB by default; else the commit is TOO_LARGE.

        Raises:
            InvalidRequest: There is no key, or this is a called service: the key is of who began.
        """
        self._expect_usable()
        if self.call:
            raise invalid("a called service has no idempotency key: return the result to the caller, which may keep it")
        if not self._has_key:
            raise invalid("nothing to keep a result with: give the transaction an idempotency_key")
        if not isinstance(result, bytes):
            raise invalid(f"a result is bytes, not {type(result).__name__}: encode it", Code.TYPE_MISMATCH)
        self.kept = Kept(result)
        return self.kept

    # --- the end, called by the client -----------------------------------------------------------------

    async def commit(self, ack: pb.Ack.ValueType = pb.ACK_DECIDED) -> None:
        """Send the last writes and the commit, with what is to be kept.

        Raises:
            GritError: OutcomeUnknown is for `Client` to resolve.
        """
        self._expect_usable()
        lost = sorted(self._failed_calls | self._open_calls)
        if lost:
            raise TxnAborted(Code.LOST_BRANCH, f"call {lost[0]} has no answer: drop it, or run again")
        if any(asked.answer is not None for asked in self._buffer):
            self._flush()
        await self._settled()
        buffer, self._buffer = self._buffer, []
        self._is_over = True
        self._sequence += 1
        request = pb.CommitRequest(
            txn_id=self.txid,
            sequence=self._sequence,
            operations=[asked.message for asked in buffer],
            result=b"" if self.kept is None else self.kept.result,
            ack=ack,
            packed_results=True,
        )
        try:
            response: pb.CommitResponse = await self._stream.ask("commit", request)
        except InvalidRequest as error:
            raise _of_home(error) from error
        self.saw(decode_token(response.session))
        self.applied = response.applied
        if response.repeated_key:
            self.repeats(response.result)

    def saw(self, token: SessionToken) -> None:
        """Take note of what was read, or committed."""
        self.token = self.token.merged(token)
        if self._see is not None:
            self._see(token)

    def repeats(self, result: bytes) -> None:
        """Take note that an earlier transaction had committed with the key, and kept that."""
        if self.kept is not None:
            self.kept.repeat(result)

    async def rollback(self, *, validate: bool) -> GritError | None:
        """End without effect; with `validate` return why what the body saw was not current, None when it was."""
        self._is_over = True
        self._buffer.clear()
        if isinstance(self._doom, TxnAborted):
            self._stream.send("rollback", pb.RollbackRequest(txn_id=self.txid)).add_done_callback(_ignore)
            return self._doom
        if not validate:
            self._stream.send("rollback", pb.RollbackRequest(txn_id=self.txid)).add_done_callback(_ignore)
            return None
        response = await self._stream.ask("rollback", pb.RollbackRequest(txn_id=self.txid, validate=True))
        return None if response.reads_valid else typed(decode_error(response.conflict))

    def send_last(self) -> None:
        """Send the last writes of a called service, before it answers.

        Raises:
            InvalidRequest: TOO_LARGE: they are more than a message carries, and did not leave.
        """
        earlier = self._doom
        self._flush()
        if self._doom is not None and self._doom is not earlier:
            raise self._doom

    def finish_call(self) -> FinishedCall:
        """End the part of a called service: its last writes leave, nothing is waited for. Repeating it is harmless."""
        finished = FinishedCall(self.call, self.operations, tuple(sorted(self.realms)))
        if self._is_over:
            return finished
        self._flush()
        self._is_over = True
        done = pb.CallDoneRequest(
            txn_id=self.txid, call_id=self.call, operations=self.operations, realms=sorted(self.realms)
        )
        self._send("call_done", done)
        return finished

    def join(self, run_id: str, service: str) -> None:
        """Enter the caller's transaction; a refusal shows with the first operation."""
        request = pb.JoinRequest(
            txn_id=self.txid, call_id=self.call, run_id=run_id, service=service, traceparent=current_traceparent()
        )
        self._send("join", request)

    # --- sending -------------------------------------------------------------------------------------

    async def _read(self, operation: Operation) -> Result:
        self._expect_usable()
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._take(operation, answer)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        return await answer

    async def _write(self, operation: Operation) -> None:
        self._expect_usable()
        self._take(operation, None)
        if len(self._buffer) >= BUFFERED_MAX:
            self._flush()

    def _take(self, operation: Operation, answer: "asyncio.Future[Result] | None") -> None:
        try:
            message = encode_operation(operation)
        except (TypeError, ValueError, OverflowError) as error:
            place = f"{operation.realm}.{operation.collection}"
            raise invalid(f"{place}: {error}", Code.TYPE_MISMATCH) from error
        self._buffer.append(_Asked(message, answer))
        self.realms.add(str(operation.realm))
        self.operations += 1

    def _expect_usable(self) -> None:
        if self._doom is not None:
            raise self._doom
        if self._is_over:
            raise invalid(f"transaction {self.txid} is over: use it inside its body only", Code.NO_SUCH_TRANSACTION)

    def _flush(self) -> None:
        """Send what is buffered; answers come by themselves."""
        self._is_flush_due = False
        buffer, self._buffer = self._buffer, []
        if not buffer:
            return
        self._sequence += 1
        request = pb.ExecuteRequest(
            txn_id=self.txid,
            sequence=self._sequence,
            operations=[asked.message for asked in buffer],
            call_id=self.call,
            packed_results=True,
        )
        answer = self._stream.send("execute", request)
        if answer.done() and isinstance(refusal := answer.exception(), GritError):
            self._doom = self._doom or refusal
        task = asyncio.create_task(self._distribute(buffer, answer))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _distribute(self, buffer: list[_Asked], answer: "asyncio.Future[pb.ExecuteResponse]") -> None:
        try:
            response = await answer
        except GritError as error:
            self._doom = self._doom or _of_home(error)
            for asked in buffer:
                if asked.answer is not None and not asked.answer.done():
                    asked.answer.set_exception(self._doom)
            return
        self.saw(decode_token(response.session))
        for asked, result in zip(buffer, response.results, strict=True):
            if asked.answer is not None and not asked.answer.done():
                asked.answer.set_result(decode_result(result, "results"))

    def _send(self, name: str, request: Any) -> None:
        """Send what needs no answer but success; an error dooms the transaction."""
        task = asyncio.create_task(self._noted(self._stream.send(name, request)))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    async def _noted(self, answer: "asyncio.Future[Any]") -> None:
        try:
            await answer
        except GritError as error:
            self._doom = self._doom or _of_home(error)

    async def _flushed(self) -> None:
        """Wait until everything written so far is at the home."""
        self._expect_usable()
        self._flush()
        await self._settled()

    async def _settled(self) -> None:
        """Wait for every answer that is under way.

        Raises:
            GritError: What doomed the transaction.
        """
        if self._sent:
            await asyncio.wait(self._sent)
        if self._doom is not None:
            raise self._doom


def _of_home(error: GritError) -> GritError:
    """Return what an error means to a transaction that has begun and not ended."""
    if error.code != Code.NO_SUCH_TRANSACTION:
        return error
    return TxnAborted(Code.LOST_HOME, f"the sidecar that began this transaction is gone: {error.message}")


def _ignore(answer: "asyncio.Future[Any]") -> None:
    """Take the answer of a request whose failure changes nothing: what was not rolled back times out."""
    if not answer.cancelled():
        answer.exception()


def _fields(fields: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(fields, str):
        raise invalid(f"fields is a list of names, not {fields!r}")
    return None if fields is None else tuple(fields)


def _order(order_by: str | OrderBy | Sequence[str | OrderBy]) -> tuple[OrderBy, ...]:
    given = [order_by] if isinstance(order_by, str | OrderBy) else order_by
    return tuple(OrderBy(one) if isinstance(one, str) else one for one in given)


def _rows(result: Result) -> tuple[Any, ...]:
    assert isinstance(result, RowsResult)
    return result.rows


def _number(result: Result) -> Number:
    assert isinstance(result, NumberResult)
    return result.number


def _made(row: Row | None, into: type[Any] | None) -> Any:
    if row is None or into is None:
        return row
    try:
        return msgspec.convert(row, into)
    except msgspec.ValidationError as error:
        raise invalid(f"the record does not fit {into.__name__}: {error}", Code.TYPE_MISMATCH) from error
