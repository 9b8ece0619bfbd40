"""Every planted fault is found, named and located."""

from collections.abc import Callable

import msgspec
import pytest

from grit.checker.check import check_log, check_state
from grit.checker.report import Finding, Report, Verdict
from grit.core.errors import LogError
from grit.core.ids import Csn, Epoch, LeaderId, Lsn, Millis, Offset, Realm
from grit.core.parts import Part, encode_part
from grit.core.queries import Cursor
from grit.core.records import Commits, DbtmEpoch, Entries, Entry, Fence, Genesis, GtmEpoch, Image, PartEntry, Refused
from grit.core.values import encode_record
from grit.log.memory import MemoryLog
from grit.log.port import Log
from tests.unit.checker.recorded import CARTS, ITEMS, ORDERS, Recorded, delete, increment, key, patch, put

DBTL = f"dbtl.{ORDERS}"


def story() -> Recorded:
    """Return a run; log of orders: 3 x, 4 a global, 5 increment, 6 a global, 7 renewal, 8 patch, 9 increment, 10 delete."""
    run = Recorded()
    run.local(ORDERS, put(1, "one", 5))
    run.globally((put(2, "two"),), (put(1, "cart"),))
    run.local(ORDERS, increment(1, 3))
    run.globally((put(3, "three"),), (put(1, "cart again"),))
    run.renew(ORDERS)
    run.local(ORDERS, patch(1, "uno"))
    run.local(ORDERS, increment(1, 10))
    run.local(ORDERS, delete(3))
    run.renew(ORDERS)
    run.renew(CARTS)
    return run


def entries_at(run: Recorded, offset: int) -> Entries:
    record = run.dbtl[ORDERS][offset]
    assert isinstance(record, Entries)
    return record


def change_entry(run: Recorded, offset: int, **changes: object) -> Entry:
    """Replace fields of the one entry of a record of the log of orders."""
    record = entries_at(run, offset)
    (entry,) = record.entries
    run.dbtl[ORDERS][offset] = msgspec.structs.replace(record, entries=(msgspec.structs.replace(entry, **changes),))
    return entry


def commits_at(run: Recorded, csn: int) -> tuple[int, Commits]:
    return next(
        (i, r) for i, r in enumerate(run.gtl) if isinstance(r, Commits) and r.entries and r.first_csn == csn
    )  # fmt: skip


async def findings(run: Recorded, *, is_quiesced: bool = True) -> tuple[Finding, ...]:
    report = await check_log(run.sources(), is_quiesced=is_quiesced)
    assert_told(report)
    return report.findings


async def state_findings(run: Recorded) -> tuple[Finding, ...]:
    report = await check_state(run.sources())
    assert_told(report)
    return report.findings


def assert_told(report: Report) -> None:
    assert report.verdict == Verdict.INVALID
    assert report.exit_status == 1
    assert report.text().splitlines()[-1].endswith(f"{len(report.findings)} findings")


def brief(found: tuple[Finding, ...]) -> set[tuple[str, str, str, int]]:
    return {(finding.property, finding.kind, finding.log, finding.offset) for finding in found}


# In the logs. Each takes an honest run and spoils it; the finding must be among those that follow.


def lose_a_record(run: Recorded) -> None:
    del run.dbtl[ORDERS][5]


def lose_a_global(run: Recorded) -> None:
    del run.dbtl[ORDERS][4]


def double_a_record(run: Recorded) -> None:
    run.dbtl[ORDERS].insert(6, run.dbtl[ORDERS][5])


def swap_two_records(run: Recorded) -> None:
    log = run.dbtl[ORDERS]
    log[8], log[9] = log[9], log[8]


def alter_an_image(run: Recorded) -> None:
    record = encode_record({"id": 1, "name": "one", "count": 9})
    before = entries_at(run, 5).entries[0].images[0].before
    change_entry(run, 5, images=(Image(ITEMS, key(1), record, before),))


def alter_a_before_image(run: Recorded) -> None:
    after = entries_at(run, 5).entries[0].images[0].after
    change_entry(run, 5, images=(Image(ITEMS, key(1), after, None),))


def drop_an_image(run: Recorded) -> None:
    change_entry(run, 8, images=())


def add_an_image(run: Recorded) -> None:
    more = Image(ITEMS, key(4), encode_record({"id": 4}), None)
    change_entry(run, 8, images=(*entries_at(run, 8).entries[0].images, more))


def garble_a_part(run: Recorded) -> None:
    change_entry(run, 5, part=b"\xc1")


