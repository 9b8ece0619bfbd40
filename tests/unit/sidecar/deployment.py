"""Realms and a GTM in memory, as slow and plain as can be: they certify by reading everything again."""

from collections.abc import Mapping

from grit.core.catalog import RealmDef
from grit.core.errors import Code
from grit.core.ids import Collection, Csn, Key, Lsn, Millis, Realm, TxnId
from grit.core.messages import (
    AppliedAnswered,
    AppliedAsked,
    CancelAsked,
    CommitAsked,
    DescribeAnswered,
    DescribeAsked,
    ExtendAnswered,
    ExtendAsked,
    Message,
    OutcomeAnswered,
    ReadAnswered,
    ReadAsked,
    StatusAsked,
    SubmitAsked,
    ValidateAnswered,
    ValidateAsked,
    Within,
)
from grit.core.ordering import ordered
from grit.core.outcome import Conflict, Outcome, State, aborted
from grit.core.parts import Act, Expect, KeyRead, Part, Read, Write, after_image, decode_part
from grit.core.predicate import matches
from grit.core.queries import GetRows, Query
from grit.core.values import Row, encode_record

Rows = dict[Key, Row]
NOW = Millis(1_000_000)


class MemoryRealm:
    """Every version of every record; version `lsn` of the realm is `versions[lsn]`."""

    def __init__(self, definition: RealmDef) -> None:
        self.definition = definition
        self.versions: list[dict[Collection, Rows]] = [{name: {} for name in definition.collections}]
        self.committed: dict[TxnId, Lsn] = {}
        self.refused: set[TxnId] = set()
        self.parts: list[Part] = []
        self.validated: list[ValidateAsked] = []
        self.oldest = 0
        self.csns = [Csn(0)]
        self.through = Csn(0)

    @property
    def lsn(self) -> Lsn:
        return Lsn(len(self.versions) - 1)

    def rows(self, collection: str) -> Rows:
        return self.versions[-1][Collection(collection)]

    def load(self, collection: str, rows: Mapping[Key, Row]) -> None:
        """Write as somebody else, one Lsn."""
        self.csns.append(self.csns[-1])
        version = {name: dict(rows) for name, rows in self.versions[-1].items()}
        version[Collection(collection)].update(rows)
        self.versions.append(version)

    def remove(self, collection: str, key: Key) -> None:
        self.csns.append(self.csns[-1])
        version = {name: dict(rows) for name, rows in self.versions[-1].items()}
        del version[Collection(collection)][key]
        self.versions.append(version)

    def spread(self, csn: int, collection: str, rows: Mapping[Key, Row]) -> None:
        """Write as a part of a global."""
        self.load(collection, rows)
        self.csns[-1] = self.through = Csn(csn)

    def read(self, asked: ReadAsked) -> ReadAnswered:
        """Answer at the tail; true since the last Lsn that gives another answer."""
        if asked.within is not None:
            return self._read_within(asked, asked.within)
        answers = [self._find(query, self.lsn) for query in asked.queries]
        exact_from = self.lsn
        while exact_from > 0 and [self._find(query, Lsn(exact_from - 1)) for query in asked.queries] == answers:
            exact_from = Lsn(exact_from - 1)
        rows = tuple(tuple((key, bytes(encode_record(row))) for key, row in answer) for answer in answers)
        return ReadAnswered(asked.id, self.lsn, exact_from, rows, NOW, self.csns[-1])

    def _read_within(self, asked: ReadAsked, within: Within) -> ReadAnswered:
        """Answer at the newest position that the Csns allow and that is not forgotten, else at the tail."""
        assert self.through >= within.low, "a replica would wait"
        place = max((lsn for lsn, csn in enumerate(self.csns) if csn <= within.high), default=-1)
        place = asked.position if within.is_placed else place
        least = max(asked.position, self.oldest)
        position = Lsn(place) if place >= least else self.lsn
        later = [csn for csn in self.csns[position:] if csn > self.csns[position]]
        high = Csn(later[0] - 1) if later else self.through
        rows = tuple(
            tuple((key, bytes(encode_record(row))) for key, row in self._find(query, position))
            for query in asked.queries
        )
        return ReadAnswered(
            asked.id, position, position, rows, NOW, self.csns[position], high, self.csns[max(least, 0)]
        )

    def extend(self, asked: ExtendAsked) -> ExtendAnswered:
        if asked.since < self.oldest:
            return ExtendAnswered(asked.id, too_old=True)
        return ExtendAnswered(asked.id, self.conflict(asked.reads, asked.since, asked.upto))

    def validate(self, asked: ValidateAsked) -> ValidateAnswered:
        self.validated.append(asked)
        if asked.position < self.oldest:
            return ValidateAnswered(asked.id, None, too_old=True, now=NOW)
        return ValidateAnswered(asked.id, self.conflict(asked.reads, asked.position, self.lsn), too_old=False, now=NOW)

    def conflict(self, reads: tuple[Read, ...], since: Lsn, upto: Lsn) -> Conflict | None:
        for read in reads:
            for lsn in range(since + 1, upto + 1):
                if self._seen(read, Lsn(lsn)) != self._seen(read, since):
                    key = read.key if isinstance(read, KeyRead) else b""
                    return Conflict(
                        self.definition.name,
                        read.collection,
                        key,
                        lsn=Lsn(lsn),
                        position=since,
                        predicate=not isinstance(read, KeyRead),
                    )
        return None

    def refusal(self, txid: TxnId, part: Part, age: int) -> Outcome | None:
        """Say why a part cannot commit now."""
        conflict = self.conflict(part.reads, part.position, self.lsn)
        if conflict is not None:
            return aborted(txid, Code.PHANTOM if conflict.predicate else Code.READ_CONFLICT, age=age, conflict=conflict)
        for write in part.writes:
            row = self.rows(write.collection).get(write.key)
            if write.expect == Expect.ABSENT and row is not None:
                return aborted(txid, Code.ALREADY_EXISTS, f"{write.collection} is there")
            if write.expect == Expect.PRESENT and row is None:
                return aborted(txid, Code.NOT_FOUND, f"{write.collection} is not there")
            if self._breaks_bound(write, row):
                return aborted(txid, Code.BOUND_VIOLATION, f"{write.collection} is out of bounds")
        return None

    def apply(self, txid: TxnId, part: Part) -> Lsn:
        version = {name: dict(rows) for name, rows in self.versions[-1].items()}
        for write in part.writes:
            after = after_image(write, version[write.collection].get(write.key))
            if after is None:
                version[write.collection].pop(write.key, None)
            else:
                version[write.collection][write.key] = after
        self.versions.append(version)
        self.csns.append(self.csns[-1])
        self.committed[txid] = self.lsn
        self.parts.append(part)
        return self.lsn

    def _breaks_bound(self, write: Write, row: Row | None) -> bool:
        after = after_image(write, row)
        bounds = self.definition.collections[write.collection].bounds
        if after is None or write.act != Act.CHANGE:
            return False
        return any(bound.min is not None and after.get(field, 0) < bound.min for field, bound in bounds.items())

    def _find(self, query: Query, lsn: Lsn) -> list[tuple[Key, Row]]:
        rows = self.versions[lsn][query.collection]
        if isinstance(query, GetRows):
            return [(key, rows[key]) for key in query.keys if key in rows]
        chosen = [(key, row) for key, row in rows.items() if matches(query.where, row)]
        return ordered(chosen, query.order_by)[: query.limit]

    def _seen(self, read: Read, lsn: Lsn) -> object:
        rows = self.versions[lsn][read.collection]
        if isinstance(read, KeyRead):
            row = rows.get(read.key)
            return None if row is None else _projected(row, read.fields)
        return {key: _projected(row, read.fields) for key, row in rows.items() if matches(read.where, row)}


