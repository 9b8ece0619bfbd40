"""Lines of carts and orders, and what is refused before anything is asked."""

import pytest

from sample_services.failures import Failure, Refused, told_by
from sample_services.lines import check_lines, merged, total_cents
from sample_services.pb.v1.order_line_pb2 import OrderLine


def test_the_same_product_of_a_seller_becomes_one_item() -> None:
    items = [{"seller": "s2", "product": "a", "qty": 1}, {"seller": "s1", "product": "a", "qty": 2}]
    assert merged([*items, *items]) == [
        {"seller": "s1", "product": "a", "qty": 4},
        {"seller": "s2", "product": "a", "qty": 2},
    ]


def test_a_total_is_whole_cents() -> None:
    assert total_cents([OrderLine(qty=3, price_cents=199), OrderLine(qty=1, price_cents=1)]) == 598


@pytest.mark.parametrize("qty", [0, -1, 1_001])
def test_a_quantity_out_of_range_is_refused(qty: int) -> None:
    with pytest.raises(Refused, match="BAD_REQUEST: a: a quantity is 1 to 1,000"):
        check_lines([OrderLine(seller="s", product="a", qty=qty)])


@pytest.mark.parametrize("count", [0, 101])
def test_too_few_or_too_many_lines_are_refused(count: int) -> None:
    with pytest.raises(Refused, match=f"give 1 to 100 lines, not {count}"):
        check_lines([OrderLine(seller="s", product="a", qty=1)] * count)


def test_a_failure_travels_as_the_text_of_a_status() -> None:
    told = told_by(str(Refused(Failure.EMPTY_CART, "nothing: at all")))
    assert isinstance(told, Refused)
    assert (told.failure, told.message) == (Failure.EMPTY_CART, "nothing: at all")


@pytest.mark.parametrize("details", [None, "", "Socket closed", "Deadline Exceeded", "Error: EMPTY_CART: x"])
def test_a_status_of_the_network_tells_nothing(details: str | None) -> None:
    assert told_by(details) is None
