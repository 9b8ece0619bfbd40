"""A DBTM machine without a shell: logs are lists, the database is in memory, and time stands until it is moved.

Nothing happens by itself: appends land, logs are folded and looks into the database are answered when a test says so;
`settle` lets all of it happen until nothing moves.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from dbtm.effects import Effect, Event, ReadStore, StoreFailed, StoreRead
from dbtm.machine import DbtmMachine
from grit.core.catalog import Bound, Check, CollectionDef, FieldKind, FieldType, RealmDef, Shape
from grit.core.fold import DbtlFold
from grit.core.ids import Collection, Csn, Epoch, Key, LeaderId, LinkId, Lsn, Millis, Offset, Realm, TxnId, make_txn_id
from grit.core.keys import encode_key
from grit.core.limits import Limits
from grit.core.messages import (
    CommitAsked,
    Decided,
    Decision,
    Declined,
    GtmHello,
    Message,
    OutcomeAnswered,
    ReadAnswered,
    ReadAsked,
    StatusAsked,
    Vote,
    VoteAsked,
    Votes,
)
from grit.core.outcome import Outcome
from grit.core.parts import Act, Expect, Part, Read, Write, encode_changes, encode_part
from grit.core.predicate import And, Compare, IsNull, Or, encode_expr
from grit.core.queries import Cursor, GetRows, Query, RowWrite
from grit.core.records import (
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entry,
    Genesis,
    GtmEpoch,
    PartEntry,
    encode_log_record,
)
from grit.core.steps import (
    DBTL,
    GTL,
    Append,
    AppendRefused,
    AppendUnknown,
    CatchUp,
    LinkClosed,
    LogBegan,
    LogCaughtUp,
    LogFolded,
    Received,
    Send,
    Tick,
)
from grit.core.values import Row, decode_record, encode_record
from grit.store.memory import MemoryStore
from tests.sim.beginning import newest_checkpoint

START = Millis(1_000_000_000)
SHOP = Realm("shop")
ITEM, SHELF, PERSON, KNOWS = Collection("item"), Collection("shelf"), Collection("person"), Collection("knows")
HOME, GTM = LinkId(1), LinkId(100)

M = TypeVar("M")


def _kind(kind: FieldKind, *, nullable: bool = True) -> FieldType:
    return FieldType(kind, nullable=nullable)


CATALOGUE = RealmDef(
    SHOP,
    "memory",
    "",
    {
        ITEM: CollectionDef(
            ITEM,
            Shape.TABLE,
            ("id",),
            {
                "id": _kind(FieldKind.INT, nullable=False),
                **{name: _kind(FieldKind.INT) for name in ("n", "a", "b", "low", "high", "shelf", "left", "right")},
                "sku": _kind(FieldKind.STRING),
            },
            bounds={"n": Bound(0, 100)},
            unique=(("sku",), ("left", "right")),
            references={"shelf": SHELF},
            checks=(
                Check(
                    "low <= 10 or high >= 10",
                    encode_expr(Or((Compare("low", "<=", 10), Compare("high", ">=", 10)))),
                    ("low", "high"),
                ),
            ),
        ),
        SHELF: CollectionDef(SHELF, Shape.TABLE, ("id",), {"id": _kind(FieldKind.INT, nullable=False)}),
        PERSON: CollectionDef(PERSON, Shape.NODE, ("id",), {"id": _kind(FieldKind.INT, nullable=False)}),
        KNOWS: CollectionDef(
            KNOWS,
            Shape.RELATIONSHIP,
            ("start", "end"),
            {"start": _kind(FieldKind.INT, nullable=False), "end": _kind(FieldKind.INT, nullable=False)},
            start=PERSON,
            end=PERSON,
        ),
    },
)


def txn(number: int, *, began: int = START) -> TxnId:
    """Return the id of a transaction."""
    return make_txn_id(Millis(began), number)


def key(*components: Any) -> Key:
    """Return a key."""
    return encode_key(components)


def put(number: int, collection: Collection = ITEM, **fields: Any) -> Write:
    """Write a whole record, whatever was there."""
    row = encode_record({"id": number, **fields})
    return Write(collection, key(number), Expect.ANYTHING, Act.REPLACE, row)


def insert(number: int, collection: Collection = ITEM, **fields: Any) -> Write:
    """Write a whole record that must be absent."""
    row = encode_record({"id": number, **fields})
    return Write(collection, key(number), Expect.ABSENT, Act.REPLACE, row)


def patch(number: int, collection: Collection = ITEM, **fields: Any) -> Write:
    """Change fields of a record."""
    return Write(collection, key(number), Expect.PRESENT, Act.CHANGE, encode_changes(fields))


def add(number: int, delta: int, field: str = "n") -> Write:
    """Increment a field of an item."""
    return Write(ITEM, key(number), Expect.PRESENT, Act.CHANGE, b"", ((field, delta),))


def delete(number: int, collection: Collection = ITEM) -> Write:
    """Delete a record."""
    return Write(collection, key(number), Expect.PRESENT, Act.DELETE)


def part(*writes: Write, reads: Sequence[Read] = (), position: int = 0) -> Part:
    """Return a part."""
    return Part(Lsn(position), tuple(reads), writes)


def both(**values: int) -> bytes:
    """Return the predicate "every field equals its value"."""
    return encode_expr(And(tuple(Compare(field, "=", value) for field, value in sorted(values.items()))))


def is_null(field: str) -> bytes:
    """Return the predicate "the field is null"."""
    return encode_expr(IsNull(field))


class Rig:
    """Drives one machine; `has_elector`: it is one of several replicas, and somebody outside says who tries first.

    Attributes:
        logs: The durable records. Others' may be appended at any time.
        appends: What the machine asked to append and what has neither landed nor failed.
        looks: Looks into the database that are under way.
        sent: Every message so far, with its link.
        effects: Every effect so far.
        began: Where each log was begun, if `begins`: at the newest checkpoint that the machine allows.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        logs: dict[str, list[Any]] | None = None,
        store: MemoryStore | None = None,
        name: str = "d1",
        realm: RealmDef = CATALOGUE,
        is_alone: bool = True,
        has_elector: bool = False,
        begins: bool = False,
    ) -> None:
        self.name = name
        self.machine = DbtmMachine(
            realm,
            leader_id=LeaderId(name),
            address=f"addr-{name}",
            fresh_log_id=f"log-{name}",
            limits=limits,
            is_alone=is_alone and not has_elector,
            has_elector=has_elector,
        )
        self.store = store or MemoryStore(realm)
        self.logs: dict[str, list[Any]] = logs or {DBTL: [], GTL: [Genesis("the-gtl", Realm(""), 1)]}
        self.now = START
        self.appends: list[Append] = []
        self.looks: list[ReadStore] = []
        self.effects: list[Effect] = []
        self.sent: list[tuple[LinkId, Message]] = []
        self.gtm_epoch = Epoch(0)
        self.gtm_link = GTM
        self._caught: list[CatchUp] = []
        self._begins = begins
        self.began: dict[str, Offset] = {}
        self._folded = {DBTL: 0, GTL: 0}
        self._ids = 0
        self._player = DbtlFold("dbtl.shop", SHOP)
        self._played: list[tuple[Lsn, Entry]] = []

    # --- events ---------------------------------------------------------------------------------------

    def step(self, event: Event) -> list[Effect]:
        """Take one event; keep what it asks for."""
        effects = self.machine.step(self.now, event)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Append):
                self.appends.append(effect)
            elif isinstance(effect, CatchUp):
                self._caught.append(effect)
            elif isinstance(effect, ReadStore):
                self.looks.append(effect)
            elif isinstance(effect, Send):
                self.sent.append((effect.link, effect.message))
        return effects

    def pass_time(self, ms: int) -> None:
        """Move the clock, then tick."""
        self.now = Millis(self.now + ms)
        self.step(Tick())

    def receive(self, message: Message, link: LinkId = HOME) -> None:
        """A message comes over a link."""
        self.step(Received(link, message))

    def settle(self) -> None:
        """Let everything that is under way happen, until nothing moves."""
        for _ in range(200):
            if not self.is_moving():
                return
            self.land()
            self.fold(DBTL)
            self.fold(GTL)
            self.answer()
            self.catch_up()
        raise AssertionError("it never comes to rest")

    def is_moving(self) -> bool:
        """Tell whether anything is under way."""
        return bool(self.appends or self.looks or self._caught) or any(
            self._folded[log] < len(self.logs[log]) for log in (DBTL, GTL)
        )

    def land(self, count: int | None = None) -> None:
        """Put what waits to be appended into the logs, unfolded."""
        for append in self.appends[:count]:
            self.logs[append.log].append(append.record)
        del self.appends[:count]

    def fold(self, log: str, upto: int | None = None) -> None:
        """Report what a log holds."""
        if self._begins and log not in self.began:
            return
        start = self._folded[log]
        records = self.logs[log][start:upto]
        self._folded[log] = start + len(records)
        if records:
            self.step(LogFolded(log, tuple((Offset(start + i), record) for i, record in enumerate(records))))

    def catch_up(self) -> None:
        """Finish the reads to the end that were asked for; the logs are folded to their ends first."""
        caught, self._caught = self._caught, []
        for effect in caught:
            self._begin_log(effect)
            self.fold(effect.log)
            self.step(LogCaughtUp(effect.log))

    def _begin_log(self, effect: CatchUp) -> None:
        """Begin a log, when it is first asked for, at the newest checkpoint that the machine allows."""
        if not self._begins or effect.log in self.began:
            return
        payloads = [encode_log_record(record) for record in self.logs[effect.log]]
        at, state = newest_checkpoint(effect.log, payloads, effect.begin_max) or (Offset(0), b"")
        self.began[effect.log], self._folded[effect.log] = at, at
        if state:
            self.step(LogBegan(effect.log, state))

    def answer(self) -> None:
        """Answer the looks into the database."""
        looks, self.looks = self.looks, []
        for look in looks:
            self.step(StoreRead(look.id, self.store.read_now(look.queries)))

    def fail_looks(self) -> None:
        """Let the looks into the database fail."""
        looks, self.looks = self.looks, []
        for look in looks:
            self.step(StoreFailed(look.id, "no route to it"))

    def lose(self, *, landed: bool) -> None:
        """Let the one append that waits end as unknown; whether it landed shows when the log is folded."""
        (append,) = self.appends
        if landed:
            self.land()
        self.appends.clear()
        self.step(AppendUnknown(append.log, append.token))

    def refuse_append(self) -> None:
        """Let all that waits to be appended fail for certain."""
        appends, self.appends = self.appends, []
        for append in appends:
            self.step(AppendRefused(append.log, append.token, "disk full"))

    # --- the database ---------------------------------------------------------------------------------

    def play(self, upto: int | None = None) -> None:
        """Apply the log to the database, up to an Lsn."""
        while self._player.offset < len(self.logs[DBTL]):
            record: DbtlRecord = self.logs[DBTL][self._player.offset]
            self._played.extend(self._player.apply(self._player.offset, record).entries)
        at = self.store.cursor_now()
        done = Lsn(0) if at is None else at.lsn
        new = [(lsn, entry) for lsn, entry in self._played if lsn > done and (upto is None or lsn <= upto)]
        if not new:
            return
        writes = [
            RowWrite(image.collection, image.key, None if image.after is None else decode_record(image.after))
            for _, entry in new
            for image in entry.images
        ]
        cursor = Cursor(self._player.log_id, self._player.offset, self._player.epoch, new[-1][0])
        assert self.store.apply_now(at, writes, cursor)

    # --- a home ---------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Take the realm over."""
        self.step(Tick())
        self.settle()
        assert self.machine.phase == "serving", self.machine.phase

    def stand_by(self, name: str = "d2") -> "Rig":
        """Return a standby on the same logs and the same database, which has opened them."""
        standby = Rig(logs=self.logs, store=self.store, name=name, is_alone=False)
        standby.step(Tick())
        standby.settle()
        assert standby.machine.phase == "following", standby.machine.phase
        return standby

    def step_to_claim(self) -> None:
        """Open both logs and the database, and no more."""
        self.step(Tick())
        self.answer()
        self.catch_up()  # the DBTL, and then
        self.catch_up()  # the GTL

    def until_phase(self, phase: str) -> None:
        """Go on with the take-over until the machine is in a phase; what it asked for on the way in is under way."""
        self.step_to_claim()
        for _ in range(20):
            if self.machine.phase == phase and (phase != "claiming" or self.is_claiming()):
                return
            if self.machine.phase == "fencing":
                self.land()
                self.fold(GTL)
            else:
                self.land()
                self.fold(DBTL)
        raise AssertionError(f"{self.machine.phase}, never {phase}")

    def is_claiming(self) -> bool:
        """Tell whether the claim of an epoch is under way."""
        return any(isinstance(append.record, DbtmEpoch) for append in self.appends)

    def describe(self) -> dict[str, Any]:
        """Return how the machine is."""
        return self.machine.describe()

    def commit(self, number: int, *writes: Write, reads: Sequence[Read] = (), position: int = 0) -> int:
        """Ask for the commit of a local transaction; return the number of the request."""
        self._ids += 1
        encoded = encode_part(part(*writes, reads=reads, position=position))
        self.receive(CommitAsked(self._ids, txn(number), encoded))
        return self._ids

    def admit(self, number: int, *writes: Write, reads: Sequence[Read] = (), position: int = 0) -> int:
        """Ask for a commit and answer the look that it takes: its record waits to be appended, or it was refused."""
        request = self.commit(number, *writes, reads=reads, position=position)
        self.answer()
        return request

    def committed(self, number: int, *writes: Write) -> Lsn:
        """Commit a local transaction."""
        self.commit(number, *writes)
        self.settle()
        outcome = self.outcome(number)
        assert outcome.state == "COMMITTED", outcome
        return outcome.lsn

    def status(self, number: int) -> int:
        """Ask what became of a transaction."""
        self._ids += 1
        self.receive(StatusAsked(self._ids, txn(number)))
        return self._ids

    def ask(self, *queries: Query, position: int = 0) -> int:
        """Ask for a read."""
        self._ids += 1
        self.receive(ReadAsked(self._ids, txn(999), Lsn(position), queries))
        return self._ids

    def get(self, number: int, *, position: int = 0) -> Row | None:
        """Read one item."""
        request = self.ask(GetRows(ITEM, (key(number),)), position=position)
        self.settle()
        (rows,) = self.read(request).rows
        return decode_record(rows[0][1]) if rows else None

    def answers(self, kind: type[M], link: LinkId | None = None) -> list[M]:
        """Return the messages of one kind that were sent."""
        return [m for to, m in self.sent if isinstance(m, kind) and (link is None or to == link)]

    def outcomes(self, number: int) -> list[Outcome]:
        """Return the outcomes that were answered for a transaction."""
        return [m.outcome for m in self.answers(OutcomeAnswered) if m.outcome.txid == txn(number)]

    def outcome(self, number: int) -> Outcome:
        """Return the one outcome that was answered for a transaction."""
        (outcome,) = self.outcomes(number)
        return outcome

    def read(self, request: int) -> ReadAnswered:
        """Return the answer to a read."""
        (answer,) = [m for m in self.answers(ReadAnswered) if m.id == request]
        return answer

    def declined(self, request: int) -> Declined:
        """Return the refusal of a request."""
        (answer,) = [m for m in self.answers(Declined) if m.id == request]
        return answer

    # --- a GTM ----------------------------------------------------------------------------------------

    def coordinate(self, epoch: int = 1) -> None:
        """A GTM leads from here on, and is greeted."""
        self.gtm_epoch = Epoch(epoch)
        self.gtm_link = LinkId(GTM + epoch)
        self.logs[GTL].append(GtmEpoch(self.gtm_epoch, LeaderId(f"g{epoch}"), "", self.now))
        self.receive(GtmHello(self.gtm_epoch), self.gtm_link)
        self.settle()

    def close(self, link: LinkId) -> None:
        """A link goes down."""
        self.step(LinkClosed(link))

    def vote(self, number: int, *parts: tuple[int, Part]) -> None:
        """Ask for the votes of a round."""
        ballots = tuple((txn(n), encode_part(p), "", "") for n, p in parts)
        self.receive(VoteAsked(self.gtm_epoch, number, ballots), self.gtm_link)

    def voted(self, number: int, *parts: tuple[int, Part]) -> Votes:
        """Ask for the votes of a round, and return them."""
        self.vote(number, *parts)
        self.settle()
        return self.votes(number)

    def votes(self, number: int) -> Votes:
        """Return the votes of a round."""
        return [m for m in self.answers(Votes) if m.round == number and m.gtm_epoch == self.gtm_epoch][-1]

    def vote_of(self, number: int, p: Part) -> Vote:
        """Return the vote on a part that is a round of its own; the round has the number of the transaction."""
        (vote,) = self.voted(number, (number, p)).votes
        return vote

    def decree(self, first: int, *entries: tuple[int, Part], prev: int = 0, dbtm_epoch: int | None = None) -> None:
        """The GTM appends these transactions to the GTL, from Csn `first` on."""
        out: list[CommitEntry] = []
        for at, (number, p) in enumerate(entries):
            epoch = self.machine.epoch if dbtm_epoch is None else dbtm_epoch
            before = prev if at == 0 else first + at - 1
            entry = PartEntry(SHOP, Epoch(epoch), self.gtm_epoch, Csn(before), encode_part(p))
            out.append(CommitEntry(txn(number), (entry,)))
        self.logs[GTL].append(Commits(self.gtm_epoch, Csn(first), self.now, tuple(out)))

    def push(
        self, *decisions: tuple[int, bool, int, int], through: int = 0, last: int = 0, link: LinkId | None = None
    ) -> None:
        """The GTM pushes outcomes: (transaction, committed, csn, prev_csn)."""
        made = tuple(Decision(txn(n), ok, Csn(csn), Csn(prev)) for n, ok, csn, prev in decisions)
        last = last or max((csn for _, _, csn, _ in decisions), default=0)
        offset = Offset(len(self.logs[GTL]))
        decided = Decided(self.gtm_epoch, made, Csn(through or last), offset, Csn(last), self.now)
        self.receive(decided, link or self.gtm_link)

    # --- logs -----------------------------------------------------------------------------------------

    def entries(self) -> list[tuple[Lsn, Entry]]:
        """Return what the fold of the DBTL holds."""
        fold = DbtlFold("dbtl.shop", SHOP)
        out: list[tuple[Lsn, Entry]] = []
        for offset, record in enumerate(self.logs[DBTL]):
            out.extend(fold.apply(Offset(offset), record).entries)
        return out

    def txids(self) -> list[TxnId]:
        """Return the transactions that the fold of the DBTL holds, in order."""
        return [entry.txid for _, entry in self.entries()]
