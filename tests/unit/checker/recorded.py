"""A recorded deployment for the checker's tests: logs and databases as honest roles leave them, made by hand.

Two realms, `orders` (tables) and `carts` (documents). What a test does to the lists of records or to the stores
afterwards is its planted fault.
"""

from collections.abc import Mapping
from random import Random

from grit.checker.sources import Sources
from grit.core.catalog import CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Collection, Csn, Epoch, Key, LeaderId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.keys import encode_key
from grit.core.parts import (
    Act,
    Expect,
    Part,
    Write,
    after_image,
    encode_changes,
    encode_image,
    encode_part,
)
from grit.core.queries import Cursor, RowWrite
from grit.core.records import (
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtlRecord,
    GtmEpoch,
    Image,
    PartEntry,
    Refused,
    Through,
    encode_log_record,
)
from grit.core.states import split_state
from grit.core.values import Row, decode_record, encode_record
from grit.log.memory import MemoryLog
from grit.store.memory import MemoryStore
from grit.store.port import StoreReader

ORDERS, CARTS = Realm("orders"), Realm("carts")
ITEMS = Collection("items")
TIME = Millis(1_700_000_000_000)
_TEXT, _INT = FieldType(FieldKind.STRING), FieldType(FieldKind.INT)
_FIELDS = {"id": _INT, "name": _TEXT, "count": _INT}


def catalogue() -> Mapping[Realm, RealmDef]:
    shapes = {ORDERS: Shape.TABLE, CARTS: Shape.DOCUMENT}
    return {
        realm: RealmDef(realm, "memory", "", {ITEMS: CollectionDef(ITEMS, shape, ("id",), _FIELDS)})
        for realm, shape in shapes.items()
    }


def key(number: int) -> Key:
    return encode_key((number,))


def put(number: int, name: str, count: int = 0) -> Write:
    row = encode_record({"id": number, "name": name, "count": count})
    return Write(ITEMS, key(number), Expect.ANYTHING, Act.REPLACE, row)


def patch(number: int, name: str | None) -> Write:
    return Write(ITEMS, key(number), Expect.PRESENT, Act.CHANGE, encode_changes({"name": name}))


def increment(number: int, delta: int) -> Write:
    return Write(ITEMS, key(number), Expect.PRESENT, Act.CHANGE, b"", (("count", delta),))


def delete(number: int) -> Write:
    return Write(ITEMS, key(number), Expect.PRESENT, Act.DELETE)


