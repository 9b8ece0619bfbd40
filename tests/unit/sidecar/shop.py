"""A small catalogue: a relational realm, a document one, a graph."""

from grit.core.catalog import Bound, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key

_INT = FieldType(FieldKind.INT, nullable=True)
_STRING = FieldType(FieldKind.STRING, nullable=True)
ITEMS, CARTS = Collection("items"), Collection("carts")
PEOPLE, GOODS, BOUGHT, KNOWS = (Collection(name) for name in ("Person", "Good", "BOUGHT", "KNOWS"))
STOCK, BASKET, SOCIAL = Realm("stock"), Realm("basket"), Realm("social")


def _node(name: Collection) -> CollectionDef:
    return CollectionDef(name, Shape.NODE, ("name",), {"name": FieldType(FieldKind.STRING), "age": _INT})


def _edges(name: Collection, start: Collection, end: Collection) -> CollectionDef:
    ends = {"start": FieldType(FieldKind.STRING), "end": FieldType(FieldKind.STRING)}
    return CollectionDef(name, Shape.RELATIONSHIP, ("start", "end"), {**ends, "qty": _INT}, start=start, end=end)


CATALOGUE = {
    STOCK: RealmDef(
        STOCK,
        "sqlite",
        "",
        {
            ITEMS: CollectionDef(
                ITEMS,
                Shape.TABLE,
                ("id",),
                {"id": FieldType(FieldKind.INT), "name": _STRING, "price": _INT, "on_hand": _INT},
                bounds={"on_hand": Bound(min=0)},
            )
        },
    ),
    BASKET: RealmDef(
        BASKET,
        "document",
        "",
        {CARTS: CollectionDef(CARTS, Shape.DOCUMENT, ("owner",), {"owner": FieldType(FieldKind.STRING)})},
    ),
    SOCIAL: RealmDef(
        SOCIAL,
        "graph",
        "",
        {
            PEOPLE: _node(PEOPLE),
            GOODS: _node(GOODS),
            BOUGHT: _edges(BOUGHT, PEOPLE, GOODS),
            KNOWS: _edges(KNOWS, PEOPLE, PEOPLE),
        },
    ),
}


def key(*components: object) -> Key:
    return encode_key(components)


def item(number: int, **fields: object) -> dict[str, object]:
    return {"id": number, **fields}
