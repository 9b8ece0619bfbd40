"""Processes of the simulator: a machine each, and the shell that carries out its effects in the world."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from dbtm.effects import ReadStore, Restart, StoreFailed, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.catalog import RealmDef
from grit.core.ids import LeaderId, LinkId, Millis, Offset, Realm
from grit.core.limits import Limits
from grit.core.messages import Message, OutcomeAnswered
from grit.core.queries import StoreAnswer
from grit.core.records import decode_dbtl_record, decode_gtl_record, encode_log_record
from grit.core.steps import (
    DBTL,
    GTL,
    Append,
    AppendRefused,
    AppendUnknown,
    CatchUp,
    CloseLink,
    DrainAsked,
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
from log_players.cursor import (
    Applied,
    ApplyBatch,
    ApplyUnknown,
    CursorRead,
    PlayerMachine,
    ReadCursor,
    StartOver,
    StoreAway,
    Wait,
)
from tests.sim.beginning import newest_checkpoint
from tests.sim.chronicle import Said
from tests.sim.watch import DbtmWatch, GtmWatch
from tests.sim.world import START, World


class Node:
    """One process: links, logs that it follows, and whatever its machine asks for.

    `name` is unique per process *start*, so that what a dead process left on its way can be told apart. `rate` and `ahead_ms`:
    how its clock differs from the world's time. `fuse`: after so many effects it dies, in the middle of a step.
    """

    def __init__(self, world: World, name: str, logs: dict[str, str]) -> None:
        self.world = world
        self.name = name
        self.is_alive = True
        self.rate = 1.0
        self.ahead_ms = 0
        self.fuse: int | None = None
        self.is_stopping = False
        self.on_death: Callable[[], None] = lambda: None
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
            if not self.is_alive:
                return  # an effect before it brought an event, and that was the end
            self.world.cause = event
            if self.fuse is not None:
                self.fuse -= 1
                if self.fuse < 0:
                    self.world.note(self.name, "dies before", effect)
                    self.kill()
                    self.on_death()
                    return
            self.perform(effect)
        self.world.cause = None
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        """End, once, when told to stop and done."""
        if self.is_alive and self.is_stopping and self.is_drained:
            self.kill()
            self.on_death()

    @property
    def own_time(self) -> Millis:
        """What this process's clock says."""
        if self.rate == 1.0:
            return Millis(self.world.now + self.ahead_ms)
        return Millis(START + int((self.world.now - START) * self.rate) + self.ahead_ms)

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
            self.world.note(self.name, f"begins at the checkpoint of {effect.log}@{begin[0]}")
            self.post(LogBegan(effect.log, begin[1]))

    def pause(self) -> None:
        """Stop in the middle of things (SIGSTOP): what was handed to the logs may land now, or later."""
        self.world.note(self.name, "is paused")
        self._inbox = []
        self.world.hold(f"{self.name}.append")

    def resume(self) -> None:
        """Go on (SIGCONT), with no idea that time has passed: a zombie until it reads the log."""
        self.world.note(self.name, "goes on")
        inbox, self._inbox = self._inbox or [], None
        self.world.release(f"{self.name}.append")
        for event in inbox:
            self.post(event)

    @property
    def is_drained(self) -> bool:
        """Tell whether a process that was told to stop may end."""
        return True

    def terminate(self) -> None:
        """Be told to stop (SIGTERM): end when what is in progress is done."""
        self.world.note(self.name, "is told to stop")
        self.is_stopping = True
        self.post(DrainAsked())

    def cut(self, chance: random.Random, *, drains: bool = False) -> None:
        """Lose one link, in the middle of what travels over it.

        `drains`: what the other end has sent is lost, but what this end has sent still arrives, as late as it likes: this end
        has long made a new link by then.
        """
        if self._peers:
            link = chance.choice(sorted(self._peers))
            self.world.note(
                self.name, f"loses link {link} to {self._peers[link].name}{', which drains' if drains else ''}"
            )
            self.close(link, drains=drains)

    def deafen(self) -> None:
        """Cut this process off from its logs, while it still answers what it is asked."""
        self.world.note(self.name, "is cut off from its logs")
        for what in ("append", "tail"):
            self.world.hold(f"{self.name}.{what}")

    def hear(self) -> None:
        """End `deafen`."""
        self.world.note(self.name, "reaches its logs again")
        for what in ("append", "tail"):
            self.world.release(f"{self.name}.{what}")

    def kill(self) -> None:
        """Die: nothing that is on its way to or from this process happens, but what is durable stays."""
        self.is_alive = False
        self.world.note(self.name, "is killed")
        self.world.off_tick(self._tick)
        for log, watcher in self._watchers.items():
            self.world.off_append(self._logs[log], watcher)
        self.world.drop(f"{self.name}.")
        self.world.release(f"{self.name}.")
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

    def close(self, link: LinkId, *, drains: bool = False) -> None:
        """Close a link; both ends are told, and what is on its way is lost; `drains`: see `cut`."""
        peer = self._peers.pop(link, None)
        if peer is None:
            return
        peer._peers.pop(link, None)
        peer.world.drop(f"{peer.name}>{link};")
        self._hung_up(link)
        if drains:
            peer._dialled.pop(link, None)
            self.world.later(f"{self.name}>{link};", lambda: peer.post(LinkClosed(link)))
        else:
            self.world.drop(f"{self.name}>{link};")
            peer._hung_up(link)

    def _hung_up(self, link: LinkId) -> None:
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
            self.world.note(self.name, f"-> {peer.name}", message)
            if isinstance(message, OutcomeAnswered):
                self.world.chronicle.said.append(Said(self.world.moment(), self.name, message.outcome))
            self.world.later(f"{self.name}>{link};", lambda: peer.post(Received(link, message)))

    def _append(self, log: str, payload: bytes, effect: Append) -> None:
        luck = self.world.chance.random()
        if luck < self.world.unknown_share:
            self._append_unknown(log, payload, effect)
            return
        if luck < self.world.unknown_share + self.world.refused_share:
            self.world.note(self.name, f"is refused its append to {log}", effect.record)
            self.post(AppendRefused(effect.log, effect.token, "the log is full"))
            return
        offset = self.world.append(log, payload)
        self.world.note(self.name, f"appended {log}@{offset}", effect.record)

    def _append_unknown(self, log: str, payload: bytes, effect: Append) -> None:
        """The answer is lost: the record landed, or never will, or lands later, whatever becomes of this process."""
        fate = self.world.chance.choice(("landed", "lost", "late"))
        self.world.note(self.name, f"does not learn of its append to {log}, which is {fate}", effect.record)
        if fate == "landed":
            self.world.append(log, payload)
        elif fate == "late":
            self.world.later(f"late.{self.world.moment()}", lambda: self._land_late(log, payload))
        self.post(AppendUnknown(effect.log, effect.token))

    def _land_late(self, log: str, payload: bytes) -> None:
        offset = self.world.append(log, payload)
        self.world.note(self.name, f"appended {log}@{offset}, late")

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

    def __init__(
        self,
        world: World,
        name: str,
        *,
        is_alone: bool = True,
        has_elector: bool = False,
        config: GtmConfig | None = None,
    ) -> None:
        super().__init__(world, name, {GTL: "gtl"})
        me = (LeaderId(name), f"addr:{name}", f"log:{name}")
        config = replace(config or GtmConfig(), checkpoint_records=world.checkpoint_records)
        self.watch = GtmWatch(world, name, config)
        self.machine = GtmMachine(config, *me, is_alone=is_alone, has_elector=has_elector)

    def step(self, event: Any) -> list[Any]:
        self.watch.before(self.machine, event)
        effects = list(self.machine.step(self.own_time, event))
        self.watch.after(self.machine)
        return effects

    @property
    def is_drained(self) -> bool:
        return self.machine.is_drained


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
        effects = self.machine.step(self.own_time, event)
        self.watch.after(self.machine, effects)
        return effects

    @property
    def is_drained(self) -> bool:
        return self.machine.is_drained

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
            if self.world.is_store_away():
                self.post(StoreFailed(effect.id, "the database does not answer"))
                return
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
        return self.machine.step(self.own_time, event)

    def perform(self, effect: Any) -> None:
        channel = f"{self.name}.store"
        if isinstance(effect, ReadCursor):
            self.world.later(channel, self._read_cursor)
        elif isinstance(effect, ApplyBatch):
            self.world.later(channel, lambda: self._apply(effect))
        elif isinstance(effect, StartOver):
            raise AssertionError(effect.reason)
        elif not isinstance(effect, Wait):
            super().perform(effect)

    def stall(self) -> None:
        """Let its database take its time: the realm lags."""
        self.world.note(self.name, "waits for its database, which is slow")
        self.world.hold(f"{self.name}.store")

    def go_on(self) -> None:
        """End `stall`."""
        self.world.release(f"{self.name}.store")

    def _read_cursor(self) -> None:
        away = self.world.is_store_away()
        self.post(StoreAway("the database does not answer") if away else CursorRead(self._store.cursor_now()))

    def _apply(self, effect: ApplyBatch) -> None:
        """Apply; or the database is away, or nobody learns whether it applied."""
        trouble = self.world.chance.choice(("away", "unknown")) if self.world.is_store_away() else ""
        if trouble == "away" or (trouble and self.world.chance.random() < 0.5):
            self.post(StoreAway("the database does not answer") if trouble == "away" else ApplyUnknown())
            return
        before = self._store.cursor_now()
        done = self._store.apply_now(effect.expected, effect.writes, effect.reached)
        after = self._store.cursor_now()
        if before is not None and (after is None or after.offset < before.offset or after.epoch < before.epoch):
            self.world.chronicle.slip("I10", f"{self.name} moved the cursor from {before} to {after}")
        self.world.note(self.name, "applied" if done else "is told that another applied", effect.reached)
        self.post(ApplyUnknown() if trouble else Applied(done))
