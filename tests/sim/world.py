"""The world of the simulator: one seed decides the order of everything that happens.

Whatever can be late is a thunk in a *channel*; a channel keeps its order, and which channel goes next is drawn.
So messages of one link stay in order, as do the appends of one process to one log, and nothing else does.
Time is virtual; it moves when nothing else can happen, and now and then besides.
"""

import random
from collections import deque
from collections.abc import Callable

from grit.core.ids import LinkId, Millis, Offset
from tests.sim.chronicle import Chronicle
from tests.sim.journal import Journal

Thunk = Callable[[], None]
START = Millis(1_700_000_000_000)
IDLE_MAX = 200
"""After so many draws that moved nothing, time moves."""
SPEEDS = (1.0, 1.0, 0.3, 0.05)
"""How readily a channel moves when it is drawn; each channel of a run is fast or slow for good."""


class World:
    """Channels, time, and the durable content of logs.

    `unknown_share`, `refused_share`: of appends, how many come to an end that nobody learns, and how many do not happen.
    `store_trouble`: of the calls of databases, how many fail or end unknown.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.now = START
        self.logs: dict[str, list[bytes]] = {}
        self.journal = Journal()
        self.cause: object = None
        self.chronicle = Chronicle()
        self._channels: dict[str, deque[Thunk]] = {}
        self._speeds: dict[str, float] = {}
        self._ready: list[str] = []
        self._tickers: list[Thunk] = []
        self._watchers: dict[str, list[Thunk]] = {}
        self._links = 0
        self._moments = 0
        self._held: set[str] = set()
        self._idle = 0
        self.unknown_share = 0.0
        self.refused_share = 0.0
        self.store_trouble = 0.0
        # In every other run processes that start again begin at checkpoints.
        self.checkpoint_records = 3 if seed % 2 else 10_000

    def later(self, channel: str, thunk: Thunk) -> None:
        """Do `thunk` some time after everything that is in `channel` already."""
        queue = self._channels.get(channel)
        if queue is None:
            queue = self._channels[channel] = deque()
            self._speeds[channel] = self.chance.choice(SPEEDS)
        if not queue:
            self._ready.append(channel)
        queue.append(thunk)

    def drop(self, prefix: str) -> None:
        """Forget everything that is on its way in channels whose name begins with `prefix`; end it with what ends a name."""
        for name in [name for name in self._ready if name.startswith(prefix)]:
            self._channels[name].clear()
            self._ready.remove(name)

    def hold(self, prefix: str) -> None:
        """Let nothing move in channels whose name begins with `prefix`, until `release`."""
        self._held.add(prefix)

    def release(self, prefix: str) -> None:
        """End every `hold` of channels whose name begins with `prefix`."""
        self._held = {held for held in self._held if not held.startswith(prefix)}

    def on_tick(self, thunk: Thunk) -> None:
        """Do `thunk` whenever time moves."""
        self._tickers.append(thunk)

    def off_tick(self, thunk: Thunk) -> None:
        """End `on_tick`."""
        self._tickers.remove(thunk)

    def on_append(self, log: str, thunk: Thunk) -> None:
        """Do `thunk` whenever `log` has grown."""
        self._watchers.setdefault(log, []).append(thunk)

    def off_append(self, log: str, thunk: Thunk) -> None:
        """End `on_append`."""
        self._watchers[log].remove(thunk)

    def append(self, log: str, payload: bytes) -> Offset:
        """Append at once, durably."""
        records = self.logs.setdefault(log, [])
        offset = Offset(len(records))
        records.append(payload)
        self.chronicle.landed.setdefault(log, {})[offset] = self.moment()
        for watcher in list(self._watchers.get(log, [])):
            watcher()
        return offset

    def is_store_away(self) -> bool:
        """Tell whether this call of a database fails."""
        return self.store_trouble > 0 and self.chance.random() < self.store_trouble

    def new_link(self) -> LinkId:
        """Return the id of a new link."""
        self._links += 1
        return LinkId(self._links)

    def moment(self) -> int:
        """Return the number of things that have happened: what ended at a lower one came before in real time."""
        self._moments += 1
        return self._moments

    def note(self, who: str, what: str, detail: object = "") -> None:
        """Keep a line of the journal, which a failing test shows."""
        self.journal.note(Millis(self.now - START), who, what, detail, self.cause)

    def step(self) -> None:
        """Let one thing happen."""
        if not self._ready or self.chance.random() < 0.02:
            self._pass_time()
            return
        at = self.chance.randrange(len(self._ready))
        name = self._ready[at]
        if self.chance.random() > self._speeds[name] or self._is_held(name):
            self._idle += 1
            if self._idle > IDLE_MAX:
                self._pass_time()
            return
        self._idle = 0
        queue = self._channels[name]
        thunk = queue.popleft()
        if not queue:
            self._ready[at] = self._ready[-1]
            self._ready.pop()
        thunk()

    def run_until(self, is_done: Callable[[], bool], *, steps_max: int = 200_000) -> None:
        """Let things happen until the condition holds.

        Raises:
            AssertionError: It did not come to hold: something is stuck; shows the seed and the end of the journal.
        """
        for _ in range(steps_max):
            if is_done():
                return
            self.step()
        tail = "\n".join(self.journal.read(last=60))
        raise AssertionError(f"stuck: repeat with `make sim SEED={self.seed}`\n{tail}")

    def advance(self, millis: int) -> None:
        """Let so much time pass at once."""
        self.now = Millis(self.now + millis)
        for ticker in list(self._tickers):
            ticker()

    def _is_held(self, name: str) -> bool:
        return any(name.startswith(prefix) for prefix in self._held)

    def _pass_time(self) -> None:
        self._idle = 0
        self.advance(self.chance.choice((1, 1, 2, 5, 20)))
