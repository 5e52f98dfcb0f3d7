"""How sure a number is, after so many runs. The unit of replication is the run, never the record.

One failover loses or repeats whole batches, so the records of a run share their fate: a binomial interval over records would be far
too narrow. What is independent is run and run (seed and seed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the interval that holds the truth with the confidence asked for."""

    estimate: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}


def wilson(hits: int, runs: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for the share of runs in which something happened; `runs` > 0.

    Where it happened in no run (or in all), the rule of three takes its place: after n runs without it, the share may still be 3/n.
    """
    if not 0 <= hits <= runs or runs == 0:
        raise ValueError(f"{hits} of {runs} runs is no share")
    if hits in (0, runs):
        reach = rule_of_three(runs, confidence)
        return Interval(0.0, 0.0, reach) if hits == 0 else Interval(1.0, 1.0 - reach, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / runs
    centre = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return Interval(share, centre - half, centre + half)


def rule_of_three(runs: int, confidence: float = 0.95) -> float:
    """How often something may still happen that was seen in none of `runs`: -ln(1 - confidence) / n, that is 3/n at 95 %."""
    return min(1.0, float(-np.log(1 - confidence)) / runs)


def bootstrap_mean(values: Sequence[float], seed: int = 0, confidence: float = 0.95) -> Interval:
    """The mean over runs with its percentile bootstrap interval (runs drawn with replacement). Same values and seed, same interval."""
    if not values:
        raise ValueError("no runs, no mean")
    sample = np.asarray(values, np.float64)
    mean = float(sample.mean())
    if len(sample) == 1 or np.ptp(sample) == 0:
        return Interval(mean, mean, mean)
    draws = np.random.default_rng(seed).integers(0, len(sample), (RESAMPLES, len(sample)))
    low, high = np.quantile(sample[draws].mean(axis=1), ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(mean, float(low), float(high))


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0, confidence: float = 0.95) -> Interval:
    """Mean of second - first, run by run with the same seed (common random numbers): what the two share cancels out."""
    return bootstrap_mean([b - a for a, b in zip(first, second, strict=True)], seed, confidence)
