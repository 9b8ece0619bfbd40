"""The DBTM as a role of a process."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from dbtm.machine import DbtmMachine
from dbtm.service import Dbtm
from grit.core.catalog import RealmDef
from grit.core.ids import LeaderId
from grit.core.limits import Limits
from grit.core.messages import Message
from grit.core.steps import Trace
from grit.log.port import Log
from grit.runtime.electors.port import Elector
from grit.runtime.links.port import Links, LinkServer
from grit.store.port import StoreReader


class DbtmRole:
    """A `grit.runtime.supervisor.Role`: the DBTM of one realm at one address. Logs and reader are its own to close."""

    def __init__(
        self,
        realm: RealmDef,
        dbtl: Log,
        gtl: Log,
        reader: StoreReader,
        links: Links[Message],
        address: str,
        *,
        limits: Limits,
        trace: Callable[[Trace], None],
        is_alone: bool = True,
        elector: Elector | None = None,
    ) -> None:
        self._realm = realm
        self._logs = (dbtl, gtl)
        self._reader = reader
        self._links = links
        self._address = address
        self._limits = limits
        self._is_alone = is_alone
        self._server: LinkServer | None = None
        self._stand = None if elector is None or is_alone else partial(elector.stand, f"dbtm.{realm.name}", address)
        self._dbtm = Dbtm(dbtl, gtl, reader, self._make_machine, trace=trace, stand=self._stand)

    @property
    def name(self) -> str:
        """Return the role and its realm."""
        return f"dbtm {self._realm.name}"

    def describe(self) -> dict[str, Any]:
        """Return how it is, for metrics and `status`."""
        return self._dbtm.describe()

    async def start(self) -> None:
        """Begin to serve: requests are declined with NO_LEADER until the realm is taken over."""
        self._dbtm.start()
        self._server = await self._links.listen(self._address, "dbtm", self._realm.name, self._dbtm.callbacks)

    async def drain(self) -> None:
        """Make durable what is in flight, and give the leadership back."""
        await self._dbtm.drain()

    async def close(self) -> None:
        """Stop listening, stop following, release logs and database."""
        if self._server is not None:
            await self._server.close()
        await self._dbtm.close()
        await self._reader.close()
        for log in self._logs:
            await log.close()

    def _make_machine(self) -> DbtmMachine:
        return DbtmMachine(
            self._realm,
            leader_id=LeaderId(secrets.token_hex(8)),
            address=self._address,
            fresh_log_id=secrets.token_hex(8),
            limits=self._limits,
            is_alone=self._is_alone,
            has_elector=self._stand is not None,
        )
