import pytest

from kafkasim.intervals import bootstrap_mean, paired_difference, rule_of_three, wilson


def test_wilson_agrees_with_the_textbook():
    interval = wilson(5, 50)
    assert (interval.estimate, round(interval.low, 4), round(interval.high, 4)) == (0.1, 0.0435, 0.2136)


def test_zero_of_n_may_still_be_three_in_n():
    assert rule_of_three(100) == pytest.approx(0.03, rel=0.01)
    assert (wilson(0, 100).low, wilson(0, 100).high) == (0.0, rule_of_three(100))
    assert (wilson(100, 100).low, wilson(100, 100).high) == (1 - rule_of_three(100), 1.0)
    assert wilson(0, 1).high == 1.0


@pytest.mark.parametrize(("hits", "runs"), [(0, 0), (3, 2), (-1, 5)])
def test_what_is_no_share_is_refused(hits, runs):
    with pytest.raises(ValueError, match="is no share"):
        wilson(hits, runs)


def test_a_bootstrap_is_the_same_each_time_and_holds_the_mean():
    first, second = (bootstrap_mean([0, 0, 3, 1, 0, 8, 0, 2]) for _ in range(2))
    assert first == second
    assert first.low < first.estimate == 1.75 < first.high
    assert bootstrap_mean([0, 0, 3, 1, 0, 8, 0, 2], seed=7) != first


def test_runs_that_agree_leave_no_interval():
    assert bootstrap_mean([4.0, 4.0, 4.0]).high == 4.0


def test_pairs_cancel_what_they_share():
    noisy = [10.0, 200.0, 3000.0, 40.0]
    difference = paired_difference(noisy, [value + 1 for value in noisy])
    assert (difference.low, difference.estimate, difference.high) == (1.0, 1.0, 1.0)
