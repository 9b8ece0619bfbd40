"""The plan of a batch: each record once, in an order that every engine accepts."""

import pytest

from grit.core.catalog import CollectionDef, Shape
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Csn, Lsn, Millis, make_txn_id
from grit.core.keys import encode_key
from grit.core.queries import RowWrite
from grit.core.records import Entry, Image
from grit.core.values import encode_record
from log_players.plans.batch import WriteOrder, plan_writes

PEOPLE, KNOWS, ORDERS, LINES = (Collection(name) for name in ("people", "knows", "orders", "a_lines"))
CATALOGUE = {
    KNOWS: CollectionDef(KNOWS, Shape.RELATIONSHIP, ("start", "end"), {}, start=PEOPLE, end=PEOPLE),
    PEOPLE: CollectionDef(PEOPLE, Shape.NODE, ("name",), {}),
    LINES: CollectionDef(LINES, Shape.TABLE, ("id",), {}, references={"order_id": ORDERS}),
    ORDERS: CollectionDef(ORDERS, Shape.TABLE, ("id",), {}),
}


def image(collection: Collection, number: int, *, present: bool = True, mark: int = 0) -> Image:
    after = encode_record({"id": number, "mark": mark}) if present else None
    return Image(collection, encode_key((number,)), after, None)


def plan(*transactions: tuple[Image, ...]) -> tuple[RowWrite, ...]:
    entries = [
        (Lsn(i + 1), Entry(make_txn_id(Millis(0), i), Csn(0), b"", images)) for i, images in enumerate(transactions)
    ]
    return plan_writes(entries, WriteOrder(CATALOGUE))


def shape_of(writes: tuple[RowWrite, ...]) -> list[tuple[str, bool]]:
    return [(write.collection, write.row is not None) for write in writes]


def test_only_the_last_image_of_a_record_is_written() -> None:
    writes = plan((image(ORDERS, 1, mark=1),), (image(ORDERS, 1, mark=2),))
    assert [write.row for write in writes] == [{"id": 1, "mark": 2}]


def test_a_record_that_came_and_went_is_deleted_once() -> None:
    writes = plan((image(ORDERS, 1),), (image(ORDERS, 1, present=False),))
    assert shape_of(writes) == [("orders", False)]


def test_deletes_come_before_upserts() -> None:
    writes = plan((image(ORDERS, 1),), (image(ORDERS, 2, present=False),))
    assert shape_of(writes) == [("orders", False), ("orders", True)]


def test_relationships_are_deleted_before_nodes_and_made_after_them() -> None:
    away = plan((image(PEOPLE, 1, present=False), image(KNOWS, 1, present=False)))
    assert shape_of(away) == [("knows", False), ("people", False)]
    made = plan((image(KNOWS, 1), image(PEOPLE, 1)))
    assert shape_of(made) == [("people", True), ("knows", True)]


def test_what_is_referred_to_is_made_first_and_deleted_last() -> None:
    assert shape_of(plan((image(LINES, 1), image(ORDERS, 1)))) == [("orders", True), ("a_lines", True)]
    away = plan((image(ORDERS, 1, present=False), image(LINES, 1, present=False)))
    assert shape_of(away) == [("a_lines", False), ("orders", False)]


def test_a_relationship_ranks_last_whatever_its_name_and_whoever_refers() -> None:
    edge = CollectionDef(Collection("a"), Shape.RELATIONSHIP, ("start", "end"), {}, start=PEOPLE, end=PEOPLE)
    order = WriteOrder({edge.name: edge, LINES: CATALOGUE[LINES], ORDERS: CATALOGUE[ORDERS], PEOPLE: CATALOGUE[PEOPLE]})
    assert [order.rank(name, Lsn(1)) for name in (ORDERS, PEOPLE, LINES, edge.name)] == [0, 1, 2, 3]


def test_references_in_a_circle_rank_by_name() -> None:
    left, right = Collection("left"), Collection("right")
    circle = {
        right: CollectionDef(right, Shape.TABLE, ("id",), {}, references={"l": left}),
        left: CollectionDef(left, Shape.TABLE, ("id",), {}, references={"r": right}),
    }
    order = WriteOrder(circle)
    assert [order.rank(name, Lsn(1)) for name in (left, right)] == [0, 1]


def test_the_order_does_not_depend_on_the_order_in_the_log() -> None:
    forward = plan((image(ORDERS, 1), image(ORDERS, 2), image(PEOPLE, 3)))
    backward = plan((image(PEOPLE, 3), image(ORDERS, 2), image(ORDERS, 1)))
    assert forward == backward


def test_a_collection_that_the_catalogue_lacks_is_refused_with_its_lsn() -> None:
    with pytest.raises(StoreRefused, match=r"Lsn 1 writes the collection ghosts.*grit\.yaml"):
        plan((image(Collection("ghosts"), 1),))