def differ_in_a_part(run: Recorded) -> None:
    change_entry(run, 4, part=encode_part(Part(Lsn(7), (), (put(2, "two"),))))


def leave_out_a_participant(run: Recorded) -> None:
    """Csn 2 is taken out of the log of orders as if it had never been there."""
    log, gone = run.dbtl[ORDERS], 6
    del log[gone]
    for offset in range(gone, len(log)):
        record = entries_at(run, offset)
        log[offset] = msgspec.structs.replace(record, first_lsn=Lsn(record.first_lsn - 1))


def apply_a_voided_one(run: Recorded) -> None:
    entry = run.decide((put(5, "v"),), (), dbtm_epoch=99)
    run.merge(ORDERS, entry, (put(5, "v"),))


def apply_a_refused_one(run: Recorded) -> None:
    txid = run.txid()
    run.refuse(txid)
    run.merge(ORDERS, run.decide((put(5, "r"),), (), txid=txid), (put(5, "r"),))


def apply_a_second_commit_of_a_key(run: Recorded) -> None:
    run.globally((put(5, "k"),), (), idempotency="pay-17")
    run.globally((put(6, "k"),), (), idempotency="pay-17")


def apply_a_second_commit_of_an_id(run: Recorded) -> None:
    first = run.globally((put(5, "k"),), ())
    run.globally((put(6, "k"),), (), txid=first.txid)


def commit_a_local_id_twice(run: Recorded) -> None:
    change_entry(run, 9, txid=entries_at(run, 8).entries[0].txid)


def commit_a_refused_local(run: Recorded) -> None:
    run.dbtl[ORDERS].append(Refused(Epoch(1), (run.txid(),)))
    txid = run.local(ORDERS, put(7, "x"))
    refused = run.dbtl[ORDERS][-2]
    assert isinstance(refused, Refused)
    run.dbtl[ORDERS][-2] = Refused(Epoch(1), (txid,))


def put_a_global_where_it_does_not_belong(run: Recorded) -> None:
    index, record = commits_at(run, 2)
    entry = record.entries[0]
    run.gtl[index] = msgspec.structs.replace(
        record, entries=(msgspec.structs.replace(entry, parts=entry.parts[1:]),)
    )  # fmt: skip


def name_a_csn_that_was_never_decided(run: Recorded) -> None:
    change_entry(run, 9, csn=Csn(77))


def name_the_csn_of_another_transaction(run: Recorded) -> None:
    change_entry(run, 6, txid=run.txid())


def merge_out_of_order(run: Recorded) -> None:
    first, second = change_entry(run, 4), change_entry(run, 6)
    change_entry(run, 4, txid=second.txid, csn=second.csn, part=second.part, images=second.images)
    change_entry(run, 6, txid=first.txid, csn=first.csn, part=first.part, images=first.images)


def merge_twice(run: Recorded) -> None:
    first = change_entry(run, 4)
    change_entry(run, 5, txid=first.txid, csn=first.csn, part=first.part)


def break_the_chain(run: Recorded) -> None:
    index, record = commits_at(run, 2)
    entry = record.entries[0]
    parts = tuple(msgspec.structs.replace(part, prev_csn=Csn(0)) for part in entry.parts)
    run.gtl[index] = msgspec.structs.replace(record, entries=(msgspec.structs.replace(entry, parts=parts),))


def lose_a_decision(run: Recorded) -> None:
    index, _ = commits_at(run, 1)
    del run.gtl[index]


def take_the_genesis_of_another_realm(run: Recorded) -> None:
    run.dbtl[ORDERS][0] = Genesis("log-orders", Realm("invoices"), 1)


def cut_the_start(run: Recorded) -> None:
    del run.dbtl[ORDERS][0]


def work_under_another_global_log(run: Recorded) -> None:
    record = run.dbtl[ORDERS][1]
    assert isinstance(record, DbtmEpoch)
    run.dbtl[ORDERS][1] = msgspec.structs.replace(record, gtl_log_id="gtl-2")


def forge_an_epoch(run: Recorded) -> None:
    run.dbtl[ORDERS].insert(6, DbtmEpoch(Epoch(2), LeaderId("evil"), "", run.now, "gtl-1"))


def jump_an_epoch(run: Recorded) -> None:
    run.gtl.append(GtmEpoch(Epoch(7), LeaderId("evil"), "", run.now))


def write_without_claim(run: Recorded) -> None:
    run.dbtl[ORDERS][7] = msgspec.structs.replace(entries_at(run, 7), epoch=Epoch(5))


