import pytest

from bench.figure import Figure, Target, number_text, percentile


@pytest.mark.parametrize(
    ("comparison", "value", "verdict"),
    [
        (">=", 10.0, "met"),
        (">=", 9.9, "missed"),
        ("<=", 10.0, "met"),
        ("<=", 10.1, "missed"),
        ("<", 10.0, "missed"),
        (">", 10.0, "missed"),
        ("=", 10.0, "met"),
        ("=", 9.0, "missed"),
    ],
)
def test_a_figure_meets_its_target_or_misses_it(comparison: str, value: float, verdict: str) -> None:
    assert Figure("rate", value, "1/s", Target(comparison, 10.0)).verdict == verdict


def test_a_figure_without_target_has_no_verdict() -> None:
    assert Figure("rate", 1.0, "1/s").verdict == ""


def test_a_target_of_an_unknown_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="'~' is no comparison; there are <=, <, >=, >, ="):
        Target("~", 1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3.0, "3"), (0.05678, "0.0568"), (12.345, "12.3"), (123_456.7, "123,457")]
)
def test_numbers_are_written_with_three_digits_or_more(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_percentile_is_a_value_that_was_seen() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert percentile(ordered, 0.5) == 51.0
    assert percentile(ordered, 0.99) == 100.0
    assert percentile(ordered, 1.0) == 100.0


def test_of_nothing_every_percentile_is_0() -> None:
    assert percentile([], 0.5) == 0.0
