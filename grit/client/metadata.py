"""The metadata entries of calls across services (interfaces.md, section 3).

grit-txn:  <txid>;home=<host:port>;call=<call id>;deadline=<ms>       on the call
grit-call: <call id>;ops=<n>;realms=<list>                            on its answer
"""

import re

import msgspec

from grit.client.errors import invalid
from grit.core.ids import is_txn_id

TXN_ENTRY, CALL_ENTRY = "grit-txn", "grit-call"
_HOME = re.compile(r"[A-Za-z0-9.\-_:\[\]]{3,255}")
_CALL = re.compile(r"[a-z0-9\-]{1,200}")


class OutgoingCall(msgspec.Struct, frozen=True):
    """What a called service is told. `deadline_ms`: what is left of the transaction's time."""

    txid: str
    home: str
    call: str
    deadline_ms: int

    def entry(self) -> str:
        """Return the value of `grit-txn`."""
        return f"{self.txid};home={self.home};call={self.call};deadline={self.deadline_ms}"


class FinishedCall(msgspec.Struct, frozen=True):
    """What its answer tells the caller."""

    call: str
    operations: int
    realms: tuple[str, ...]

    def entry(self) -> str:
        """Return the value of `grit-call`."""
        return f"{self.call};ops={self.operations};realms={','.join(self.realms)}"


def parse_outgoing(entry: str) -> OutgoingCall:
    """Return what a `grit-txn` entry says.

    Raises:
        InvalidRequest: Malformed; names what is wrong.
    """
    txid, fields = _parse(entry, TXN_ENTRY, ("home", "call", "deadline"))
    if not is_txn_id(txid):
        raise invalid(f"{TXN_ENTRY}: not a transaction id: {txid[:80]!r}")
    if not _HOME.fullmatch(fields["home"]):
        raise invalid(f"{TXN_ENTRY}: home is not host:port: {fields['home'][:80]!r}")
    if not _CALL.fullmatch(fields["call"]) or not fields["call"].startswith(f"{txid}-"):
        raise invalid(f"{TXN_ENTRY}: not a call of {txid}: {fields['call'][:80]!r}")
    return OutgoingCall(txid, fields["home"], fields["call"], _number(fields["deadline"], TXN_ENTRY, "deadline"))


def parse_finished(entry: str) -> FinishedCall:
    """Return what a `grit-call` entry says.

    Raises:
        InvalidRequest: Malformed.
    """
    call, fields = _parse(entry, CALL_ENTRY, ("ops", "realms"))
    realms = tuple(realm for realm in fields["realms"].split(",") if realm)
    return FinishedCall(call, _number(fields["ops"], CALL_ENTRY, "ops"), realms)


def _parse(entry: str, name: str, wanted: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    head, *rest = entry.split(";")
    fields = dict(pair.partition("=")[::2] for pair in rest)
    missing = [field for field in wanted if field not in fields]
    if missing:
        raise invalid(f"{name}: {missing[0]} is missing in {entry[:120]!r}")
    return head, fields


def _number(text: str, entry: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise invalid(f"{entry}: {name} is not a number: {text[:40]!r}")
    return int(text)
