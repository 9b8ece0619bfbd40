"""Ledger: the order of a realm, from the Lsn that was just given to what the database is known to hold.

    given an Lsn (in flight) --> handed to the log --> durable: folded --> applied by the player
    history, images               outbox             overlay            (left the overlay)

Everything that a DBTM knows of committed writes, kept in step. What is in flight enters history and images at
once and is forgotten as a whole when an append turns out void.
"""

from collections import deque
from collections.abc import Mapping

from dbtm.certify import Examined, changes_of
from dbtm.constraints import Planned
from dbtm.cuts import Cuts
from dbtm.history import Change, History
from dbtm.images import Images
from dbtm.overlay import Overlay
from dbtm.pending import Pending
from grit.core.fold import DbtlFold, DbtlFolded
from grit.core.ids import Csn, Epoch, Lsn, Millis, Offset, Realm, TxnId
from grit.core.limits import Limits
from grit.core.parts import decode_changes, encode_changes
from grit.core.records import DbtlRecord, Entries, Entry, Image, Through
from grit.core.values import decode_record, encode_record


class Ledger:
    """The committed transactions of a realm, in Lsn order.

    `refusing`: whose refusal was handed to the log; from then on nobody admits them or votes for them.
    `undurable`: globals that have an Lsn and are not durable; nobody refuses them.
    `outbox_bytes`: about how much waits to be handed to the log.
    """

    def __init__(self, realm: Realm, limits: Limits) -> None:
        self.fold = DbtlFold(f"dbtl.{realm}", realm)
        self.history = History(limits.history_keys)
        self.images = Images(self.history, limits.images_records)
        self.overlay = Overlay()
        self._cuts: Cuts | None = None
        self.pending = Pending()
        self.refusing: set[TxnId] = set()
        self.undurable: set[TxnId] = set()
        self.outbox_bytes = 0
        self._limits = limits
        self._outbox: deque[tuple[Entry, int]] = deque()
        self._assigned_at: dict[Lsn, Millis] = {}

    @property
    def tail(self) -> Lsn:
        """The newest durable Lsn."""
        return self.fold.tail

    @property
    def cuts(self) -> Cuts:
        """Which Csns positions stand for, from where this replica began to fold."""
        if self._cuts is None:
            self._cuts = Cuts(self.tail, self.fold.through.csn, self._limits.history_keys)
        return self._cuts

    @property
    def newest(self) -> Lsn:
        """The newest Lsn that was given, in flight included."""
        return self.history.newest

    def assign(
        self, examined: Examined, now: Millis, *, txid: TxnId, csn: Csn, encoded: bytes, trace: str, origin: str
    ) -> Lsn:
        """Give the next Lsn to a certified part whose images are of this moment; it is now in flight."""
        lsn = Lsn(self.newest + 1)
        changes = changes_of(examined, lsn, txid, origin)
        self.history.add(lsn, changes)
        for change in changes:
            self.images.note(change.collection, change.key, change.after)
            self.pending.note(change.collection, change.key, change.after)
        images = tuple(image_of(planned) for planned in examined.plans.values())
        entry = Entry(txid, csn, encoded, images, trace, origin)
        weight = len(encoded) + sum(len(i.after or b"") + len(i.before or b"") + 64 for i in images)
        self._outbox.append((entry, weight))
        self.outbox_bytes += weight
        if csn:
            self.undurable.add(txid)
        if trace:
            self._assigned_at[lsn] = now
        return lsn

    def assigned_at(self, lsn: Lsn) -> Millis | None:
        """Return, once, when this leader gave the Lsn of a traced transaction."""
        return self._assigned_at.pop(lsn, None)

    def take_record(self, epoch: Epoch, time: Millis, through: Through) -> Entries | None:
        """Return what has gathered as one record, up to the limits of a record; None when there is nothing.

        Globals got their Lsn in Csn order, so a record that takes only a part is through with the last that it
        takes; `through`, which speaks of all, counts only when everything is taken. A record that claimed less
        than it holds would be merged again by the next leader.
        """
        if not self._outbox:
            return None
        first = Lsn(self.newest - len(self._outbox) + 1)
        taken: list[Entry] = []
        size = 0
        while self._outbox and len(taken) < self._limits.record_entries and size < self._limits.record_bytes:
            entry, weight = self._outbox.popleft()
            taken.append(entry)
            size += weight
        self.outbox_bytes -= size
        known = self.fold.through if self._outbox else max(through, self.fold.through, key=lambda one: one.csn)
        csn = max(known.csn, *(entry.csn for entry in taken))
        return Entries(epoch, first, time, Through(Csn(csn), known.offset), tuple(taken))

    def begin(self, state: bytes) -> None:
        """Begin at a checkpoint, which lies at or below what the database has applied: nothing before it is needed here.

        Raises:
            LogError: It is of another log.
        """
        self.fold.load(state)
        self.history.begin(self.tail)
        self._cuts = None

    def fold_record(self, offset: Offset, record: DbtlRecord) -> DbtlFolded:
        """Fold the next record: what it commits is durable now, and visible."""
        cuts = self.cuts
        folded = self.fold.apply(offset, record)
        cuts.note(folded.entries)
        for lsn, entry in folded.entries:
            self.undurable.discard(entry.txid)
            if lsn > self.newest:
                self._learn(lsn, entry)
            for image in entry.images:
                self.overlay.add(lsn, image.collection, image.key, image.after)
        if folded.entries:
            self.history.trim(self.tail)
            cuts.forget(self.history.floor)
        return folded

    def forget_in_flight(self) -> None:
        """Forget what is not durable: it is void, or will be learnt again from the fold."""
        self._outbox.clear()
        self.outbox_bytes = 0
        self.undurable.clear()
        self._assigned_at.clear()
        self.history.truncate(self.tail)
        self.images.forget()

    def _learn(self, lsn: Lsn, entry: Entry) -> None:
        """Take an entry that somebody else wrote, or this process before it was restarted."""
        changes = [_change_of(lsn, entry, image) for image in entry.images if image.after != _before(image)]
        self.history.add(lsn, changes)
        for change in changes:
            self.images.note(change.collection, change.key, change.after)


def image_of(planned: Planned) -> Image:
    """Return what the log keeps of a write."""
    before = planned.before
    if before is None:
        kept = None
    elif planned.fields is None:
        kept = encode_changes(before)
    else:
        kept = encode_changes({field: before.get(field) for field in sorted(planned.fields)})
    return Image(planned.write.collection, planned.write.key, planned.after_bytes, kept)


def _before(image: Image) -> bytes | None:
    """Return the whole before-image of a logged write."""
    if image.before is None:
        return None
    row: dict[str, object] = {} if image.after is None else decode_record(image.after)
    changed: Mapping[str, object] = decode_changes(image.before)
    return encode_record({**row, **changed})


def _change_of(lsn: Lsn, entry: Entry, image: Image) -> Change:
    came_or_went = image.before is None or image.after is None
    fields = None if came_or_went else frozenset(decode_changes(image.before or b""))
    before = _before(image)
    return Change(lsn, entry.txid, entry.origin, image.collection, image.key, fields, frozenset(), before, image.after)
