"""A deployment with long logs: so many transactions, each in the global log and in that of its one realm, all applied.

Written straight into the files, as fast as they can be: what is in them is what leaders at a thousand transactions a second,
four to a record, would have written in their time.
"""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from grit.config.load import parse_config
from grit.config.model import Config
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Collection, Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.keys import encode_key
from grit.core.parts import Act, Expect, Part, Write, encode_part
from grit.core.queries import Cursor
from grit.core.records import (
    FORMAT,
    CommitEntry,
    Commits,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtmEpoch,
    Image,
    PartEntry,
    Through,
    decode_dbtl_record,
    decode_gtl_record,
    encode_log_record,
)
from grit.core.states import split_state
from grit.core.values import encode_record
from grit.log.embedded import EmbeddedLog
from grit.runtime.loop import wall_clock
from grit.store.open import open_writer

REALM, ITEMS = Realm("shop"), Collection("stock")
DBTL = f"dbtl.{REALM}"
TOGETHER = 4
"""Transactions to a record."""
BATCH = 2_000
KEYS = 10_000
BEFORE_CHECKPOINT = 10_000
"""Records behind the checkpoint: as many as the default lets pass before the next one."""

_CONFIG = """\
log: {kind: embedded, path: log}
sidecar: {listen: "127.0.0.1:0"}
realms:
  shop:
    engine: sqlite
    url: shop.db
    collections:
      stock: {key: [id], fields: {id: int, on_hand: int, name: string(40)}}
"""


def write_config(folder: Path) -> Config:
    """Write and return the configuration of the deployment."""
    (folder / "grit.yaml").write_text(_CONFIG, encoding="utf-8")
    return parse_config(_CONFIG, "grit.yaml", folder, {})


async def fill(config: Config, count: int) -> None:
    """Make both logs with `count` transactions, without a checkpoint, and the database at their end."""
    assert config.log.path is not None
    began = Millis(wall_clock() - count)
    await _write(config.log.path, "gtl", _gtl(count, began))
    end = await _write(config.log.path, DBTL, _dbtl(count, began))
    writer = open_writer(config.realms[REALM], {})
    await writer.prepare()
    assert await writer.apply(None, (), Cursor("bench-dbtl", end, Epoch(1), Lsn(count)))
    await writer.close()


async def add_checkpoints(config: Config) -> None:
    """Append to each log the checkpoint from which a start has the longest way: the next one would be due now."""
    assert config.log.path is not None
    for name in ("gtl", DBTL):
        log = await EmbeddedLog.open(config.log.path, name)
        fold = GtlFold() if name == "gtl" else DbtlFold(name, REALM)
        at = max(1, await log.end() - BEFORE_CHECKPOINT)
        while fold.offset < at:
            for offset, payload in await log.read(fold.offset):
                if offset < at:
                    fold_payload(fold, offset, payload)
        await asyncio.gather(*(log.append(encode_log_record(one)) for one in split_state(fold.offset, fold.dump())))
        await log.close()


def fold_payload(fold: GtlFold | DbtlFold, offset: Offset, payload: bytes) -> None:
    """Fold a payload of its log."""
    if isinstance(fold, GtlFold):
        fold.apply(offset, decode_gtl_record(payload, log=fold.log, offset=offset))
    else:
        fold.apply(offset, decode_dbtl_record(payload, log=fold.log, offset=offset))


async def _write(path: Path, name: str, records: Iterator[bytes]) -> Offset:
    log = await EmbeddedLog.open(path, name)
    while batch := list(islice(records, BATCH)):
        await asyncio.gather(*(log.append(payload) for payload in batch))
    end = await log.end()
    await log.close()
    return end


def _txid(number: int, began: Millis) -> TxnId:
    return make_txn_id(Millis(began + number), number)


def _part(number: int) -> tuple[bytes, Image]:
    key = encode_key([number % KEYS])
    row = encode_record({"id": number % KEYS, "on_hand": number, "name": f"thing {number}"})
    write = Write(ITEMS, key, Expect.ANYTHING, Act.REPLACE, row)
    return encode_part(Part(Lsn(0), (), (write,))), Image(ITEMS, key, row, None)


def _gtl(count: int, began: Millis) -> Iterator[bytes]:
    yield encode_log_record(Genesis("bench-gtl", Realm(""), FORMAT))
    yield encode_log_record(GtmEpoch(Epoch(1), LeaderId("bench"), "", began))
    yield encode_log_record(Fence(REALM, Epoch(1)))
    for first in range(1, count + 1, TOGETHER):
        entries = tuple(
            CommitEntry(
                _txid(number, began),
                (PartEntry(REALM, Epoch(1), Epoch(1), Csn(number - 1), _part(number)[0]),),
            )
            for number in range(first, min(first + TOGETHER, count + 1))
        )
        yield encode_log_record(Commits(Epoch(1), Csn(first), Millis(began + first), entries))


def _dbtl(count: int, began: Millis) -> Iterator[bytes]:
    yield encode_log_record(Genesis("bench-dbtl", REALM, FORMAT))
    yield encode_log_record(DbtmEpoch(Epoch(1), LeaderId("bench"), "", began, "bench-gtl"))
    for first in range(1, count + 1, TOGETHER):
        numbers = range(first, min(first + TOGETHER, count + 1))
        entries = tuple(
            Entry(_txid(number, began), Csn(number), part, (image,))
            for number, (part, image) in ((number, _part(number)) for number in numbers)
        )
        # The record of the GTL with the same transactions is the fourth at the earliest: GENESIS, epoch and fence lie before.
        through = Through(Csn(numbers[-1]), Offset(3 + first // TOGETHER + 1))
        yield encode_log_record(Entries(Epoch(1), Lsn(first), Millis(began + first), through, entries))
