"""The GTM as a role of a process."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from grit.core.ids import LeaderId, Realm
from grit.core.messages import Message
from grit.core.steps import Trace
from grit.log.port import Log
from grit.runtime.electors.port import Elector
from grit.runtime.links.port import Links, LinkServer
from gtm.config import GtmConfig
from gtm.machine import GtmMachine
from gtm.service import Gtm


class GtmRole:
    """A `grit.runtime.supervisor.Role`: the GTM at one address. The log is its own to close.

    Args:
        gtl: The global log.
        links: The kind of connection, both of those that are accepted and of those that are dialled.
        address: Where sidecars reach it.
        realms: Realm -> the addresses of its DBTM's replicas.
        config: Limits and times.
        trace: Takes finished spans.
        is_alone: No other replica is configured.
        elector: Says which replica tries first; not asked by one that is alone.
    """

    def __init__(
        self,
        gtl: Log,
        links: Links[Message],
        address: str,
        realms: Mapping[Realm, Sequence[str]],
        *,
        config: GtmConfig,
        trace: Callable[[Trace], None],
        is_alone: bool = True,
        elector: Elector | None = None,
    ) -> None:
        self._gtl = gtl
        self._links = links
        self._address = address
        self._realms = realms
        self._server: LinkServer | None = None
        # Random per process start: only so can an epoch be known as one's own.
        stand = None if elector is None or is_alone else partial(elector.stand, "gtm", address)
        machine = GtmMachine(
            config,
            LeaderId(secrets.token_hex(8)),
            address,
            secrets.token_hex(8),
            is_alone=is_alone,
            has_elector=stand is not None,
        )
        self._gtm = Gtm(gtl, machine, trace=trace, stand=stand)

    @property
    def name(self) -> str:
        """Return the role."""
        return "gtm"

    @property
    def address(self) -> str:
        """Return where sidecars reach it; with the bound port once it has started."""
        return self._server.address if self._server is not None else self._address

    def describe(self) -> dict[str, Any]:
        """Return how it is, for metrics and `status`."""
        return self._gtm.describe()

    async def start(self) -> None:
        """Begin to serve: requests are declined with NO_LEADER until its epoch is folded.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        self._server = await self._links.listen(self._address, "gtm", self._address, self._gtm.callbacks)
        self._gtm.start(self._links, self._realms, self._address)

    async def drain(self) -> None:
        """Take no new transactions; return when those in progress are decided."""
        await self._gtm.drain()

    async def close(self) -> None:
        """Stop listening, dialling and following, and release the log."""
        if self._server is not None:
            await self._server.close()
        await self._gtm.close()
        await self._gtl.close()