def commit_without_fence(run: Recorded) -> None:
    run.dbtm_takes_over(ORDERS)
    run.local(ORDERS, put(8, "x"))
    run.gtl.remove(Fence(ORDERS, Epoch(2)))


Spoil = Callable[[Recorded], None]
LOG_FAULTS: list[tuple[Spoil, str, str, str, int]] = [
    (lose_a_record, "W0", "hole", DBTL, 5),
    (lose_a_global, "W2", "missing", DBTL, -1),
    (double_a_record, "W0", "doubled", DBTL, 6),
    (swap_two_records, "W0", "hole", DBTL, 8),
    (alter_an_image, "W4", "altered image", DBTL, 5),
    (alter_a_before_image, "W4", "altered before-image", DBTL, 5),
    (drop_an_image, "W4", "write without image", DBTL, 8),
    (add_an_image, "W4", "image without write", DBTL, 8),
    (garble_a_part, "W4", "unreadable part", DBTL, 5),
    (differ_in_a_part, "W2", "other part", DBTL, 4),
    (leave_out_a_participant, "W2", "missing", DBTL, 6),
    (apply_a_voided_one, "W2", "void but applied", DBTL, 12),
    (apply_a_refused_one, "W2", "void but applied", DBTL, 12),
    (apply_a_second_commit_of_a_key, "W3", "void but applied", DBTL, 13),
    (apply_a_second_commit_of_an_id, "W3", "void but applied", DBTL, 13),
    (commit_a_local_id_twice, "W3", "doubled id", DBTL, 9),
    (commit_a_refused_local, "W2", "refused but applied", DBTL, 13),
    (put_a_global_where_it_does_not_belong, "W2", "stranger", DBTL, 6),
    (name_a_csn_that_was_never_decided, "W1", "never decided", DBTL, 9),
    (name_the_csn_of_another_transaction, "W1", "other transaction", DBTL, 6),
    (merge_out_of_order, "W1", "out of order", DBTL, 6),
    (merge_twice, "W2", "applied twice", DBTL, 5),
    (break_the_chain, "W1", "broken chain", "gtl", 6),
    (lose_a_decision, "W1", "never decided", DBTL, 4),
    (take_the_genesis_of_another_realm, "W0", "wrong genesis", DBTL, 0),
    (cut_the_start, "W0", "no genesis", DBTL, 0),
    (work_under_another_global_log, "W0", "wrong global log", DBTL, 1),
    (forge_an_epoch, "W9", "forged epoch", DBTL, 12),
    (jump_an_epoch, "W9", "forged epoch", "gtl", 7),
    (write_without_claim, "W9", "forged epoch", DBTL, 7),
    (commit_without_fence, "W9", "forged epoch", DBTL, 14),
]


@pytest.mark.parametrize(
    ("spoil", "name", "kind", "log", "offset"), LOG_FAULTS, ids=[f[0].__name__ for f in LOG_FAULTS]
)
async def test_a_fault_in_the_logs_is_found(spoil: Spoil, name: str, kind: str, log: str, offset: int) -> None:
    run = story()
    spoil(run)
    assert (name, kind, log, offset) in brief(await findings(run))


async def test_the_story_itself_is_clean() -> None:
    assert (await check_log(story().sources(), is_quiesced=True)).findings == ()
    assert (await check_state(story().sources())).findings == ()


async def test_a_finding_names_transaction_and_expectation() -> None:
    run = story()
    alter_an_image(run)
    (finding, *_) = [f for f in await findings(run) if f.kind == "altered image"]
    assert (finding.lsn, finding.txid) == (3, entries_at(run, 5).entries[0].txid)
    assert finding.key == "orders.items/(1)"
    assert "count=8" in finding.expected
    assert "count=9" in finding.found


async def test_a_voided_one_says_why_it_is_void() -> None:
    run = story()
    apply_a_voided_one(run)
    assert any("DBTM epoch 99, its fence is 1" in finding.message for finding in await findings(run))


async def test_a_missing_one_says_which_record_claims_that_it_is_there() -> None:
    run = story()
    leave_out_a_participant(run)
    (finding,) = [f for f in await findings(run) if f.kind == "missing"]
    assert "offset 6 says that all up to there is in this log" in finding.message


