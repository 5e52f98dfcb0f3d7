"""From what is to be varied, as people write it, to the axes of one scenario: `--vary KEY=LEVELS`, or the axes of a study file.

    --vary producers.shop.config.acks=1,all
    --vary faults.zombie.for=1s..9s/2s
    --vary 'cluster.config.broker.session.timeout.ms&cluster.config.broker.heartbeat.interval.ms=3000&500,9000&2000'

A key is a path of the scenario, as `--set` takes it. Keys joined by `&` move together, and so are the values of each level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kafkasim.scenario import Scenario, as_text
from kafkasim.scenario_file import Location, Problem, ScenarioError, parse_scalar
from kafkasim.scenario_paths import NAMED_BY, locate, show
from kafkasim.study.axes import Axis, Span, Value
from kafkasim.study.expressions import plain
from kafkasim.study.places import suggestion, values_by_path
from kafkasim.study.ranges import make_range, parse_levels, rounded, split_outside
from kafkasim.values import hint

_NO_AXIS: Mapping[str, str] = {
    "seed": "seeds are what the runs of a point differ in; ask for more of them with runs",
    "name": "a name changes nothing that happens",
    "title": "a title changes nothing that happens",
    "expect": "an expectation changes nothing that happens",
    "sometimes": "an expectation changes nothing that happens",
}
_RANGE_KEYS = ("from", "to", "step", "points", "scale")
_WORDS_OF_A_FAULT = 3  # faults, its name, its key: so that `zombie.for` says whose


@dataclass(frozen=True, slots=True)
class Draft:
    """An axis as written: nothing about it has been compared with a scenario yet. `where` begins what is said about it."""

    where: str
    keys: tuple[str, ...]
    levels: tuple[tuple[Value, ...], ...]
    span: Span | None = None


def parse_vary(text: str, bare: bool = False) -> Draft:
    """`KEY=a,b,c`, `KEY=LOW..HIGH/STEP`, `KEY1&KEY2=a&b,c&d`. Raises ScenarioError. `bare`: a range may stand without steps."""
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key:
        example = "for example producers.shop.config.acks=1,all or faults.0.for=1s..9s/2s"
        raise ScenarioError([Problem(text, f"is no axis; one is written PATH=VALUES, {example}")])
    where = f"--vary {key}"
    try:
        if "&" in key:
            return _zipped_text(where, tuple(each.strip() for each in key.split("&")), written)
        levels, span = parse_levels(written, bare)
    except ValueError as error:
        raise ScenarioError([Problem(where, sentence(error))]) from None
    return Draft(where, (key,), tuple((value,) for value in levels), span)


def _zipped_text(where: str, keys: tuple[str, ...], written: str) -> Draft:
    levels = []
    for item in split_outside(written, ","):
        values = split_outside(item, "&")
        if len(values) != len(keys):
            raise ValueError(f"`{item}` gives {len(values)} values to {len(keys)} paths; a level is written a&b")
        levels.append(tuple(parse_scalar(value) for value in values))
    return Draft(where, keys, tuple(levels))


def draft_of(where: str, key: str, written: object, bare: bool = False) -> Draft:
    """An axis of a study file or of Python: a list of values, the text of `--vary`, a mapping with from and to, or one value."""
    try:
        if isinstance(written, str):
            levels, span = parse_levels(written, bare)
        elif isinstance(written, list | tuple):
            levels, span = list(written), None
        elif isinstance(written, Mapping):
            levels, span = _range_of(written, bare)
        else:
            levels, span = [] if written is None else [written], None
        if not levels:
            raise ValueError("has no levels")
    except ValueError as error:
        raise ScenarioError([Problem(where, sentence(error))]) from None
    return Draft(where, (key,), tuple((value,) for value in levels), span)


def zipped_draft(where: str, columns: Mapping[str, object]) -> Draft:
    """An axis whose paths move together: lists of equal length, one a path (or texts of values and ranges)."""
    problems, drafts = list[Problem](), list[Draft]()
    for key, written in columns.items():
        try:
            drafts.append(draft_of(f"{where}.{key}", key, written))
        except ScenarioError as error:
            problems += error.problems
    lengths = {draft.keys[0]: len(draft.levels) for draft in drafts}
    if not problems and not drafts:
        problems.append(Problem(where, "names no path."))
    if not problems and len(dict.fromkeys(lengths.values())) > 1:
        said = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        problems.append(Problem(where, f"paths that move together have equally many values; {said}."))
    if problems:
        raise ScenarioError(problems)
    levels = tuple(tuple(draft.levels[index][0] for draft in drafts) for index in range(len(drafts[0].levels)))
    return Draft(where, tuple(lengths), levels)


def _range_of(written: Mapping[Any, Any], bare: bool) -> tuple[list[Value], Span]:
    for key in written:
        if key not in _RANGE_KEYS:
            raise ValueError(f"unknown key `{key}`{hint(str(key), _RANGE_KEYS)}")
    for key in ("from", "to"):
        if written.get(key) is None:
            raise ValueError(f"`{key}` is missing; a range is {{from: 0, to: 100, points: 11}}, or with step: 10")
    scale, count = written.get("scale", "linear"), written.get("points")
    if scale not in ("linear", "log"):
        raise ValueError(f"scale: `{scale}` is neither linear nor log")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
        raise ValueError(f"points: `{count}` is not a number of levels")
    return make_range(written["from"], written["to"], written.get("step"), count, scale, bare)


# ---------------------------------------------------------------------------------------------------- in one scenario


def axes_in(drafts: Iterable[Draft], scenario: Scenario) -> tuple[Axis, ...]:
    """The axes, their paths found in the scenario and written in one way, with labels. Raises ScenarioError with all that is wrong."""
    complete = scenario.model_dump(mode="json", by_alias=True)
    problems, found = list[Problem](), list[tuple[Draft, list[Location]]]()
    taken: dict[Location, str] = {}
    for draft in drafts:
        locations = []
        for key in draft.keys:
            try:
                location = locate(key, complete, draft.where)
            except ScenarioError as error:
                near = suggestion(key, values_by_path(scenario))
                better = [Problem(draft.where, f"there is no `{key}`; did you mean `{near}`?")]
                problems += error.problems if near is None else better
                continue
            locations.append(location)
            problems += [Problem(draft.where, sentence) for sentence in _clashes(key, location, taken)]
            taken.setdefault(location, key)
        problems += [Problem(draft.where, sentence) for sentence in _twice(draft)]
        found.append((draft, locations))
    if problems:
        raise ScenarioError(problems)
    found = [(_with_whole_numbers(draft, scenario), locations) for draft, locations in found]
    paths = [tuple(show(location, complete) for location in locations) for _, locations in found]
    labels = _labels([_words(locations[0], complete) for _, locations in found])
    return tuple(Axis(paths[index], draft.levels, labels[index], draft.span) for index, (draft, _) in enumerate(found))


def _with_whole_numbers(draft: Draft, scenario: Scenario) -> Draft:
    """An even range whose inner levels are fractions, over a key that takes none: its levels are rounded."""
    fraction = next((level[0] for level in draft.levels if isinstance(level[0], float) and not level[0].is_integer()), None)
    if fraction is None or draft.span is None or not (draft.span.low.is_integer() and draft.span.high.is_integer()):
        return draft
    try:
        scenario.with_({draft.keys[0]: fraction})
    except ScenarioError:
        levels = rounded([level[0] for level in draft.levels])
        return replace(draft, levels=tuple((level,) for level in levels), span=replace(draft.span, whole=True))
    return draft


def _clashes(key: str, location: Location, taken: Mapping[Location, str]) -> Iterable[str]:
    """What is wrong with varying this path beside those that are varied already."""
    if (reason := _NO_AXIS.get(str(location[0]))) is not None and (len(location) == 1 or location[0] in {"expect", "sometimes"}):
        yield f"`{key}` is no axis: {reason}."
    for other, name in taken.items():
        if other == location:
            yield f"`{key}` is varied twice" + (f": `{name}` is the same." if name != key else ".")
        elif other[: len(location)] == location or location[: len(other)] == other:
            outer, inner = (key, name) if len(location) < len(other) else (name, key)
            yield f"`{inner}` is a part of `{outer}`, and both are varied; one of them decides."


def _twice(draft: Draft) -> Iterable[str]:
    seen: dict[str, None] = {}
    for level in draft.levels:
        meaning = repr([plain(value) for value in level])
        if meaning in seen:
            yield f"the level `{'&'.join(as_text(value) for value in level)}` stands twice."
            return
        seen[meaning] = None


def _words(location: Location, complete: Mapping[str, Any]) -> list[str]:
    """The steps of a path with the names of its list items; `config` says nothing that Kafka's key does not."""
    shown: list[str] = []
    here: Any = complete
    for index, step in enumerate(location):
        here = here.get(step) if isinstance(here, dict) else here[step] if isinstance(step, int) and step < len(here) else None
        name = here.get(NAMED_BY.get(str(location[0]), "")) if index == 1 and isinstance(here, dict) else None
        shown.append(name if isinstance(name, str) else str(step))
    return [word for word in shown if word != "config"] if shown[-1] != "config" else shown


def _labels(paths: Sequence[list[str]]) -> list[str]:
    """The shortest ends of the paths that tell them apart; a fault's key has its fault before it."""
    lengths = [2 if words[0] == "faults" and len(words) >= _WORDS_OF_A_FAULT else 1 for words in paths]
    while True:
        labels = [".".join(words[-length:]) for words, length in zip(paths, lengths, strict=True)]
        short = [index for index, label in enumerate(labels) if labels.count(label) > 1 and lengths[index] < len(paths[index])]
        if not short:
            return labels
        for index in short:
            lengths[index] += 1


def sentence(error: ValueError) -> str:
    """What an error says, with its full stop."""
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."
