import re
from pathlib import Path

import pytest

from bench.deployment import doubled
from bench.goodput import longest_silence_s, rate_between, recovered_after_s
from grit.config.load import load_config
from grit.core.ids import Realm

RATE = 20.0
"""A second: 9 in a window are 90 %."""


def steady(begin: float, count: int, rate: float = RATE) -> list[float]:
    return [begin + number / rate for number in range(count)]


def test_goodput_is_what_was_acknowledged_in_a_time() -> None:
    assert rate_between(steady(0, 100), 1.0, 3.0) == RATE
    assert rate_between([], 1.0, 3.0) == 0


def test_recovery_lasts_until_the_first_acknowledgement_from_which_on_the_goodput_is_back() -> None:
    moments = [*steady(0, 200), *steady(13.0, 40)]
    assert recovered_after_s(moments, 10.0, RATE) == pytest.approx(3.0)


def test_an_accident_that_is_not_felt_takes_no_time() -> None:
    assert recovered_after_s(steady(0, 400), 10.0, RATE) == pytest.approx(0.0, abs=1 / RATE)


def test_what_was_still_acknowledged_right_after_the_accident_is_no_recovery() -> None:
    moments = [*steady(10.0, 8), *steady(13.0, 40)]
    assert recovered_after_s(moments, 10.0, RATE) == pytest.approx(3.0)


def test_a_window_that_began_before_the_accident_does_not_count() -> None:
    assert recovered_after_s(steady(0, 205), 10.0, RATE) is None


def test_ninety_per_cent_is_back_and_less_is_not() -> None:
    assert recovered_after_s(steady(0.0, 9), 0.0, RATE) == 0.0
    assert recovered_after_s(steady(0.0, 8), 0.0, RATE) is None
    assert recovered_after_s(steady(0.0, 100, rate=0.8 * RATE), 0.0, RATE) is None


def test_a_lower_rate_before_the_full_one_is_not_yet_recovery() -> None:
    moments = [*steady(11.0, 10, rate=10.0), *steady(12.0, 40)]
    found = recovered_after_s(moments, 10.0, RATE)
    assert found is not None
    assert 1.8 <= found <= 2.0


def test_without_acknowledgements_nothing_is_back() -> None:
    assert recovered_after_s([], 10.0, RATE) is None


def test_the_longest_silence_is_also_one_at_the_begin_or_at_the_end() -> None:
    assert longest_silence_s([1.0, 2.0, 4.5, 5.0], 0.5, 5.5) == 2.5
    assert longest_silence_s([3.0, 3.5], 1.0, 4.0) == 2.0
    assert longest_silence_s([1.5], 1.0, 4.0) == 2.5
    assert longest_silence_s([], 1.0, 4.0) == 3.0


def test_the_gtm_and_the_dbtm_of_orders_are_doubled_and_nobody_else(tmp_path: Path) -> None:
    deployment = doubled(tmp_path)
    config = load_config(deployment.config, {})
    assert {name: len(realm.dbtm) for name, realm in config.realms.items()} == {"orders": 2, "carts": 1, "social": 1}
    assert deployment.replicas == dict(
        zip(
            (*config.gtm, *config.realms[Realm("orders")].dbtm),
            ("gtm", "gtm 2", "dbtm orders", "dbtm orders 2"),
            strict=True,
        )
    )
    assert set(deployment.replicas.values()) <= set(deployment.commands)
    assert all(re.fullmatch(r"[a-z0-9 ]+", name) for name in deployment.commands), "names are those of files too"
