"""The take-over of a realm: whether these logs and this database belong together, and the merge (protocol.md section 7).

    claimed --> fenced --decrees--> [look for images that are not known] --> assigned --> durable: serve
                                            ^            |
                                            +--not yet---+

Once the fence of the new epoch is folded, every global that involves the realm is committed before it or voided
after it. Those committed that the DBTL does not hold are given their Lsns here, in Csn order, before anything else
is; the images that this takes are looked up first, all of them, so that the merge is one atomic step.
"""

from collections.abc import Callable

from msgspec import UnsetType

from dbtm.certify import Examined
from dbtm.constraints import plan_write
from dbtm.jobs import Facts, StoreDesk
from dbtm.ledger import Ledger
from dbtm.locals import Clock
from dbtm.pending import RecordId
from dbtm.voting import Decree
from grit.core.fold import DbtlFold, GtlFold
from grit.core.ids import Realm
from grit.core.parts import Part, decode_part
from grit.core.queries import Cursor, StoreAnswer
from grit.core.records import Through


def find_stranger(realm: Realm, fold: DbtlFold, cursor: Cursor | None, gtl_log_id: str) -> str:
    """Return why the logs and the database do not belong together, one line with the remedy; "" = they do.

    Args:
        realm: Whose DBTM asks.
        fold: Of its DBTL, read to the end after the position of the database.
        cursor: The position of the database; None: nothing was applied yet.
        gtl_log_id: Of the GTL that this DBTM reads; "" while it is empty.
    """
    if cursor is not None and (cursor.offset > fold.offset or cursor.lsn > fold.tail):
        return (
            f"log {fold.log} ends at offset {fold.offset} (Lsn {fold.tail}), the database of realm {realm} has "
            f"applied up to offset {cursor.offset} (Lsn {cursor.lsn}): the log lost records or is another one; "
            "restore the log, or rebuild the database from it"
        )
    if cursor is not None and cursor.log_id != fold.log_id:
        return (
            f"the database of realm {realm} follows log {cursor.log_id}, {fold.log} is {fold.log_id}: "
            "check the configuration of the log and the database"
        )
    if fold.gtl_log_id and gtl_log_id and fold.gtl_log_id != gtl_log_id:
        return (
            f"log {fold.log}: its realm is coordinated under GTL {fold.gtl_log_id}, this DBTM reads GTL {gtl_log_id}: "
            "check which log the DBTM and the GTM use"
        )
    return ""


def find_loss(realm: Realm, through: Through, gtl: GtlFold) -> str:
    """Return why the GTL cannot be the one that this realm followed, one line with the remedy; "" = it can.

    *Csns that were given before would be given again; what has them would be taken for merged, and be in no database.*

    Args:
        realm: Whose DBTM asks.
        through: How far its DBTL held the GTL, before the GTL was read to its end.
        gtl: Its fold of the GTL, now.
    """
    if through.offset <= gtl.offset and through.csn < gtl.next_csn:
        return ""
    return (
        f"log gtl ends at offset {gtl.offset} (Csn {gtl.next_csn - 1}), the log of realm {realm} holds what lay in it up to "
        f"offset {through.offset} (Csn {through.csn}): the global log lost records or is another one; "
        "restore its newest copy; nothing was changed"
    )


class Merge:
    """The merge of one take-over. It may be begun anew, and given up, at any time before everything is assigned.

    Args:
        away: Called when the database does not answer: begin again later.
    """

    def __init__(self, ledger: Ledger, desk: StoreDesk, clock: Clock, away: Callable[[], None]) -> None:
        self._ledger = ledger
        self._desk = desk
        self._clock = clock
        self._away = away
        self._decrees: list[Decree] = []
        self._facts: Facts | None = None

    @property
    def is_durable(self) -> bool:
        """Tell whether every decree has its Lsn, and the log holds them all."""
        return not self._decrees and self._ledger.newest == self._ledger.tail

    def begin(self, decrees: list[Decree]) -> None:
        """Give Lsns to these, in this order, as soon as their images are known."""
        self.drop()
        self._decrees = decrees
        if decrees:
            self._facts = Facts(self._ledger)
            self._take(self._facts, [decode_part(decree.part.part) for decree in decrees])

    def drop(self) -> None:
        """Give up what has no Lsn yet. The owner of the desk drops the looks."""
        self._decrees = []
        if self._facts is not None:
            self._facts.done()
            self._facts = None

    def _take(self, facts: Facts, parts: list[Part]) -> None:
        records = [(w.collection, w.key) for part in parts for w in part.writes]
        # Held here for the step: asked again, one may be forgotten already, as others were remembered.
        images = {record: facts.newest(*record) for record in records}
        missing = [record for record, image in images.items() if not isinstance(image, bytes | None)]
        if missing:
            self._desk.ask(
                facts.ask(missing),
                lambda answer: self._told(facts, parts, answer),
                lambda _: self._not_told(facts),
            )
            return
        for decree, part in zip(self._decrees, parts, strict=True):
            self._assign(decree, part, images)
        self.drop()

    def _assign(self, decree: Decree, part: Part, images: dict[RecordId, bytes | UnsetType | None]) -> None:
        """Give the next Lsn to a decree; `images`: the newest of its records, which it brings up to date."""
        plans = {}
        for write in part.writes:
            record = (write.collection, write.key)
            image = images[record]
            assert isinstance(image, bytes | None)
            planned = plans[record] = plan_write(write, image)
            images[record] = planned.after_bytes
        entry = decree.entry
        self._ledger.assign(
            Examined(part, plans),
            self._clock.now,
            txid=entry.txid,
            csn=decree.csn,
            encoded=decree.part.part,
            trace=entry.trace,
            origin=entry.origin,
        )

    def _told(self, facts: Facts, parts: list[Part], answer: StoreAnswer) -> None:
        assert facts is self._facts, "who gives up drops its looks"
        facts.told(answer)
        self._take(facts, parts)

    def _not_told(self, facts: Facts) -> None:
        facts.done()
        self._away()
