"""Which points of a study's space are looked at.

    grid              every combination of levels, the last axis fastest
    random            N points, drawn evenly
    latin-hypercube   N points; each of N even slices of each axis has exactly one
    sobol             N points of a scrambled Sobol' sequence: more even than random ones; N is rounded up to a power of two
    saltelli          N base samples, N * (axes + 2) points, from which Sobol' indices are estimated
    morris            N trajectories, N * (axes + 1) points, each a step along one axis from the one before

All but the grid take points of the unit cube, one edge an axis. On a range an edge is the range itself, even on its scale; an axis of
levels divides its edge evenly among them, so points of such designs can be equal. They need scipy, and saltelli and morris SALib: the
extra `sweep`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.axes import Axis, Point, Value
from kafkasim.study.ranges import inside
from kafkasim.study.study import Study
from kafkasim.values import hint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = "grid"
SAMPLED: Sequence[str] = ("random", "latin-hypercube", "sobol", "saltelli", "morris")
WHOLE: Sequence[str] = ("saltelli", "morris")  # designs whose estimates need every point
_MORRIS_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Design:
    """A kind of design, how many samples were asked for (0 for a grid), and the seed of its own dice."""

    kind: str = GRID
    samples: int = 0
    seed: int = 1

    def size(self, axes: Sequence[Axis]) -> int:
        """How many points it has over these axes, before any is dropped; nothing is made to know it."""
        if self.kind == GRID:
            return math.prod(len(axis.levels) for axis in axes)
        if self.kind == "sobol":
            return _power_of_two(self.samples)
        if self.kind == "saltelli":
            return _power_of_two(self.samples) * (len(axes) + 2)
        return self.samples * (len(axes) + 1) if self.kind == "morris" else self.samples


def parse_design(kind: str, samples: object = None, seed: object = None) -> Design:
    """A design by its name, its number of samples and its seed. Raises ValueError with one sentence."""
    if kind != GRID and kind not in SAMPLED:
        raise ValueError(f"`{kind}` is not a design{hint(kind, (GRID, *SAMPLED))}")
    if kind == GRID:
        if samples is not None:
            raise ValueError(f"a grid has as many points as its levels make; a number of points belongs to {', '.join(SAMPLED)}")
        return Design()
    if samples is None:
        raise ValueError(f"`{kind}` needs a number of points, for example {{{kind}: 64}}, or --design {kind} --points 64")
    least = 2 if kind in WHOLE else 1
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < least:
        raise ValueError(f"`{samples}` is not a number of points; {kind} takes a whole number from {least} on")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise ValueError(f"`{seed}` is not a seed; it is a whole number from 0 on")
    return Design(kind, samples, 1 if seed is None else seed)


# ---------------------------------------------------------------------------------------------------- points


class _Points(Sequence[Point]):
    """Points that are made when they are looked at. A subclass says how many there are and what each changes."""

    def changes(self, index: int) -> dict[str, Value]:
        """What leads from the scenario to the point of that number."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        """One point, or several; an index from 0, or from the end if it is negative."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} points, and none of number {index}")
        return Point(number, self.changes(number))


@dataclass(frozen=True, eq=False)
class GridPoints(_Points):
    """Some combinations of levels, by their number in the whole grid: digits in mixed radix, the last axis fastest."""

    axes: tuple[Axis, ...]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def changes(self, index: int) -> dict[str, Value]:
        """What leads from the scenario to the point of that number."""
        return _at_levels(self.axes, self.levels(index))

    def levels(self, index: int) -> tuple[int, ...]:
        """The number of the level on each axis."""
        rest, digits = self.numbers[index], list[int]()
        for axis in reversed(self.axes):
            rest, digit = divmod(rest, len(axis.levels))
            digits.append(digit)
        return tuple(reversed(digits))

    def only(self, kept: Sequence[int]) -> GridPoints:
        """Those of its points, numbered anew."""
        return GridPoints(self.axes, tuple(self.numbers[index] for index in kept))


@dataclass(frozen=True, eq=False)
class SampledPoints(_Points):
    """Points of the unit cube: `unit[i][j]`, from 0 to 1, is the place of point i on axis j."""

    axes: tuple[Axis, ...]
    unit: tuple[tuple[float, ...], ...]

    def __len__(self) -> int:
        return len(self.unit)

    def changes(self, index: int) -> dict[str, Value]:
        """What leads from the scenario to the point of that number."""
        found: dict[str, Value] = {}
        for axis, place in zip(self.axes, self.unit[index], strict=True):
            found |= {axis.paths[0]: inside(axis.span, place)} if axis.span is not None else _at_levels([axis], [_level(axis, place)])
        return found

    def levels(self, index: int) -> tuple[int | None, ...]:
        """The number of the level on each axis; None on a range, which has any value."""
        return tuple(None if axis.span else _level(axis, place) for axis, place in zip(self.axes, self.unit[index], strict=True))

    def only(self, kept: Sequence[int]) -> SampledPoints:
        """Those of its points, numbered anew."""
        return SampledPoints(self.axes, tuple(self.unit[index] for index in kept))