class MemoryDeployment:
    """All realms, and the GTM over them."""

    def __init__(self, catalogue: Mapping[Realm, RealmDef]) -> None:
        self.realms = {name: MemoryRealm(realm) for name, realm in catalogue.items()}
        self.csn = Csn(0)
        self.keys: dict[str, Outcome] = {}
        self.cancelled: set[str] = set()
        self.outcomes: dict[TxnId, Outcome] = {}
        self.submitted: list[SubmitAsked] = []
        self.locals: list[CommitAsked] = []

    def __getitem__(self, realm: str) -> MemoryRealm:
        return self.realms[Realm(realm)]

    def ask_realm(self, realm: Realm, message: Message) -> Message:
        at = self.realms[realm]
        if isinstance(message, ReadAsked):
            return at.read(message)
        if isinstance(message, ExtendAsked):
            return at.extend(message)
        if isinstance(message, ValidateAsked):
            return at.validate(message)
        if isinstance(message, AppliedAsked):
            return AppliedAnswered(message.id, at.lsn)
        if isinstance(message, DescribeAsked):
            return DescribeAnswered(message.id, {"role": "dbtm", "realm": realm, "phase": "serving", "lsn": at.lsn})
        if isinstance(message, StatusAsked):
            return OutcomeAnswered(message.id, self._local_status(at, message.txid), NOW)
        assert isinstance(message, CommitAsked)
        self.locals.append(message)
        part = decode_part(message.part)
        refusal = at.refusal(message.txid, part, 7)
        if message.txid in at.refused:
            refusal = aborted(message.txid, Code.REFUSED, "refused")
        lsn = Lsn(0) if refusal else at.apply(message.txid, part)
        outcome = refusal or Outcome(message.txid, State.COMMITTED, lsn=lsn)
        return OutcomeAnswered(message.id, outcome, NOW)

    def ask_gtm(self, message: Message) -> Message:
        if isinstance(message, DescribeAsked):
            return DescribeAnswered(message.id, {"role": "gtm", "state": "leading", "epoch": 1})
        if isinstance(message, CancelAsked):
            self.cancelled.add(message.key)
            outcome = self.keys.get(message.key) or Outcome(TxnId(""), State.ABORTED, Code.REFUSED.value)
            return OutcomeAnswered(message.id, outcome, NOW)
        if isinstance(message, StatusAsked):
            known = self.keys.get(message.key) if message.key else self.outcomes.get(message.txid)
            if known is None and message.key:
                known = Outcome(TxnId(""), State.NOT_COMMITTED)
            if known is None:
                known = self.outcomes[message.txid] = aborted(message.txid, Code.REFUSED, "refused")
            return OutcomeAnswered(message.id, known, NOW)
        assert isinstance(message, SubmitAsked)
        self.submitted.append(message)
        if message.key in self.keys:
            return OutcomeAnswered(message.id, self.keys[message.key], NOW)
        outcome = self.outcomes.get(message.txid) or self._decide(message)
        self.outcomes[message.txid] = outcome
        if message.key and outcome.state == State.COMMITTED:
            self.keys[message.key] = outcome
        return OutcomeAnswered(message.id, outcome, NOW)

    def _decide(self, message: SubmitAsked) -> Outcome:
        parts = [(self.realms[realm], decode_part(data)) for realm, data in message.parts]
        for at, part in parts:
            refusal = at.refusal(message.txid, part, message.age or 7)
            if refusal is not None:
                return refusal
        for at, part in parts:
            at.apply(message.txid, part)
        self.csn = Csn(self.csn + 1)
        for at in self.realms.values():
            at.through = self.csn
        for at, _ in parts:
            at.csns[-1] = self.csn
        return Outcome(message.txid, State.COMMITTED, csn=self.csn, result=message.result)

    def _local_status(self, at: MemoryRealm, txid: TxnId) -> Outcome:
        if txid in at.committed:
            return Outcome(txid, State.COMMITTED, lsn=at.committed[txid])
        at.refused.add(txid)
        return aborted(txid, Code.REFUSED, "refused")


def _projected(row: Row, fields: tuple[str, ...] | None) -> object:
    return row if fields is None else {field: row.get(field) for field in fields}
