"""Identifiers: the nouns of protocol.md section 1 as types, and the shape of a transaction id.

A transaction id carries the time at which the transaction began, so that every place that must
judge its age (certification, the fold of a log, a refusal) reads the same number, and nobody can
send another one beside it. See docs/adr/0002.
"""

import re
from typing import NewType

Realm = NewType("Realm", str)
"""One database, or one shard of one."""
Collection = NewType("Collection", str)
"""A table, document collection, node label or relationship type within a realm."""
Key = NewType("Key", bytes)
"""A canonically encoded key, see `grit.core.keys`."""
TxnId = NewType("TxnId", str)
Offset = NewType("Offset", int)
"""Where a log put a record; dense per log, from 0, foreign records included."""
Lsn = NewType("Lsn", int)
"""Dense number of a committed transaction within a realm, from 1; 0 is "nothing yet"."""
Csn = NewType("Csn", int)
"""Dense number of an entry within the GTL, from 1, voided entries included; 0 is "nothing yet"."""
Epoch = NewType("Epoch", int)
"""Number of a leadership of one role, from 1; 0 is "nobody yet"."""
LeaderId = NewType("LeaderId", str)
"""Random per process start: an epoch is mine iff its valid record carries my LeaderId."""
LinkId = NewType("LinkId", int)
"""A connection of this process to a peer, numbered by the shell; never reused within a process."""
Millis = NewType("Millis", int)
"""Milliseconds since 1970 UTC, by whoever's clock the context names."""

_TXN_ID = re.compile(r"t-([0-9a-f]{11})-([0-9a-f]{16})")


def make_txn_id(began_at: Millis, chance: int) -> TxnId:
    """Return the id of a transaction that began at `began_at`; `chance` is 64 random bits."""
    assert 0 <= began_at < 1 << 44, f"{began_at} ms is no time at which a transaction began"
    return TxnId(f"t-{began_at:011x}-{chance & 0xFFFF_FFFF_FFFF_FFFF:016x}")


def began_at(txid: TxnId) -> Millis:
    """Return when the transaction began, by its home's clock (home clocks follow the largest `now` seen)."""
    return Millis(int(txid[2:13], 16))


def is_txn_id(text: str) -> bool:
    """Tell whether `text` has the shape of a transaction id; checked at every edge."""
    return _TXN_ID.fullmatch(text) is not None