def points_of(design: Design, axes: tuple[Axis, ...]) -> GridPoints | SampledPoints:
    """All points of the design. Raises ScenarioError where a library is missing that it needs, or nothing can be screened."""
    if design.kind == GRID:
        return GridPoints(axes, range(design.size(axes)))
    if design.kind in WHOLE:
        single = [Problem(axis.label, f"{design.kind} needs at least two levels of each axis.") for axis in axes if len(axis.levels) == 1]
        if single:
            raise ScenarioError(single)
    try:
        unit = _unit_cube(design, axes)
    except ImportError:
        raise ScenarioError([Problem(f"design {design.kind}", "needs the extra `sweep`: pip install 'kafkasim[sweep]'")]) from None
    return SampledPoints(axes, tuple(tuple(float(place) for place in row) for row in unit))


def notes_on(design: Design, points: GridPoints | SampledPoints) -> list[str]:
    """What is worth saying of how the design came out."""
    said = []
    if design.kind in {"sobol", "saltelli"} and (size := _power_of_two(design.samples)) != design.samples:
        said.append(f"a Sobol' sequence is even at powers of two, so {design.samples} became {size}.")
    if isinstance(points, SampledPoints):
        seen = dict.fromkeys(repr(points.changes(index)) for index in range(len(points)))
        if len(seen) < len(points):
            said.append(f"{len(points) - len(seen)} of {len(points)} points are equal to an earlier one; they are run like all others.")
    return said


def _unit_cube(design: Design, axes: Sequence[Axis]) -> NDArray[np.float64]:
    import numpy as np

    samples, edges = design.samples, len(axes)
    if design.kind == "random":
        return np.random.default_rng(design.seed).random((samples, edges))
    from scipy.stats import qmc

    if design.kind == "latin-hypercube":
        drawn: NDArray[np.float64] = qmc.LatinHypercube(d=edges, seed=design.seed).random(samples)
    elif design.kind == "sobol":
        drawn = qmc.Sobol(d=edges, scramble=True, seed=design.seed).random(_power_of_two(samples))
    else:
        drawn = _salib_sample(design, axes)
    return drawn


def _salib_sample(design: Design, axes: Sequence[Axis]) -> NDArray[np.float64]:
    """The sample as SALib draws it, so that its own analysis reads the outcomes in the order it expects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SALib warns of its own use of pandas
        from SALib.sample import morris
        from SALib.sample import sobol as saltelli

        problem = salib_problem(axes)
        if design.kind == "saltelli":
            drawn: NDArray[np.float64] = saltelli.sample(problem, _power_of_two(design.samples), calc_second_order=False, seed=design.seed)
        else:
            drawn = morris.sample(problem, design.samples, num_levels=_MORRIS_LEVELS, seed=design.seed)
    return drawn


# ---------------------------------------------------------------------------------------------------- what analyses need


def salib_problem(axes: Sequence[Axis]) -> dict[str, Any]:
    """The axes as SALib's `problem`: on the unit cube, where each has the same weight whatever its unit."""
    return {"num_vars": len(axes), "names": [axis.label for axis in axes], "bounds": [[0.0, 1.0] for _ in axes]}


def unit_matrix(study: Study) -> NDArray[np.float64]:
    """The places of a study's points in the unit cube: float64, (points, axes). In a grid, the middle of each level's share.

    For `saltelli` and `morris` it is the matrix that SALib drew, row by row.
    """
    import numpy as np

    points = study.points
    if isinstance(points, SampledPoints):
        return np.array(points.unit, dtype=np.float64).reshape(len(points), len(study.axes))
    assert isinstance(points, GridPoints), "points are planned by planning.py"
    counts = np.array([len(axis.levels) for axis in study.axes])
    levels = np.array([points.levels(index) for index in range(len(points))], dtype=np.float64).reshape(len(points), len(counts))
    middle: NDArray[np.float64] = (levels + 0.5) / counts
    return middle


def _at_levels(axes: Iterable[Axis], levels: Iterable[int]) -> dict[str, Value]:
    return {
        path: value for axis, level in zip(axes, levels, strict=True) for path, value in zip(axis.paths, axis.levels[level], strict=True)
    }


def _level(axis: Axis, place: float) -> int:
    """The level whose share of the edge holds the place. A little is added, for 1/3 of three levels is the second."""
    return min(int(place * len(axis.levels) + 1e-9), len(axis.levels) - 1)


def _power_of_two(samples: int) -> int:
    return 1 << max(samples - 1, 0).bit_length()
