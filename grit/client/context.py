"""Which transaction the running task is in: what interceptors propagate, and what `Client.joined` returns."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from grit.client.transaction import Transaction

_CURRENT: ContextVar[Transaction | None] = ContextVar("grit_transaction", default=None)


def current_transaction() -> Transaction | None:
    """Return the transaction that the running task is in."""
    return _CURRENT.get()


@contextlib.contextmanager
def entered(txn: Transaction) -> Iterator[None]:
    """Make it the current one for this task, and for those that it starts."""
    token = _CURRENT.set(txn)
    try:
        yield
    finally:
        _CURRENT.reset(token)
