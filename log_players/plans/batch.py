"""From the entries of a batch to row writes: the last image of each record, in an order that every engine accepts.

    deletes   relationships, then tables, documents and nodes; who refers before what is referred to
    upserts   the other way round

Deletes come first because an upsert may take over the unique value that a delete sets free. Within a
collection the order is that of the canonical keys, so that two players that write the same batch ask
the database for the same locks in the same order.
"""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from grit.core.catalog import CollectionDef, Shape
from grit.core.errors import StoreRefused
from grit.core.ids import Collection, Key, Lsn
from grit.core.queries import RowWrite
from grit.core.records import Entry
from grit.core.values import decode_record


class WriteOrder:
    """The ranks of the collections of one realm: what is referred to ranks below what refers to it.

    Args:
        collections: All of the realm, as the catalogue has them. References that form a circle rank by name:
            no order of single rows is right for them, and the engine has to defer its check.
    """

    def __init__(self, collections: Mapping[Collection, CollectionDef]) -> None:
        self._ranks = {name: rank for rank, name in enumerate(_by_reference(collections))}

    def rank(self, collection: Collection, lsn: Lsn) -> int:
        """Return the rank of a collection that the transaction of `lsn` wrote.

        Raises:
            StoreRefused: The catalogue does not know it.
        """
        rank = self._ranks.get(collection)
        if rank is None:
            raise StoreRefused(
                f"Lsn {lsn} writes the collection {collection}, which the catalogue of this realm does not have: "
                "give this player the grit.yaml of the DBTM"
            )
        return rank


def plan_writes(entries: Iterable[tuple[Lsn, Entry]], order: WriteOrder) -> tuple[RowWrite, ...]:
    """Return what the entries, in order of Lsn, make of the rows: each record once, deletes before upserts.

    Raises:
        StoreRefused: An entry writes a collection that the catalogue does not know.
    """
    last: dict[tuple[int, Key], RowWrite] = {}
    for lsn, entry in entries:
        for image in entry.images:
            row = None if image.after is None else decode_record(image.after)
            last[order.rank(image.collection, lsn), image.key] = RowWrite(image.collection, image.key, row)
    deletes = sorted((slot for slot, write in last.items() if write.row is None), key=lambda slot: (-slot[0], slot[1]))
    upserts = sorted(slot for slot, write in last.items() if write.row is not None)
    return tuple(last[slot] for slot in (*deletes, *upserts))


def _by_reference(collections: Mapping[Collection, CollectionDef]) -> list[Collection]:
    """Return the collections, each after those that it refers to, relationships last; else by name."""
    refers = {name: _referred(definition) & set(collections) for name, definition in collections.items()}
    names = sorted(collections, key=lambda name: (collections[name].shape == Shape.RELATIONSHIP, name))
    sorter = TopologicalSorter({name: sorted(refers[name] - {name}) for name in names})
    try:
        sorter.prepare()
    except CycleError:
        return names
    ranked: list[Collection] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=names.index)
        ranked.extend(ready)
        sorter.done(*ready)
    return sorted(ranked, key=lambda name: collections[name].shape == Shape.RELATIONSHIP)


def _referred(definition: CollectionDef) -> set[Collection]:
    joined = {node for node in (definition.start, definition.end) if node is not None}
    return set(definition.references.values()) | joined
