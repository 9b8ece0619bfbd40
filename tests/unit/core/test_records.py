"""Log records and their bytes (protocol.md section 3)."""

from collections.abc import Callable

import pytest

from grit.core.errors import LogError
from grit.core.ids import Collection, Csn, Epoch, Key, LeaderId, Lsn, Millis, Offset, Realm, TxnId
from grit.core.records import (
    FORMAT,
    CommitEntry,
    Commits,
    DbtlRecord,
    DbtmEpoch,
    Entries,
    Entry,
    Fence,
    Genesis,
    GtlRecord,
    GtmEpoch,
    Image,
    PartEntry,
    Refused,
    Resign,
    Through,
    decode_dbtl_record,
    decode_gtl_record,
    encode_log_record,
)

TXN = TxnId("t-00000000001-0000000000000001")
SHARED: list[Genesis | Refused | Resign] = [
    Genesis("id", Realm("shop"), FORMAT),
    Refused(Epoch(2), (TXN,), ("pay-1",)),
    Resign(Epoch(2)),
]
GTL: list[GtlRecord] = [
    *SHARED,
    GtmEpoch(Epoch(2), LeaderId("me"), "127.0.0.1:1", Millis(5)),
    Fence(Realm("shop"), Epoch(3)),
    Commits(
        Epoch(2),
        Csn(9),
        Millis(7),
        (
            CommitEntry(
                TXN, (PartEntry(Realm("shop"), Epoch(3), Epoch(2), Csn(8), b"part"),), "pay-1", b"r", "trace", "s"
            ),
        ),
    ),
]
DBTL: list[DbtlRecord] = [
    *SHARED,
    DbtmEpoch(Epoch(2), LeaderId("me"), "127.0.0.1:1", Millis(5), "gtl-id"),
    Entries(
        Epoch(2),
        Lsn(4),
        Millis(7),
        Through(Csn(9), Offset(3)),
        (Entry(TXN, Csn(9), b"part", (Image(Collection("stock"), Key(b"k"), b"after", None),), "trace", "shop"),),
    ),
]
Decode = Callable[..., GtlRecord | DbtlRecord]
BOTH = pytest.mark.parametrize("decode", [decode_gtl_record, decode_dbtl_record])


@pytest.mark.parametrize("record", GTL, ids=lambda record: type(record).__name__)
def test_a_record_of_the_gtl_comes_back_as_it_was(record: GtlRecord) -> None:
    assert decode_gtl_record(encode_log_record(record), log="gtl", offset=Offset(0)) == record


@pytest.mark.parametrize("record", DBTL, ids=lambda record: type(record).__name__)
def test_a_record_of_a_dbtl_comes_back_as_it_was(record: DbtlRecord) -> None:
    assert decode_dbtl_record(encode_log_record(record), log="dbtl.shop", offset=Offset(0)) == record


@pytest.mark.parametrize("record", [*GTL, *DBTL], ids=lambda record: type(record).__name__)
def test_a_payload_begins_with_its_format(record: GtlRecord | DbtlRecord) -> None:
    assert encode_log_record(record)[0] == FORMAT


@BOTH
@pytest.mark.parametrize(
    ("payload", "found"), [(bytes([FORMAT + 1, 0x93]), str(FORMAT + 1)), (b"", "nothing")], ids=["newer", "empty"]
)
def test_an_unknown_format_number_names_log_offset_and_remedy(decode: Decode, payload: bytes, found: str) -> None:
    with pytest.raises(LogError) as caught:
        decode(payload, log="some.log", offset=Offset(17))
    assert str(caught.value).startswith(
        f"log some.log, offset 17: record format {found}, this program reads format {FORMAT}"
    )
    assert "run the version of grit that wrote it" in str(caught.value)


@BOTH
@pytest.mark.parametrize("rest", [b"", b"\xc1", b"\x92\xa6resign", b"\x91\xa6resign", b"\x92\xa5never\x01", b"\x01"])
def test_what_is_no_record_names_log_offset_and_remedy(decode: Decode, rest: bytes) -> None:
    with pytest.raises(
        LogError, match=r"^log some\.log, offset 17: not a record of this log \(.*\): is it another log\?"
    ):
        decode(bytes([FORMAT]) + rest, log="some.log", offset=Offset(17))


@pytest.mark.parametrize("record", [record for record in DBTL if record not in SHARED], ids=lambda r: type(r).__name__)
def test_a_record_of_a_dbtl_is_none_of_the_gtl(record: DbtlRecord) -> None:
    with pytest.raises(LogError, match="not a record of this log"):
        decode_gtl_record(encode_log_record(record), log="gtl", offset=Offset(1))


@pytest.mark.parametrize("record", [record for record in GTL if record not in SHARED], ids=lambda r: type(r).__name__)
def test_a_record_of_the_gtl_is_none_of_a_dbtl(record: GtlRecord) -> None:
    with pytest.raises(LogError, match="not a record of this log"):
        decode_dbtl_record(encode_log_record(record), log="dbtl.shop", offset=Offset(1))
