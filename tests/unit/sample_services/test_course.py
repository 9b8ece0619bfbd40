"""The rate of a load in the course of time, and its picture."""

from sample_services.load.course import Course, bars


def course(*takings: tuple[float, int]) -> Course:
    made = Course()
    for at, count in takings:
        made.take(at, count)
    return made


def test_the_rate_is_that_of_the_last_two_seconds() -> None:
    assert course((2.0, 200), (3.0, 210), (4.0, 220)).rate() == 10.0


def test_a_load_that_has_just_begun_has_the_rate_so_far() -> None:
    assert Course().rate() == 0.0
    assert course((0.5, 20)).rate() == 40.0


def test_each_second_counts_what_came_in_it_and_the_last_begun_one_does_not_count() -> None:
    assert course((0.5, 10), (1.5, 30), (3.0, 30), (3.4, 90)).by_second() == [20.0, 10.0, 0.0]


def test_nothing_is_a_dot_and_the_highest_a_full_bar() -> None:
    assert bars([0.0, 80.0, 41.0, 1.0]) == ".█▅▁"
    assert bars([]) == ""