async def test_a_commit_with_a_key_that_was_cancelled_has_no_effect() -> None:
    run = story()
    run.gtl.append(Refused(Epoch(0), (), ("pay-17",)))
    run.globally((put(5, "k"),), (), idempotency="pay-17")
    assert ("W3", "void but applied", DBTL, 12) in brief(await findings(run))


async def test_cancelling_a_key_that_has_committed_changes_nothing() -> None:
    run = story()
    first = run.globally((put(5, "k"),), (), idempotency="pay-17")
    run.gtl.append(Refused(Epoch(0), (), ("pay-17",)))
    run.globally((put(6, "k"),), (), idempotency="pay-17")
    (finding, *_) = [f for f in await findings(run) if f.property == "W3"]
    assert f"bound to transaction {first.txid}" in finding.message


@pytest.mark.parametrize(("hours", "may_commit"), [(23, False), (25, True)])
async def test_a_key_is_free_again_after_its_horizon(hours: int, may_commit: bool) -> None:
    run = story()
    run.globally((put(5, "k"),), (), idempotency="pay-17")
    run.now = Millis(run.now + hours * 3_600_000)
    run.globally((put(6, "k"),), ())
    run.globally((put(6, "k"),), (), idempotency="pay-17")
    report = await check_log(run.sources(), is_quiesced=True)
    assert (report.findings == ()) is may_commit


async def test_a_key_is_free_in_the_very_record_that_brings_its_horizon() -> None:
    run = story()
    run.globally((put(5, "k"),), (), idempotency="pay-17")
    run.now = Millis(run.now + 25 * 3_600_000)
    run.globally((put(6, "k"),), (), idempotency="pay-17")
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_a_transaction_that_began_too_long_ago_has_no_effect() -> None:
    run = story()
    old = run.txid()
    run.now = Millis(run.now + 121_000)
    run.globally((put(5, "k"),), (), txid=old)
    assert any("it began too long ago" in finding.message for finding in await findings(run))


async def test_a_write_that_changes_nothing_needs_no_image() -> None:
    run = story()
    run.local(ORDERS, patch(3, "of a deleted record"))
    change_entry(run, 12, images=())
    assert (await check_log(run.sources(), is_quiesced=True)).findings == ()


async def test_of_a_damaged_global_log_only_the_damage_is_a_finding() -> None:
    run = story()
    sources = run.sources()

    async def open_log(name: str) -> Log:
        log = MemoryLog(name)
        payloads = await (await sources.open_log(name)).read(Offset(0))
        for offset, payload in payloads:
            await log.append(b"\x63" if name == "gtl" and offset == 6 else payload)
        return log

    report = await check_log(msgspec.structs.replace(sources, open_log=open_log), is_quiesced=True)
    assert [(f.property, f.kind, f.log) for f in report.findings] == [("W0", "damaged", "gtl")]
    assert "offset 6: record format 99" in report.findings[0].message


async def test_a_damaged_log_is_a_finding_and_what_lies_behind_is_said_not_to_be_looked_at() -> None:
    class DamagedLog(MemoryLog):
        async def read(self, start: Offset, *, bytes_max: int = 1 << 20) -> list[tuple[Offset, bytes]]:
            if start > 2:
                raise LogError(f"log {self.name}, offset {start}: the checksum does not match")
            return list(await super().read(start))[:3]

    run = story()
    sources = run.sources()

    async def open_log(name: str) -> MemoryLog:
        log = await sources.open_log(name)
        if name != DBTL:
            assert isinstance(log, MemoryLog)
            return log
        damaged = DamagedLog(name)
        for _, payload in await log.read(Offset(0)):
            await damaged.append(payload)
        return damaged

    report = await check_log(msgspec.structs.replace(sources, open_log=open_log))
    assert [(f.property, f.kind) for f in report.findings] == [("W0", "damaged")]
    assert report.gaps == (f"log {DBTL} beyond its damage",)


async def test_a_realm_that_the_configuration_lacks_is_a_gap() -> None:
    run = story()
    sources = run.sources()
    realms = {realm: definition for realm, definition in sources.realms.items() if realm != CARTS}
    report = await check_log(msgspec.structs.replace(sources, realms=realms))
    assert report.verdict == Verdict.UNKNOWN
    assert "realm carts: the global log names it" in report.text()


async def test_a_part_with_a_foreign_gtm_epoch_does_not_commit() -> None:
    run = story()
    index, record = commits_at(run, 2)
    entry = record.entries[0]
    parts = tuple(PartEntry(p.realm, p.dbtm_epoch, Epoch(3), p.prev_csn, p.part) for p in entry.parts)
    run.gtl[index] = msgspec.structs.replace(record, entries=(msgspec.structs.replace(entry, parts=parts),))
    assert ("W2", "void but applied", DBTL, 6) in brief(await findings(run))


