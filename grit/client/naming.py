"""How users name records: "realm.collection", and a key as one value or a tuple of them."""

from grit.client.errors import invalid
from grit.core.errors import Code
from grit.core.ids import Collection, Key, Realm
from grit.core.keys import encode_key
from grit.core.values import Value

Keyed = Value
"""A key: its one component, or a tuple of all in the order of the catalogue."""


def split(collection: str) -> tuple[Realm, Collection]:
    """Return realm and collection.

    Raises:
        InvalidRequest: It is not "realm.collection".
    """
    realm, dot, name = collection.partition(".")
    if not (realm and dot and name):
        raise invalid(f'a collection is named "realm.collection", not {collection!r}')
    return Realm(realm), Collection(name)


def key_of(collection: str, key: Keyed) -> Key:
    """Return the canonical key.

    Raises:
        InvalidRequest: It holds what no key can.
    """
    try:
        return encode_key(key if isinstance(key, tuple) else (key,))
    except ValueError as error:
        raise invalid(f"{collection}: {error}", Code.TYPE_MISMATCH) from error
