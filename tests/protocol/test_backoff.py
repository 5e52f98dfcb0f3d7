from random import Random

from kafkasim.protocol.backoff import ExponentialBackoff


def test_waits_double_from_the_initial_one_up_to_the_maximum() -> None:
    backoff = ExponentialBackoff(100, 1000, lambda: 0.5)
    assert [round(backoff.backoff(attempts)) for attempts in range(6)] == [100, 200, 400, 800, 1000, 1000]


def test_a_wait_is_between_four_fifths_and_six_fifths_of_its_term() -> None:
    assert ExponentialBackoff(100, 1000, lambda: 0.0).backoff(1) == 160
    assert round(ExponentialBackoff(100, 1000, lambda: 0.999999).backoff(1)) == 240


def test_no_wait_is_longer_than_the_maximum_whatever_the_jitter() -> None:
    random = Random(1).random
    backoff = ExponentialBackoff(100, 1000, random)
    waits = [backoff.backoff(10) for _ in range(200)]
    assert max(waits) == 1000
    assert 800 <= min(waits) < 900


def test_where_there_is_nothing_to_double_there_is_no_jitter() -> None:
    backoff = ExponentialBackoff(300, 300, lambda: 0.0)
    assert [backoff.backoff(attempts) for attempts in range(3)] == [300, 300, 300]


def test_an_initial_wait_above_the_maximum_is_cut_down_to_it() -> None:
    assert ExponentialBackoff(5000, 1000, lambda: 0.0).backoff(0) == 1000
