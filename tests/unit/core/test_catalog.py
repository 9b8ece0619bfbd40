"""What the catalogue says of a collection."""

from grit.core.catalog import END, START, CollectionDef, FieldKind, FieldType, Shape
from grit.core.ids import Collection

STOCK = CollectionDef(
    Collection("stock"),
    Shape.TABLE,
    ("seller", "product"),
    {
        "seller": FieldType(FieldKind.STRING),
        "product": FieldType(FieldKind.STRING),
        "on_hand": FieldType(FieldKind.INT),
    },
)


def test_key_components_come_in_the_order_of_the_key_not_of_the_record() -> None:
    assert STOCK.key_of({"on_hand": 3, "product": "p9", "seller": "s1"}) == ("s1", "p9")


def test_a_missing_component_is_none() -> None:
    assert STOCK.key_of({"product": "p9"}) == (None, "p9")


def test_a_relationship_is_keyed_by_its_two_ends() -> None:
    follows = CollectionDef(Collection("FOLLOWS"), Shape.RELATIONSHIP, (START, END), {})
    assert follows.key_of({"end": "bob", "start": "alice"}) == ("alice", "bob")
