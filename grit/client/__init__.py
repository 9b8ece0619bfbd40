"""The SDK: transactions over many databases, from Python.

import grit.client as grit

async with grit.connect("127.0.0.1:7400") as db:

    @db.transactional()
    async def checkout(txn: grit.Transaction, customer: str) -> None: ...

    await checkout("alice")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grit.client.client import Client, Transacted, connect
    from grit.client.errors import GritError, InvalidRequest, OutcomeUnknown, TxnAborted, Unavailable
    from grit.client.interceptors import CallInterceptor, JoinInterceptor
    from grit.client.kept import Kept
    from grit.client.transaction import Transaction
    from grit.client.where import Condition, absent, ascending, descending, exists, field
    from grit.core.errors import Code
    from grit.core.operations import SessionToken
    from grit.core.outcome import Conflict
    from grit.telemetry.tracing import configure_tracing

__all__ = [
    "CallInterceptor",
    "Client",
    "Code",
    "Condition",
    "Conflict",
    "GritError",
    "InvalidRequest",
    "JoinInterceptor",
    "Kept",
    "OutcomeUnknown",
    "SessionToken",
    "Transacted",
    "Transaction",
    "TxnAborted",
    "Unavailable",
    "absent",
    "ascending",
    "configure_tracing",
    "connect",
    "descending",
    "exists",
    "field",
]

_PLACES = {
    "grit.client.client": ("Client", "Transacted", "connect"),
    "grit.client.errors": ("GritError", "InvalidRequest", "OutcomeUnknown", "TxnAborted", "Unavailable"),
    "grit.client.interceptors": ("CallInterceptor", "JoinInterceptor"),
    "grit.client.kept": ("Kept",),
    "grit.client.transaction": ("Transaction",),
    "grit.client.where": ("Condition", "absent", "ascending", "descending", "exists", "field"),
    "grit.core.errors": ("Code",),
    "grit.core.operations": ("SessionToken",),
    "grit.core.outcome": ("Conflict",),
    "grit.telemetry.tracing": ("configure_tracing",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load what is asked for: importing the package alone costs nothing."""
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(place), name)
