"""What may be concluded from how a call ended."""

import io
import json
from typing import Any

import grpc
import pytest

from sample_services.failures import Failure, Refused
from sample_services.load.history import HistoryFile
from sample_services.load.recorder import Failed, Numbers, Recorder
from sample_services.load.tally import Tally
from sample_services.pb.v1.shop_pb2 import CheckoutResponse


class Desk:
    """A recorder, and what it counted and wrote."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.file = io.StringIO()
        self.recorder = Recorder(self.tally, HistoryFile(self.file), Numbers(), 0)

    async def end(self, call: Any) -> None:
        await self.recorder.call("checkout", {"customer": "c1"}, call)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]


async def answer() -> CheckoutResponse:
    return CheckoutResponse(order_id="c1-4", total_cents=5, attempts=3, txn_id="t-9")


async def failure(code: grpc.StatusCode, details: str) -> CheckoutResponse:
    raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


async def test_an_answer_is_a_commit_with_its_retries() -> None:
    desk = Desk()
    await desk.end(answer())
    assert desk.tally.committed == {"checkout": 1}
    assert desk.tally.retries == 2
    assert desk.tally.orders == {"c1-4": "t-9"}
    assert [event["type"] for event in desk.events()] == ["invoke", "ok"]
    assert desk.events()[1]["value"] == {"customer": "c1", "order_id": "c1-4", "txn_id": "t-9"}


async def test_a_refusal_had_no_effect() -> None:
    desk = Desk()
    with pytest.raises(Refused) as refused:
        await desk.end(failure(grpc.StatusCode.FAILED_PRECONDITION, "EMPTY_CART: the cart of c1 holds nothing"))
    assert refused.value.failure == Failure.EMPTY_CART
    assert desk.tally.refused == {"EMPTY_CART": 1}
    assert desk.events()[1]["type"] == "fail"


async def test_an_abort_with_a_code_had_no_effect_and_may_be_tried_at_once() -> None:
    desk = Desk()
    with pytest.raises(Failed) as failed:
        await desk.end(failure(grpc.StatusCode.ABORTED, "READ_CONFLICT: cart.carts/(c1) was changed"))
    assert failed.value.is_busy
    assert desk.tally.aborted == {"READ_CONFLICT": 1}
    assert desk.events()[1]["type"] == "fail"


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.UNKNOWN, "UNKNOWN: Status could not be asked for 30 s"),
        (grpc.StatusCode.UNKNOWN, "EXPIRED: the arbiter no longer remembers"),
        (grpc.StatusCode.ABORTED, ""),
    ],
)
async def test_what_may_have_happened_is_never_a_failure(code: grpc.StatusCode, details: str) -> None:
    desk = Desk()
    with pytest.raises(Failed):
        await desk.end(failure(code, details))
    assert desk.tally.unknown.total() == desk.tally.unknown_checkouts == 1
    assert not desk.tally.aborted
    assert desk.events()[1]["type"] == "info"


async def test_a_process_whose_outcome_is_unknown_never_comes_again() -> None:
    desk = Desk()
    with pytest.raises(Failed):
        await desk.end(failure(grpc.StatusCode.DEADLINE_EXCEEDED, ""))
    await desk.end(answer())
    assert [event["process"] for event in desk.events()] == [0, 0, 1, 1]
    assert [event["index"] for event in desk.events()] == [0, 1, 2, 3]


def test_percentiles_are_latencies_that_were_seen() -> None:
    tally = Tally()
    assert tally.percentile_ms(0.99) == 0
    for ms in range(1, 101):
        tally.add_committed("checkout", 1, float(ms))
    assert (tally.percentile_ms(0.5), tally.percentile_ms(0.99), tally.percentile_ms(1)) == (51, 100, 100)
