"""The GTM's shell: the common one on the GTL, which listens for sidecars and dials every replica of every DBTM, for ever."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grit.core.ids import Realm
from grit.core.messages import Message
from grit.core.records import decode_gtl_record
from grit.core.steps import GTL, Trace
from grit.log.port import Log
from grit.runtime.links.port import Dialer, Link, LinkCallbacks, Links
from grit.runtime.shell import FollowedLog, Shell, Stand
from gtm.machine import GtmMachine


class Gtm:
    """One GTM.

    Args:
        gtl: The global log; not closed here.
        machine: A new machine, which folds the log from its start.
        trace: Takes finished spans.
        stand: See `Shell`.
    """

    def __init__(
        self, gtl: Log, machine: GtmMachine, *, trace: Callable[[Trace], None], stand: Stand | None = None
    ) -> None:
        logs = {GTL: FollowedLog(gtl, decode_gtl_record)}
        self._shell = Shell("gtm", logs, lambda: machine, trace=trace, stand=stand)
        self._dialers: list[Dialer[Message]] = []

    @property
    def callbacks(self) -> LinkCallbacks[Message]:
        """What the links that are accepted call: those of sidecars and of people's tools."""
        return LinkCallbacks(self._accepted, self._shell.received, self._shell.closed)

    def start(self, links: Links[Message], realms: Mapping[Realm, Sequence[str]], name: str) -> None:
        """Begin: from here on the machine works towards leading.

        Args:
            links: The kind of connection that is dialled.
            realms: Realm -> the addresses of its DBTM's replicas.
            name: What the DBTMs see of this process.
        """
        self._shell.start()
        for realm in sorted(realms):
            callbacks = LinkCallbacks(self._make_opened(realm), self._shell.received, self._shell.closed)
            self._dialers += [links.dial(address, "gtm", name, callbacks) for address in realms[realm]]

    async def drain(self) -> None:
        """Take no new transactions; return when those in progress are decided and the epoch is given back."""
        await self._shell.drain()

    async def close(self) -> None:
        """Stop; what was handed to the log stands."""
        for dialer in self._dialers:
            await dialer.close()
        await self._shell.close()

    def describe(self) -> dict[str, Any]:
        """Return how this GTM is."""
        return self._shell.describe()

    def _accepted(self, link: Link[Message]) -> None:
        if link.peer.role == "dbtm":
            link.close("the GTM dials the DBTMs, not the other way round: check the addresses")
            return
        self._shell.opened(link, link.peer.role, link.peer.name)

    def _make_opened(self, realm: Realm) -> Callable[[Link[Message]], None]:
        # The realm is the one that the configuration has at this address; its hello says whether that is true.
        return lambda link: self._shell.opened(link, "dbtm", realm)
