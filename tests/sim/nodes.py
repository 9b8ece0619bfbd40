"""Processes of the simulator: a machine each, and the shell that carries out its effects in the world."""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from dbtm.effects import ReadStore, Restart, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.catalog import RealmDef
from grit.core.ids import LeaderId, LinkId, Offset, Realm
from grit.core.limits import Limits
from grit.core.messages import Message, OutcomeAnswered
from grit.core.queries import StoreAnswer
from grit.core.records import decode_dbtl_record, decode_gtl_record, encode_log_record
from grit.core.steps import (
    DBTL,
    GTL,
    Append,
    AppendUnknown,
    CatchUp,
    CloseLink,
    Halt,
    LinkClosed,
    LinkOpened,
    LogBegan,
    LogCaughtUp,
    LogFolded,
    Received,
    Send,
    StepBack,
    Tick,
    Trace,
)
from grit.store.memory import MemoryStore
from gtm.config import GtmConfig
from gtm.machine import GtmMachine
from log_players.cursor import Applied, ApplyBatch, CursorRead, PlayerMachine, ReadCursor, StartOver, Wait
from tests.sim.beginning import newest_checkpoint
from tests.sim.chronicle import Said
from tests.sim.watch import DbtmWatch
from tests.sim.world import World


class Node:
    """One process: links, logs that it follows, and whatever its machine asks for.

    `name` is unique per process *start*, so that what a dead process left on its way can be told apart.
    """

    def __init__(self, world: World, name: str, logs: dict[str, str]) -> None:
        self.world = world
        self.name = name
        self.is_alive = True
        self._inbox: list[Any] | None = None
        self._logs = logs
        self._offsets = dict.fromkeys(logs, Offset(0))
        self._reading: set[str] = set()
        self._watchers: dict[str, Callable[[], None]] = {}
        self._peers: dict[LinkId, Node] = {}
        self._dialled: dict[LinkId, str] = {}
        world.on_tick(self._tick)

    def post(self, event: Any) -> None:
        """Let the machine take an event, and carry out the effects."""
        if not self.is_alive:
            return
        if self._inbox is not None:
            self._inbox.append(event)
            return
        for effect in self.step(event):
            self.perform(effect)

    def step(self, event: Any) -> list[Any]:
        """Step the machine."""
        raise NotImplementedError

    def follow(self, log: str) -> None:
        """Report what `log` holds, and what comes."""

        def grown() -> None:
            if log not in self._reading:
                self._reading.add(log)
                self.world.later(f"{self.name}.tail.{log}", lambda: self._read(log, caught_up=False))

        self._watchers[log] = grown
        self.world.on_append(self._logs[log], grown)
        grown()

    def _begin_log(self, effect: CatchUp) -> None:
        """Begin to read at a checkpoint, where there is one."""
        begin = newest_checkpoint(effect.log, self.world.logs.get(self._logs[effect.log], ()), effect.begin_max)
        if begin is not None:
            self._offsets[effect.log] = begin[0]
            self.world.note(f"{self.name} begins at the checkpoint of {effect.log}@{begin[0]}")
            self.post(LogBegan(effect.log, begin[1]))

    def pause(self) -> None:
        """Stop in the middle of things (SIGSTOP): what was handed to the logs may land now, or later."""
        self.world.note(f"{self.name} paused")
        self._inbox = []
        self.world.hold(f"{self.name}.append")

    def resume(self) -> None:
        """Go on (SIGCONT), with no idea that time has passed: a zombie until it reads the log."""
        self.world.note(f"{self.name} resumed")
        inbox, self._inbox = self._inbox or [], None
        self.world.release(f"{self.name}.append")
        for event in inbox:
            self.post(event)

    def cut(self, chance: random.Random) -> None:
        """Lose one link, in the middle of what travels over it."""
        if self._peers:
            link = chance.choice(sorted(self._peers))
            self.world.note(f"{self.name} lost link {link} to {self._peers[link].name}")
            self.close(link)

    def kill(self) -> None:
        """Die: nothing that is on its way to or from this process happens, but what is durable stays."""
        self.is_alive = False
        self.world.note(f"{self.name} killed")
        self.world.off_tick(self._tick)
        for log, watcher in self._watchers.items():
            self.world.off_append(self._logs[log], watcher)
        self.world.drop(f"{self.name}.")
        for link in list(self._peers):
            self.close(link)

    def perform(self, effect: Any) -> None:
        """Carry out one effect."""
        if isinstance(effect, Send):
            self._send(effect.link, effect.message)
        elif isinstance(effect, Append):
            payload = encode_log_record(effect.record)
            log = self._logs[effect.log]
            self.world.later(f"{self.name}.append.{log}", lambda: self._append(log, payload, effect))
        elif isinstance(effect, CatchUp):
            log = effect.log
            if log not in self._watchers:
                self._begin_log(effect)
                self.follow(log)
            self.world.later(f"{self.name}.tail.{log}", lambda: self._read(log, caught_up=True))
        elif isinstance(effect, CloseLink):
            self.close(effect.link)
        elif isinstance(effect, Halt):
            raise effect.error
        else:
            assert isinstance(effect, StepBack | Trace), effect

    def connect(self, peer: "Node", as_peer: tuple[str, str], to_peer: tuple[str, str]) -> LinkId:
        """Open a link to another process: it sees `as_peer`, this one sees `to_peer`; return its id.

        A dialer learns of the end of one link before it dials the next to the same peer.
        """
        link = self.world.new_link()
        self._peers[link] = peer
        peer._peers[link] = self
        self._dialled[link] = f"{self.name}.dial.{to_peer}"
        self.world.later(self._dialled[link], lambda: self.post(LinkOpened(link, to_peer)))
        self.world.later(f"{self.name}>{link};", lambda: peer.post(LinkOpened(link, as_peer)))
        return link

    def close(self, link: LinkId) -> None:
        """Close a link; both ends are told, and what is on its way is lost."""
        peer = self._peers.pop(link, None)
        if peer is None:
            return
        peer._peers.pop(link, None)
        self._hang_up(link)
        peer._hang_up(link)

    def _hang_up(self, link: LinkId) -> None:
        self.world.drop(f"{self.name}>{link};")
        channel = self._dialled.pop(link, f"{self.name}.down.{link}")
        self.world.later(channel, lambda: self.post(LinkClosed(link)))

    def link_to(self, peer: "Node") -> LinkId | None:
        """Return the link to a process; None: there is none."""
        return next((link for link, one in self._peers.items() if one is peer), None)

    def is_linked(self, link: LinkId) -> bool:
        """Tell whether a link is up."""
        return link in self._peers

    def _send(self, link: LinkId, message: Message) -> None:
        peer = self._peers.get(link)
        if peer is not None:
            self.world.note(f"{self.name} -> {peer.name}: {message}")
            if isinstance(message, OutcomeAnswered):
                self.world.chronicle.said.append(Said(self.world.moment(), self.name, message.outcome))
            self.world.later(f"{self.name}>{link};", lambda: peer.post(Received(link, message)))

    def _append(self, log: str, payload: bytes, effect: Append) -> None:
        if self.world.chance.random() < self.world.unknown_share:
            self._append_unknown(log, payload, effect)
            return
        offset = self.world.append(log, payload)
        self.world.note(f"{self.name} appended {log}@{offset}")

    def _append_unknown(self, log: str, payload: bytes, effect: Append) -> None:
        """The answer is lost: the record landed, or never will, or lands later, whatever becomes of this process."""
        fate = self.world.chance.choice(("landed", "lost", "late"))
        self.world.note(f"{self.name} append to {log} unknown: {fate}")
        if fate == "landed":
            self.world.append(log, payload)
        elif fate == "late":
            self.world.later(f"late.{self.world.moment()}", lambda: self._land_late(log, payload))
        self.post(AppendUnknown(effect.log, effect.token))

    def _land_late(self, log: str, payload: bytes) -> None:
        offset = self.world.append(log, payload)
        self.world.note(f"{self.name} appended {log}@{offset}, late")

    def _read(self, log: str, *, caught_up: bool) -> None:
        self._reading.discard(log)
        name = self._logs[log]
        start = self._offsets[log]
        payloads = self.world.logs.setdefault(name, [])[start:]
        self._offsets[log] = Offset(start + len(payloads))
        decode = decode_gtl_record if log == GTL else decode_dbtl_record
        records = tuple(
            (Offset(start + i), decode(payload, log=name, offset=Offset(start + i)))
            for i, payload in enumerate(payloads)
        )
        if records:
            self.post(LogFolded(log, records))
        if caught_up:
            self.post(LogCaughtUp(log))

    def _tick(self) -> None:
        if self._inbox is None:
            self.post(Tick())