class Recorded:
    """Logs that grow by honest steps; `store(realm)` is the database as the player leaves it."""

    def __init__(self) -> None:
        self.gtl: list[GtlRecord] = [Genesis("gtl-1", Realm(""), 1)]
        self.dbtl: dict[Realm, list[DbtlRecord]] = {
            realm: [Genesis(f"log-{realm}", realm, 1)] for realm in (ORDERS, CARTS)
        }
        self.now = TIME
        self._serial = 0
        self._csn = 0
        self._lsn = dict.fromkeys(self.dbtl, 0)
        self._last_csn = dict.fromkeys(self.dbtl, 0)
        self._epoch = dict.fromkeys(self.dbtl, 0)
        self._gtm_epoch = 0
        self._rows: dict[Realm, dict[Key, Row]] = {realm: {} for realm in self.dbtl}
        self._stores: dict[Realm, MemoryStore] = {}
        self._cuts: dict[str, Offset] = {}
        self.gtm_takes_over()
        for realm in self.dbtl:
            self.dbtm_takes_over(realm)

    # Honest steps.

    def gtm_takes_over(self) -> None:
        self._gtm_epoch += 1
        self.gtl.append(GtmEpoch(Epoch(self._gtm_epoch), LeaderId(f"g{self._gtm_epoch}"), "", self.now))
        self.gtl.append(Commits(Epoch(self._gtm_epoch), Csn(self._csn + 1), self.now, ()))

    def dbtm_takes_over(self, realm: Realm) -> None:
        self._epoch[realm] += 1
        epoch = Epoch(self._epoch[realm])
        self.dbtl[realm].append(DbtmEpoch(epoch, LeaderId(f"d{epoch}"), "", self.now, "gtl-1"))
        self.gtl.append(Fence(realm, epoch))
        self.renew(realm)

    def renew(self, realm: Realm) -> None:
        self._write(realm)

    def txid(self) -> TxnId:
        self._serial += 1
        self.now = Millis(self.now + 10)
        return make_txn_id(self.now, self._serial)

    def local(self, realm: Realm, *writes: Write) -> TxnId:
        txid = self.txid()
        part = encode_part(Part(Lsn(0), (), writes))
        self._write(realm, Entry(txid, Csn(0), part, self._images(realm, writes)))
        return txid

    def globally(
        self, orders: tuple[Write, ...], carts: tuple[Write, ...], *, txid: TxnId | None = None, idempotency: str = ""
    ) -> CommitEntry:
        """Commit a transaction over both realms, and merge it into their logs."""
        entry = self.decide(orders, carts, txid=txid, idempotency=idempotency)
        for realm, writes in ((ORDERS, orders), (CARTS, carts)):
            self.merge(realm, entry, writes)
        return entry

    def decide(
        self,
        orders: tuple[Write, ...],
        carts: tuple[Write, ...],
        *,
        txid: TxnId | None = None,
        idempotency: str = "",
        dbtm_epoch: int | None = None,
    ) -> CommitEntry:
        """Append to the global log only; with a wrong `dbtm_epoch`, or a used id or key, the entry is void."""
        parts = []
        for realm, writes in ((ORDERS, orders), (CARTS, carts)):
            part = encode_part(Part(Lsn(0), (), writes))
            epoch = Epoch(self._epoch[realm] if dbtm_epoch is None else dbtm_epoch)
            parts.append(PartEntry(realm, epoch, Epoch(self._gtm_epoch), Csn(self._last_csn[realm]), part))
        entry = CommitEntry(txid or self.txid(), tuple(parts), idempotency)
        self._csn += 1
        for realm in self.dbtl:
            self._last_csn[realm] = self._csn
        self.gtl.append(Commits(Epoch(self._gtm_epoch), Csn(self._csn), self.now, (entry,)))
        return entry

    def merge(self, realm: Realm, entry: CommitEntry, writes: tuple[Write, ...]) -> None:
        """Write a decided transaction, the newest one, into the log of a participant."""
        part = next(part.part for part in entry.parts if part.realm == realm)
        self._write(realm, Entry(entry.txid, Csn(self._csn), part, self._images(realm, writes)))

    def refuse(self, txid: TxnId) -> None:
        self.gtl.append(Refused(Epoch(0), (txid,)))

    def zombie_writes(self, realm: Realm) -> None:
        """Let a leader that has been fenced write on: void for everybody."""
        entry = Entry(self.txid(), Csn(0), b"", ())
        epoch, first = Epoch(self._epoch[realm] - 1), Lsn(self._lsn[realm] + 1)
        self.dbtl[realm].append(Entries(epoch, first, self.now, Through(Csn(0), Offset(0)), (entry,)))
        self.dbtl[realm].append(Refused(epoch, (self.txid(),)))

    def lose_an_append(self, realm: Realm) -> None:
        """Let a leader's second append land and its first one not; it notices, and claims a new epoch."""
        entry = Entry(self.txid(), Csn(0), b"", ())
        epoch, first = Epoch(self._epoch[realm]), Lsn(self._lsn[realm] + 2)
        self.dbtl[realm].append(Entries(epoch, first, self.now, Through(Csn(self._csn), Offset(0)), (entry,)))
        self.dbtm_takes_over(realm)

    def _write(self, realm: Realm, *entries: Entry) -> None:
        first, through = Lsn(self._lsn[realm] + 1), Through(Csn(self._csn), Offset(len(self.gtl)))
        self.dbtl[realm].append(Entries(Epoch(self._epoch[realm]), first, self.now, through, entries))
        self._lsn[realm] += len(entries)

    def _images(self, realm: Realm, writes: tuple[Write, ...]) -> tuple[Image, ...]:
        return tuple(self._image(realm, write) for write in writes)

    def _image(self, realm: Realm, write: Write) -> Image:
        rows = self._rows[realm]
        before = rows.get(write.key)
        after = after_image(write, before)
        kept = None
        if before is not None:
            changed = [f for f in {**before, **(after or {})} if after is None or before.get(f) != after.get(f)]
            kept = encode_changes({field: before.get(field) for field in changed})
        if after is None:
            rows.pop(write.key, None)
        else:
            rows[write.key] = after
        return Image(write.collection, write.key, encode_image(after), kept)

    # Checkpoints.

    def checkpoint(self, log: str, at: int, *, cut: bool = False) -> None:
        """Append the true checkpoint of an offset of `gtl` or `dbtl.<realm>`; the log may be cut there."""
        if log == "gtl":
            gtl = GtlFold()
            for record in self.gtl[:at]:
                gtl.apply(gtl.offset, record)
            self.gtl += split_state(Offset(at), gtl.dump())
        else:
            realm = Realm(log.removeprefix("dbtl."))
            fold = DbtlFold(log, realm)
            for one in self.dbtl[realm][:at]:
                fold.apply(fold.offset, one)
            self.dbtl[realm] += split_state(Offset(at), fold.dump())
        if cut:
            self._cuts[log] = Offset(at)

    # What a check reads.

    def store(self, realm: Realm) -> MemoryStore:
        """Return the database as the player leaves it when it has applied what the log holds now."""
        if realm not in self._stores:
            store = self._stores[realm] = MemoryStore(catalogue()[realm])
            self.play(realm, store)
        return self._stores[realm]

    def play(self, realm: Realm, store: MemoryStore) -> None:
        for record in self.dbtl[realm]:
            if isinstance(record, Entries):
                for image in (image for entry in record.entries for image in entry.images):
                    row = None if image.after is None else decode_record(image.after)
                    self.overwrite(realm, image.key, row, store)
        end = Cursor(f"log-{realm}", Offset(len(self.dbtl[realm])), Epoch(self._epoch[realm]), Lsn(self._lsn[realm]))
        store.apply_now(store.cursor_now(), (), end)

    def overwrite(self, realm: Realm, of: Key, row: Row | None, store: MemoryStore | None = None) -> None:
        """Write one row past GRIT."""
        target = store or self.store(realm)
        at = target.cursor_now()
        target.apply_now(at, (RowWrite(ITEMS, of, row),), at or Cursor("", Offset(0), Epoch(0), Lsn(0)))

    def sources(self) -> Sources:
        async def open_log(name: str) -> MemoryLog:
            log = MemoryLog(name)
            records: list[GtlRecord] | list[DbtlRecord] = (
                self.gtl if name == "gtl" else self.dbtl[Realm(name.removeprefix("dbtl."))]
            )
            for record in records:
                await log.append(encode_log_record(record))
            await log.cut(self._cuts.get(name, Offset(0)))
            return log

        async def open_reader(realm: RealmDef) -> StoreReader:
            return self.store(realm.name)

        return Sources(catalogue(), open_log, open_reader)


