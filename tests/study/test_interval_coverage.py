"""How often an interval holds the truth, by itself: over samples of known distributions, and over every share there can be."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from kafkasim.intervals import RESAMPLES, bootstrap_mean, student_t, wilson

Sampler = Callable[[np.random.Generator, int], np.ndarray]
RUNS, REPETITIONS = 20, 2000

# What a run may show: how to draw it, its true mean, and the least coverage of 2000 repetitions (nominal .95, standard error .005).
KNOWN: dict[str, tuple[Sampler, float, float]] = {
    "normal": (lambda dice, n: dice.normal(5, 1, n), 5, 0.93),
    "uniform": (lambda dice, n: dice.uniform(0, 1, n), 0.5, 0.93),
    "Poisson of mean 1": (lambda dice, n: dice.poisson(1, n), 1, 0.93),
    "half of the runs 0": (lambda dice, n: dice.uniform(0, 1, n) * (dice.random(n) < 0.5), 0.25, 0.93),
    "exponential": (lambda dice, n: dice.exponential(1, n), 1, 0.91),
    "four of five runs 0": (lambda dice, n: dice.uniform(0, 1, n) * (dice.random(n) < 0.2), 0.1, 0.9),
}


def percentile(values: list[float], dice: np.random.Generator) -> tuple[float, float]:
    """The interval that everybody writes first."""
    sample = np.asarray(values)
    low, high = np.quantile(sample[dice.integers(0, len(sample), (RESAMPLES, len(sample)))].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize("name", KNOWN)
def test_the_bootstrap_of_20_runs_holds_the_mean_as_often_as_it_says_and_plain_percentiles_do_so_less(name: str) -> None:
    sampler, mean, least = KNOWN[name]
    dice, ours, plain = np.random.default_rng(1), 0, 0
    for _ in range(REPETITIONS):
        values = sampler(dice, RUNS).tolist()
        interval, (low, high) = bootstrap_mean(values), percentile(values, dice)
        ours += interval.low <= mean <= interval.high
        plain += low <= mean <= high
    print(f"{name}: {ours / REPETITIONS:.3f} ({plain / REPETITIONS:.3f} by percentiles)")
    assert ours / REPETITIONS >= least
    assert plain < ours


def test_the_bootstrap_is_that_of_scipy_but_for_student() -> None:
    sample = np.random.default_rng(0).exponential(1, 300)  # so many runs that Student's t is the normal distribution
    ours = bootstrap_mean(sample.tolist())
    theirs = stats.bootstrap((sample,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize("freedom", [4, 9, 19, 99])
def test_students_t_needs_no_scipy(freedom: int) -> None:
    for probability in (0.9, 0.975, 0.995):
        assert student_t(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=0.003)


def shares_coverage(runs: int, share: float) -> float:
    """How likely the interval of the share holds it: exactly, a sum over every number of runs that the event can befall."""
    held = (interval.low <= share <= interval.high for interval in (wilson(hits, runs) for hits in range(runs + 1)))
    return sum(float(stats.binom.pmf(hits, runs, share)) for hits, holds in enumerate(held) if holds)


@pytest.mark.parametrize("runs", [10, 20, 50, 100, 200])
def test_wilsons_interval_holds_a_share_95_of_100_times_on_average_and_seldom_far_less(runs: int) -> None:
    coverage = [shares_coverage(runs, share) for share in np.arange(0.005, 1, 0.005)]
    print(f"{runs} runs: mean {np.mean(coverage):.3f}, least {min(coverage):.3f}")
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.015)
    assert min(coverage) > 0.85  # a share is discrete, so its coverage jumps; Wald's textbook interval falls to 0 near the ends


@pytest.mark.parametrize("runs", [10, 20, 100])
def test_the_rule_of_three_holds_whatever_was_never_seen(runs: int) -> None:
    """The greatest share that is outside the interval of 0 hits shows 0 hits less than once in twenty."""
    outside = wilson(0, runs).high + 1e-9
    assert (1 - outside) ** runs < 0.05
    assert (1 - outside) ** runs == pytest.approx(0.05, abs=0.025)


def test_walds_interval_is_not_used_because_it_covers_nothing_near_zero() -> None:
    def wald_coverage(runs: int, share: float) -> float:
        def holds(hits: int) -> bool:
            seen = hits / runs
            return abs(seen - share) <= 1.96 * math.sqrt(seen * (1 - seen) / runs)

        return sum(float(stats.binom.pmf(hits, runs, share)) for hits in range(runs + 1) if holds(hits))

    assert wald_coverage(20, 0.02) < 0.4
    assert shares_coverage(20, 0.02) > 0.9