async def test_a_leader_that_has_some_seconds_left_may_still_close_the_hole() -> None:
    run = story()
    del run.dbtl[ORDERS][9]
    report = await check_log(run.sources(), is_quiesced=False)
    assert [f.kind for f in report.findings if f.log == DBTL] == []


# In the databases.


def row(number: int, name: str, count: int = 0) -> dict[str, object]:
    return {"id": number, "name": name, "count": count}


STATE_FAULTS: list[tuple[str, int, dict[str, object] | None, int]] = [
    ("missing", 1, None, 6),
    ("stale", 1, row(1, "uno", 8), 6),
    ("extra", 3, row(3, "three"), 7),
    ("double-applied", 1, row(1, "uno", 28), 6),
    ("foreign", 1, row(1, "hacked", 18), 6),
    ("foreign", 4, row(4, "new"), 0),
]


@pytest.mark.parametrize(("kind", "number", "found", "lsn"), STATE_FAULTS)
async def test_a_row_that_differs_is_classified(
    kind: str, number: int, found: dict[str, object] | None, lsn: int
) -> None:
    run = story()
    run.overwrite(ORDERS, key(number), found)
    (finding,) = await state_findings(run)
    assert (finding.property, finding.kind, finding.key, finding.lsn) == ("W6", kind, f"orders.items/({number})", lsn)


async def test_rows_written_without_the_cursor_are_a_torn_apply() -> None:
    run = story()
    run.store(ORDERS)
    run.local(ORDERS, put(1, "later"))
    run.local(ORDERS, put(6, "new"))
    run.overwrite(ORDERS, key(1), row(1, "later"))
    run.overwrite(ORDERS, key(6), row(6, "new"))
    found = await state_findings(run)
    assert [(f.kind, f.lsn) for f in found] == [("torn", 8), ("torn", 9)]


async def test_a_cursor_moved_without_its_rows_leaves_stale_and_missing_ones() -> None:
    run = story()
    store = run.store(ORDERS)
    run.local(ORDERS, put(1, "later"))
    run.local(ORDERS, put(6, "new"))
    store.apply_now(store.cursor_now(), (), Cursor("log-orders", Offset(14), Epoch(1), Lsn(9)))
    assert [(f.kind, f.lsn) for f in await state_findings(run)] == [("stale", 8), ("missing", 9)]


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (Cursor("log-other", Offset(12), Epoch(1), Lsn(7)), "is of log log-other"),
        (Cursor("log-orders", Offset(99), Epoch(1), Lsn(7)), "is beyond the end of the log"),
        (Cursor("log-orders", Offset(12), Epoch(1), Lsn(3)), "is not what the log says there"),
        (Cursor("log-orders", Offset(12), Epoch(4), Lsn(7)), "is not what the log says there"),
    ],
)
async def test_a_position_that_is_not_of_this_log_is_found(cursor: Cursor, words: str) -> None:
    run = story()
    store = run.store(ORDERS)
    store.apply_now(store.cursor_now(), (), cursor)
    (finding,) = await state_findings(run)
    assert (finding.kind, finding.offset) == ("wrong position", cursor.offset)
    assert words in finding.message


async def test_rows_that_are_older_than_the_log_are_noted_when_the_log_shows_that_there_were_some() -> None:
    run = Recorded()
    after = encode_record({"id": 1, "name": "new", "count": 1})
    run.local(ORDERS, patch(1, "new"))
    image = Image(ITEMS, key(1), after, encode_record({"name": "old"}))
    change_entry(run, 3, images=(image,))
    run.overwrite(ORDERS, key(2), row(2, "untouched"))
    report = await check_state(run.sources())
    assert report.findings == ()
    assert "1 rows are older than the log" in report.notes[0]


async def test_in_an_adopted_realm_too_a_row_from_above_the_position_is_torn() -> None:
    run = Recorded()
    run.local(ORDERS, patch(1, "new"))
    image = Image(ITEMS, key(1), encode_record({"id": 1, "name": "new"}), encode_record({"name": "old"}))
    change_entry(run, 3, images=(image,))
    run.store(ORDERS)
    run.local(ORDERS, put(6, "above"))
    run.overwrite(ORDERS, key(6), row(6, "above"))
    assert [f.kind for f in await state_findings(run)] == ["torn"]
