"""Constraints on the points of a study: conditions over its axes, and over what else the scenario says.

A name is an axis's label, or a path of the scenario or its end, as long as only one path ends so: `acks`, `zombie.for`,
`orders.config.min.insync.replicas`. What is not varied has the scenario's value; a configuration key that nobody set has what Kafka makes
of it at the point itself, where acks=1 switches idempotence off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kafkasim.scenario import Scenario, as_text
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.axes import Axis, Value
from kafkasim.study.expressions import Comparison, Expression, Word, plain
from kafkasim.study.places import ends_with, said_values, values_by_path
from kafkasim.values import hint, nearest

_TEXTS = ("==", "!=", "in", "not in")


class MeaninglessError(ValueError):
    """A constraint that has no meaning at some point, as `acks < 2` where acks is `all`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class Constraint:
    """One condition, its names found among the axes and in the scenario. Make one with `bind`."""

    def __init__(self, text: str, where: str, expression: Expression, paths: Mapping[str, str], constants: Mapping[str, Value]) -> None:
        self.text = text
        self._where = where
        self._expression = expression
        self._paths = paths  # name in the text -> path; a word that is not there is a text
        self._constants = constants  # path -> value, of what no point changes

    def holds(self, changes: Mapping[str, Value], scenario_there: Callable[[], Scenario]) -> bool:
        """Whether a point meets it. `scenario_there` makes the point's scenario; it is asked only for Kafka's defaults.

        Raises MeaninglessError where values cannot be compared so, and ScenarioError where the scenario refuses the point.
        """

        def value_of(word: Word) -> Value:
            path = self._paths.get(word.text)
            if path is None:
                return word.text
            if changes.get(path) is not None:
                return changes[path]
            return self._constants[path] if path in self._constants else values_by_path(scenario_there()).get(path)

        try:
            return self._expression.holds(value_of)
        except ScenarioError:
            raise
        except ValueError as error:
            raise MeaninglessError(Problem(self._where, f"the constraint `{self.text}` {error}.")) from None


def bind(texts: Sequence[str], where: Sequence[str], axes: Sequence[Axis], scenario: Scenario) -> tuple[Constraint, ...]:
    """The constraints, ready to be asked. `where`: what errors call each. Raises ScenarioError with everything that is wrong."""
    names = _Names(axes, scenario)
    constraints, problems = list[Constraint](), list[Problem]()
    for text, place in zip(texts, where, strict=True):
        try:
            expression = Expression(text)
            constraints.append(Constraint(text, place, expression, names.paths_in(expression), names.constants))
        except ValueError as error:
            said = str(error)
            problems.append(Problem(place, f"the constraint `{text}` {said}{'' if said.endswith('?') else '.'}"))
    if problems:
        raise ScenarioError(problems)
    return tuple(constraints)


class _Names:
    """What a name in a constraint may mean."""

    def __init__(self, axes: Sequence[Axis], scenario: Scenario) -> None:
        self._by_label = {axis.label: axis.paths[0] for axis in axes}
        self._axes = {path: axis for axis in axes for path in axis.paths}
        self._values = values_by_path(scenario)
        outer = tuple(f"{path}." for path in self._axes)
        said = said_values(scenario)
        self.constants = {path: value for path, value in said.items() if path not in self._axes and not path.startswith(outer)}

    def paths_in(self, expression: Expression) -> dict[str, str]:
        """The path of each word that is a name. Raises ValueError for a word that is none and cannot be a text either."""
        paths = {word.text: path for word in expression.words if (path := self._path(word)) is not None}
        texts = list[Word]()
        for comparison in expression.comparisons():
            texts += self._texts_of(comparison, paths)
        stray = next((word for word in expression.words if word.text not in paths and word not in texts), None)
        if stray is not None:
            raise ValueError(f"names `{stray.text}` (character {stray.place}), which is nothing in this scenario{self._hint(stray.text)}")
        if not paths:
            raise ValueError("names nothing that is varied or that the scenario has")
        return paths

    def _path(self, word: Word) -> str | None:
        """The path that a word names: an axis's first of all."""
        if word.text in self._by_label:
            return self._by_label[word.text]
        for known in (self._axes, self._values):
            fitting = [path for path in known if ends_with(path, word.text)]
            if word.text in fitting:
                return word.text
            whole = [path for path in fitting if path.endswith(f".config.{word.text}")]
            fitting = whole or fitting
            if len(fitting) > 1:
                raise ValueError(f"names `{word.text}` (character {word.place}), which may be {' or '.join(fitting[:3])}; write more of it")
            if fitting:
                return fitting[0]
        return None

    def _texts_of(self, comparison: Comparison, paths: Mapping[str, str]) -> list[Word]:
        """The words of a comparison that may be texts: something beside them is a name, and they are asked for equality only."""
        timed = next((word for word in comparison.words if word.text in paths and self._is_time(paths[word.text])), None)
        if timed is not None and comparison.bare:
            number = f"{comparison.bare[0]:g}"
            raise ValueError(f"compares `{timed.text}`, a duration, with {number}, which has no unit; write {number}s or {number}ms")
        named = [paths[word.text] for word in (*comparison.words, *comparison.deeper) if word.text in paths]
        words = [word for word in comparison.words if word.text not in paths]
        if not named or not all(sign in _TEXTS for sign in comparison.signs):
            return []
        for word in words:
            self._check_level(word, named)
        return words

    def _is_time(self, path: str) -> bool:
        """Whether all its values are durations."""
        axis = self._axes.get(path)
        values = _values(axis, path) if axis is not None else [self._values.get(path)]
        return all(isinstance(value, str) and isinstance(plain(value), float) and value[-1:].isalpha() for value in values)

    def _check_level(self, word: Word, named: Sequence[str]) -> None:
        """A text beside axes that is spelled almost like one of their levels is a slip: it would drop every point or none."""
        axes = [self._axes[path] for path in named if path in self._axes]
        if len(axes) < len(named) or any(axis.span is not None for axis in axes):
            return
        levels = [value for axis, path in zip(axes, named, strict=True) for value in _values(axis, path)]
        if plain(word.text) not in [plain(value) for value in levels]:
            near = nearest(word.text, [*(as_text(value) for value in levels), *self._by_label])
            if near is not None:
                what = f"has `{word.text}` (character {word.place}), which is neither a path nor a level of {axes[0].label}"
                raise ValueError(f"{what}; did you mean `{near}`?")

    def _hint(self, name: str) -> str:
        near = nearest(name, [*self._by_label, *self._axes])
        if near is not None:
            return f"; did you mean `{near}`?"
        if (near := nearest(name, [path.rpartition(".config.")[2] for path in self._values])) is not None:
            return f"; did you mean `{near}`?"
        return hint(name, self._by_label)


def _values(axis: Axis, path: str) -> list[Value]:
    return [level[axis.paths.index(path)] for level in axis.levels]
