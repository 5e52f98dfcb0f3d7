"""Which axes matter: Sobol' indices out of a `saltelli` design, Morris' elementary effects out of a `morris` design.

Both take one outcome a point, the mean over its runs. What chance leaves in these means counts as if it came from the axes acting
together, so a study with few runs a point overstates total indices and sigma.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from kafkasim.intervals import Interval, bootstrap_mean
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.statistics import means
from kafkasim.study.table import StudyTable

Numbers = npt.NDArray[np.float64]
_RESAMPLES = 1000
_SEED = 1  # SALib takes 0 for none
_SAME_PLACE = 1e-9


@dataclass(frozen=True, slots=True)
class SobolIndex:
    """What share of the outcome's variance comes from one axis: `first` by itself, `total` also together with others.

    The intervals (SALib's bootstrap over base samples) may reach below 0 or above 1, where an estimate is that uncertain.
    """

    label: str
    first: Interval
    total: Interval


@dataclass(frozen=True, slots=True)
class MorrisEffect:
    """What a step along one axis does to the outcome, scaled to a step across the whole axis, over all trajectories.

    `mu_star`: mean size, with a bootstrap interval over trajectories. `mu`: mean with its sign. `sigma`: standard deviation; large beside
    mu_star where the axis acts unevenly or together with others.
    """

    label: str
    mu_star: Interval
    mu: float
    sigma: float
    effects: int  # how many steps along this axis there were


def sobol_of(table: StudyTable, measure: str) -> tuple[SobolIndex, ...]:
    """Sobol' indices of a study whose design is `saltelli`, one an axis, for the mean of the measure (of an event: the share of runs)."""
    return sobol_indices(_outcomes(table, measure), [axis.label for axis in table.axes])


def morris_of(table: StudyTable, unit: Numbers, measure: str) -> tuple[MorrisEffect, ...]:
    """Elementary effects of a study whose design is `morris`. `unit`: its points in the unit cube, as designs.unit_matrix gives them."""
    return morris_effects(unit, _outcomes(table, measure), [axis.label for axis in table.axes])


def sobol_indices(values: Numbers, labels: Sequence[str], confidence: float = 0.95) -> tuple[SobolIndex, ...]:
    """First-order and total indices (Saltelli 2010, Jansen 1999, by SALib), one a label. Deterministic.

    `values`: float64, (n * (d + 2),), for d labels and n base samples in SALib's order without second order: of each base sample the
    outcome of A, of A with the first coordinate of B, … with the last, and of B. Raises ScenarioError where nothing can be said.
    """
    axes = len(labels)
    outcomes = np.asarray(values, np.float64)
    _refuse(outcomes)
    if len(outcomes) % (axes + 2) or len(outcomes) < 2 * (axes + 2):
        raise _cannot(
            f"a saltelli design over {axes} axes has two or more times {axes + 2} points, and there are {len(outcomes)}: "
            "it is another design, or some points were dropped"
        )
    problem = {"num_vars": axes, "names": list(labels), "bounds": [[0.0, 1.0]] * axes}
    options: dict[str, Any] = {"calc_second_order": False, "num_resamples": _RESAMPLES, "conf_level": confidence, "seed": _SEED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SALib warns of its own use of pandas
        found = _salib("SALib.analyze.sobol").analyze(problem, outcomes, **options)
    first, total = (
        [
            Interval(float(index), float(index - half), float(index + half))
            for index, half in zip(found[name], found[f"{name}_conf"], strict=True)
        ]
        for name in ("S1", "ST")
    )
    return tuple(SobolIndex(*index) for index in zip(labels, first, total, strict=True))


def morris_effects(unit: Numbers, values: Numbers, labels: Sequence[str], confidence: float = 0.95) -> tuple[MorrisEffect, ...]:
    """Elementary effects (Morris 1991; mu* of Campolongo 2007), one a label. Deterministic.

    `unit`: float64, (r * (d + 1), d), the points of r trajectories in the unit cube, each one step along one axis from the one before.
    `values`: float64, (r * (d + 1),), their outcomes. Raises ScenarioError where nothing can be said.
    """
    axes = len(labels)
    places, outcomes = np.asarray(unit, np.float64), np.asarray(values, np.float64)
    _refuse(outcomes)
    if places.shape != (len(outcomes), axes) or len(outcomes) % (axes + 1) or len(outcomes) < 2 * (axes + 1):
        raise _cannot(
            f"a morris design over {axes} axes has two or more times {axes + 1} points, and there are {len(outcomes)}: "
            "it is another design, or some points were dropped"
        )
    steps = np.diff(places.reshape(-1, axes + 1, axes), axis=1)  # (trajectories, steps, axes)
    moved = np.abs(steps) > _SAME_PLACE
    if not (moved.sum(axis=2) == 1).all() or not (moved.sum(axis=1) == 1).all():
        raise _cannot("these points are no morris design: each trajectory takes one step along each axis, one after another")
    rises = np.diff(outcomes.reshape(-1, axes + 1), axis=1)  # (trajectories, steps)
    along = moved.argmax(axis=1)  # which step of a trajectory goes along each axis: (trajectories, axes)
    lengths = np.take_along_axis(steps, along[:, None, :], axis=1)[:, 0, :]
    effects = np.take_along_axis(rises, along, axis=1) / lengths  # (trajectories, axes)
    return tuple(_morris_effect(label, column, confidence) for label, column in zip(labels, effects.T, strict=True))


def _morris_effect(label: str, effects: Numbers, confidence: float) -> MorrisEffect:
    size = bootstrap_mean(np.abs(effects).tolist(), _SEED, confidence)
    return MorrisEffect(label, size, float(effects.mean()), float(effects.std(ddof=1)), len(effects))


def _outcomes(table: StudyTable, measure: str) -> Numbers:
    """One outcome a point, all of them: these designs have no use for a part of their points."""
    outcomes = means(table, measure)
    empty = np.flatnonzero(np.isnan(outcomes))
    if len(empty):
        first = int(empty[0])
        why = "has no run yet" if table.runs[first] == 0 else f"has no run with a number for `{measure}`"
        more = (
            ""
            if len(empty) == 1
            else f", nor have {len(empty) - 1} other points"
            if table.runs[first]
            else f", like {len(empty) - 1} others"
        )
        raise _cannot(f"point {first} {why}{more}; every point of the design is needed")
    return outcomes


def _refuse(outcomes: Numbers) -> None:
    if not np.isfinite(outcomes).all():
        raise _cannot("an outcome is not a number; every point of the design is needed")
    if len(outcomes) and np.ptp(outcomes) == 0:
        raise _cannot(f"every point has the same outcome ({outcomes[0]:g}), so no axis can be told from another")


def _cannot(sentence: str) -> ScenarioError:
    return ScenarioError([Problem("sensitivity", sentence)])


def _salib(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        raise _cannot("Sobol' indices need the extra `sweep`: pip install 'kafkasim[sweep]'") from None
