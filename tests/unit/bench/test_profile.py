import cProfile

from bench.profile import Row, rows_of, top
from grit.core.keys import encode_key

ROWS: list[Row] = [("grit/a.py:1 own", 20, 3.0, 3.0), ("grit/b.py:2 around", 10, 1.0, 4.0)]


def test_functions_are_ordered_by_own_and_then_by_cumulative_time() -> None:
    lines = top(ROWS, commits=10, count=1)
    assert lines[1].split() == ["2.00", "300000.0", "300000.0", "grit/a.py:1", "own"]
    assert lines[3].split() == ["1.00", "100000.0", "400000.0", "grit/b.py:2", "around"]


def test_only_functions_of_ours_are_told_unless_everybody_is_asked_for() -> None:
    profile = cProfile.Profile()
    profile.runcall(sorted, [encode_key([1])])
    profile.runcall(encode_key, ["a"])
    ours = [row[0] for row in rows_of(profile, everybody=False)]
    assert any(name.startswith("grit/core/keys.py:") and name.endswith(" encode_key") for name in ours)
    assert not any("sorted" in name for name in ours)
    assert any("sorted" in row[0] for row in rows_of(profile, everybody=True))
