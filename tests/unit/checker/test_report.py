"""How findings and verdicts are printed."""

from grit.checker.report import Finding, Report, Verdict, in_order, key_text
from grit.core.ids import Key
from grit.core.keys import encode_key

PLACED = Finding("W6", "stale", "the row is old", "dbtl.a", 7, 3, 9, "t-1", "a.b/(1)", "x=1", "x=2")
BARE = Finding("R1", "rule broken", "no luck")


def test_a_finding_tells_its_place_and_what_was_expected() -> None:
    assert PLACED.text().splitlines() == [
        "W6 stale: the row is old",
        "    at log dbtl.a, offset 7, Lsn 3, Csn 9, transaction t-1, key a.b/(1)",
        "    expected: x=1",
        "    found: x=2",
    ]


def test_a_finding_without_a_place_tells_none() -> None:
    assert BARE.text() == "R1 rule broken: no luck"


def test_a_gap_makes_it_unknown_and_a_finding_makes_it_invalid() -> None:
    assert Report("log", 5).verdict == Verdict.VALID
    assert Report("log", 5, gaps=("log a",)).verdict == Verdict.UNKNOWN
    assert Report("log", 5, (BARE,), gaps=("log a",)).verdict == Verdict.INVALID


def test_only_an_empty_report_says_that_nothing_follows() -> None:
    assert "nothing follows" in Report("log", 0).text()
    assert "nothing follows" not in Report("log", 0, (BARE,)).text()
    assert "nothing follows" not in Report("log", 1).text()


def test_findings_are_ordered_by_log_and_offset() -> None:
    later = Finding("W0", "hole", "", "dbtl.a", 9)
    assert in_order([later, PLACED, BARE]) == (BARE, PLACED, later)


def test_a_key_is_told_by_its_components_and_a_broken_one_by_its_bytes() -> None:
    assert key_text("r", "c", encode_key(("s", 1))) == "r.c/(s,1)"
    assert key_text("r", "c", Key(b"\xff")) == "r.c/(not a key: ff)"