class GtmNode(Node):
    """A GTM."""

    def __init__(self, world: World, name: str, *, is_alone: bool = True, has_elector: bool = False) -> None:
        super().__init__(world, name, {GTL: "gtl"})
        config = GtmConfig(checkpoint_records=world.checkpoint_records)
        me = (LeaderId(name), f"addr:{name}", f"log:{name}")
        self.machine = GtmMachine(config, *me, is_alone=is_alone, has_elector=has_elector)

    def step(self, event: Any) -> list[Any]:
        epoch = self.machine.fold.epoch
        effects = list(self.machine.step(self.world.now, event))
        if self.machine.fold.epoch < epoch:
            self.world.chronicle.slip("I10", f"{self.name}: its epoch went back from {epoch}")
        return effects


class DbtmNode(Node):
    """A DBTM; its looks into the database are torn apart: the player may apply between position, rows, position."""

    def __init__(
        self,
        world: World,
        name: str,
        realm: RealmDef,
        store: MemoryStore,
        *,
        is_alone: bool = True,
        has_elector: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(world, name, {DBTL: f"dbtl.{realm.name}", GTL: "gtl"})
        self._store = store
        self._limits = msgspec.structs.replace(limits or Limits(), checkpoint_records=world.checkpoint_records)
        self.watch = DbtmWatch(world, name, realm.name, self._limits)
        self.machine = DbtmMachine(
            realm,
            leader_id=LeaderId(name),
            address=f"addr:{name}",
            fresh_log_id=f"log:{name}",
            is_alone=is_alone,
            has_elector=has_elector,
            limits=self._limits,
        )

    def step(self, event: Any) -> list[Any]:
        self.watch.before(self.machine, event)
        effects = self.machine.step(self.world.now, event)
        self.watch.after(self.machine, effects)
        return effects

    def perform(self, effect: Any) -> None:
        if isinstance(effect, ReadStore):
            self._look(effect)
        else:
            assert not isinstance(effect, Restart), effect
            super().perform(effect)

    def _look(self, effect: ReadStore) -> None:
        channel = f"{self.name}.store.{effect.id}"
        before = self._store.cursor_now

        def first() -> None:
            position = before()
            self.world.later(channel, lambda: second(position))

        def second(position: Any) -> None:
            rows = self._store.read_now(effect.queries).rows
            self.world.later(channel, lambda: third(position, rows))

        def third(position: Any, rows: Any) -> None:
            self.post(StoreRead(effect.id, StoreAnswer(position, rows, before())))

        self.world.later(channel, first)


class PlayerNode(Node):
    """A log player."""

    def __init__(self, world: World, name: str, realm: RealmDef, store: MemoryStore) -> None:
        super().__init__(world, name, {DBTL: f"dbtl.{realm.name}"})
        self._realm = realm
        self._store = store
        self.machine = PlayerMachine(Realm(realm.name), realm.collections)
        self.follow(DBTL)

    def step(self, event: Any) -> list[Any]:
        return self.machine.step(self.world.now, event)

    def perform(self, effect: Any) -> None:
        channel = f"{self.name}.store"
        if isinstance(effect, ReadCursor):
            self.world.later(channel, lambda: self.post(CursorRead(self._store.cursor_now())))
        elif isinstance(effect, ApplyBatch):
            self.world.later(channel, lambda: self._apply(effect))
        elif isinstance(effect, StartOver):
            raise AssertionError(effect.reason)
        elif not isinstance(effect, Wait):
            super().perform(effect)

    def _apply(self, effect: ApplyBatch) -> None:
        before = self._store.cursor_now()
        done = self._store.apply_now(effect.expected, effect.writes, effect.reached)
        after = self._store.cursor_now()
        if before is not None and (after is None or after.offset < before.offset or after.epoch < before.epoch):
            self.world.chronicle.slip("I10", f"{self.name} moved the cursor from {before} to {after}")
        self.world.note(f"{self.name} applied {effect.lsns}: {done}")
        self.post(Applied(done))
