"""From axes, constraints and a design to a `Study`: its points counted, made, and those dropped that cannot be.

A point is dropped where a constraint is not met, or where the scenario refuses its configuration as Kafka would; each with a sentence. It
is an error if a level is refused wherever it occurs, if nothing is left, or if a design that needs all of its points loses one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from kafkasim.scenario import Scenario, as_text
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.axes import Axis, Point, Value
from kafkasim.study.constraints import Constraint, MeaninglessError
from kafkasim.study.designs import GRID, WHOLE, Design, GridPoints, SampledPoints, notes_on, points_of
from kafkasim.study.study import Dropped, Study, Until

MOST_RUNS = 1_000_000
_MOST_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What a study is to be, read and checked piece by piece. `where`: what the study as a whole is called in errors."""

    where: str
    name: str
    title: str
    scenario: Scenario
    axes: tuple[Axis, ...]
    axis_places: tuple[str, ...]  # what errors call each axis
    constraints: tuple[Constraint, ...]
    design: Design
    runs: int
    until: tuple[Until, ...] = ()
    measures: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sieve:
    """What is kept and dropped so far, and how each level fared. A level is (number of the axis, number of the level)."""

    kept: list[int] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    by_constraint: Counter[str] = field(default_factory=Counter)
    by_sentence: Counter[str] = field(default_factory=Counter)  # the scenario's
    tried: Counter[tuple[int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int]] = field(default_factory=Counter)


def plan(wish: Wish) -> Study:
    """The study with its points. Raises ScenarioError before anything is made if it would have too many runs."""
    _check_size(wish)
    points = points_of(wish.design, wish.axes)
    sieve = _Sieve()
    for index in range(len(points)):
        _sift(points, index, wish, sieve)
    _check_levels(wish, sieve)
    if not sieve.kept:
        raise ScenarioError([Problem(wish.where, _nothing_left(wish, sieve, len(points)))])
    if sieve.dropped and wish.design.kind in WHOLE:
        sentence = (
            f"{wish.design.kind} needs all of its {len(points)} points, and {len(sieve.dropped)} cannot be: {sieve.dropped[0].sentence}"
        )
        raise ScenarioError([Problem(wish.where, sentence)])
    design = wish.design
    return Study(
        name=wish.name,
        title=wish.title,
        scenario=wish.scenario,
        axes=wish.axes,
        points=points.only(sieve.kept) if sieve.dropped else points,
        dropped=tuple(sieve.dropped),
        runs=wish.runs,
        until=wish.until,
        design=design.kind,
        measures=wish.measures,
        samples=design.samples,
        design_seed=design.seed,
        where=tuple(constraint.text for constraint in wish.constraints),
        notes=(*notes_on(design, points), *_said(sieve, len(points))),
    )


def _check_size(wish: Wish) -> None:
    size = wish.design.size(wish.axes)
    if size * wish.runs <= MOST_RUNS:
        return
    what = "the grid" if wish.design.kind == GRID else f"the design {wish.design.kind}"
    runs = f"; with {wish.runs} runs each that is {_grouped(size * wish.runs)} runs" if wish.runs > 1 else ""
    out = ", or a design with a number of points: {sobol: 512} or {latin-hypercube: 500} (--design sobol --points 512)"
    sentence = f"{what} has {_grouped(size)} points{runs}, and the most is {_grouped(MOST_RUNS)} runs in all; take fewer levels"
    raise ScenarioError([Problem(wish.where, sentence + (out if wish.design.kind == GRID else ", fewer points or fewer runs") + ".")])


