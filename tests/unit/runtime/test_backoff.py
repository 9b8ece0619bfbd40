"""Pauses between attempts."""

import random

from grit.runtime.links.redial import Backoff


def pauses(seed: int, count: int) -> list[float]:
    backoff = Backoff(20, 1000, random.Random(seed))
    return [backoff.next_ms() for _ in range(count)]


def test_pauses_double_up_to_the_longest_with_their_upper_half_at_random() -> None:
    for seed in range(50):
        for number, pause in enumerate(pauses(seed, 10)):
            full = min(20 * 2**number, 1000)
            assert full / 2 <= pause <= full


def test_two_processes_do_not_dial_in_step() -> None:
    assert pauses(1, 5) != pauses(2, 5)


def test_after_a_link_that_lived_pauses_begin_again_with_the_shortest() -> None:
    backoff = Backoff(20, 1000, random.Random(1))
    for _ in range(6):
        backoff.next_ms()
    backoff.note_life(1000)
    assert backoff.next_ms() <= 20


def test_a_link_that_is_dropped_at_once_does_not_shorten_the_pauses() -> None:
    backoff = Backoff(20, 1000, random.Random(1))
    for _ in range(6):
        backoff.next_ms()
        backoff.note_life(999)
    assert backoff.next_ms() >= 500