KINDS = (
    *("put", "patch", "add", "delete", "global", "global"),
    *("void", "refuse", "over", "gtm", "renew", "zombie", "lost"),
)


def clean(seed: int, *, steps: int = 40) -> Recorded:
    """Return an honest run: locals, globals, voided ones, refusals, take-overs, renewals, zombies, lost appends."""
    chance = Random(seed)
    run = Recorded()
    for step in range(steps):
        number = chance.randrange(5)
        realm = chance.choice((ORDERS, CARTS))
        kind = chance.choice(
            ("put", "patch", "add", "delete", "global", "global", "void", "refuse", "over", "gtm", "renew")
        )
        if kind in ("put", "patch", "add", "delete"):
            run.local(realm, _write_of(kind, number, step))
        elif kind == "global":
            run.globally(
                (put(number, f"o{step}"), increment(4 - number, 1)) if number != 2 else (), (put(9, "c", step),)
            )
        elif kind == "void":
            run.decide((put(0, "void"),), (delete(0),), dbtm_epoch=99)
        elif kind == "refuse":
            txid = run.txid()
            run.refuse(txid)
            run.decide((put(1, "refused"),), (), txid=txid)
        elif kind == "over":
            run.dbtm_takes_over(realm)
        elif kind == "gtm":
            run.gtm_takes_over()
        elif kind == "zombie":
            run.zombie_writes(realm)
        elif kind == "lost":
            run.lose_an_append(realm)
        else:
            run.renew(realm)
    for realm in (ORDERS, CARTS):
        run.renew(realm)
    return run


def _write_of(kind: str, number: int, step: int) -> Write:
    if kind == "put":
        return put(number, f"n{step}", step)
    if kind == "patch":
        return patch(number, f"p{step}" if step % 3 else None)
    return increment(number, step + 1) if kind == "add" else delete(number)