def _sift(points: GridPoints | SampledPoints, index: int, wish: Wish, sieve: _Sieve) -> None:
    """Keep the point or drop it: first by the constraints, which are quick, then by what the scenario says to it."""
    changes = points.changes(index)

    @cache
    def there() -> Scenario:
        return wish.scenario.with_(changes)

    levels = [(axis, level) for axis, level in enumerate(points.levels(index)) if level is not None]
    try:
        broken = next((constraint for constraint in wish.constraints if not constraint.holds(changes, there)), None)
        if broken is not None:
            sieve.by_constraint[broken.text] += 1
            sieve.dropped.append(Dropped(Point(index, changes), f"{_place(wish.axes, changes)}: does not meet `{broken.text}`."))
            return
        there()
    except MeaninglessError as error:
        raise ScenarioError([error.problem]) from None
    except ScenarioError as error:
        sentence = _one_sentence(error)
        sieve.by_sentence[sentence] += 1
        sieve.dropped.append(Dropped(Point(index, changes), f"{_place(wish.axes, changes)}: {sentence}"))
        sieve.tried.update(levels)
        sieve.refused.update(levels)
        return
    sieve.tried.update(levels)
    sieve.kept.append(index)


def _check_levels(wish: Wish, sieve: _Sieve) -> None:
    """A level that is refused at every point is a slip: nobody lists a level in order to never look at it."""
    suspects = [level for level, count in sieve.refused.items() if count == sieve.tried[level]]
    alone = {level: reason for level in suspects if (reason := _refused_alone(wish, level)) is not None}
    if not alone and (not suspects or not sieve.kept):
        return  # nothing is wrong, or everything is, and no level can be blamed for it
    by_reason: dict[tuple[int, str], list[str]] = {}
    for axis, level in alone or suspects:
        written = "&".join(as_text(value) for value in wish.axes[axis].levels[level])
        reason = alone.get((axis, level)) or next(each.sentence for each in sieve.dropped if _has_level(each.point, wish.axes[axis], level))
        by_reason.setdefault((axis, reason), []).append(f"`{written}`")
    raise ScenarioError([_blame(wish.axis_places[axis], levels, reason) for (axis, reason), levels in by_reason.items()][:_MOST_SENTENCES])


def _blame(where: str, levels: Sequence[str], reason: str) -> Problem:
    what = f"the level {levels[0]} is" if len(levels) == 1 else f"the levels {', '.join(levels[:_MOST_SENTENCES])} are"
    return Problem(where, f"{what} refused at every point: {reason}")


def _refused_alone(wish: Wish, level: tuple[int, int]) -> str | None:
    """What the scenario says to this level where nothing else is changed."""
    axis = wish.axes[level[0]]
    try:
        wish.scenario.with_(dict(zip(axis.paths, axis.levels[level[1]], strict=True)))
    except ScenarioError as error:
        return _one_sentence(error)
    return None


def _has_level(point: Point, axis: Axis, level: int) -> bool:
    return all(point.changes[path] == value for path, value in zip(axis.paths, axis.levels[level], strict=True))


def _nothing_left(wish: Wish, sieve: _Sieve, size: int) -> str:
    counts = {constraint.text: sieve.by_constraint[constraint.text] for constraint in wish.constraints}
    causes = [f"{count} of {size} do not meet `{text}`" for text, count in counts.items() if count]
    causes += [f"{count} of {size} are refused: {sentence[:-1]}" for sentence, count in sieve.by_sentence.most_common(1)]
    return f"no point is left: {'; '.join(causes)}."


def _said(sieve: _Sieve, size: int) -> list[str]:
    """What was dropped, by cause."""
    said = [f"{count} of {size} points do not meet `{text}`, and are left out." for text, count in sieve.by_constraint.items()]
    for sentence, count in sieve.by_sentence.most_common(_MOST_SENTENCES):
        said.append(f"{count} of {size} points {'are' if count > 1 else 'is'} no valid configuration, and left out: {sentence}")
    return said


def _place(axes: Sequence[Axis], changes: Mapping[str, Value]) -> str:
    return ", ".join(f"{axis.label}={as_text(changes[axis.paths[0]])}" for axis in axes)


def _one_sentence(error: ScenarioError) -> str:
    """The first complaint, and where it is about; the origin is the study itself, so it is left out."""
    first = error.problems[0]
    where = first.where.removeprefix("--set").removeprefix(": ")
    return f"{where}: {first.sentence}" if where else first.sentence


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
