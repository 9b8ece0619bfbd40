"""Events and effects of a DBTM, beside those that all machines share (`grit.core.steps`)."""

import msgspec

from grit.core.queries import Query, StoreAnswer
from grit.core.steps import SharedEffect, SharedEvent


class ReadStore(msgspec.Struct, frozen=True, gc=False):
    """Read the database: position, rows, position, on one connection; without queries, its position."""

    id: int
    queries: tuple[Query, ...]


class StoreRead(msgspec.Struct, frozen=True, gc=False):
    """The answer to a `ReadStore`."""

    id: int
    answer: StoreAnswer


class StoreFailed(msgspec.Struct, frozen=True, gc=False):
    """The database did not answer a `ReadStore`; `reason` is one line."""

    id: int
    reason: str


class Restart(msgspec.Struct, frozen=True, gc=False):
    """Throw this machine away and start a new one, which folds its logs from the start; `reason` is one line."""

    reason: str


Event = SharedEvent | StoreRead | StoreFailed
Effect = SharedEffect | ReadStore | Restart
