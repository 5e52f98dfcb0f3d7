"""Paths into a scenario, as `--set` and error messages write them: `producers.shop.config.retry.backoff.ms`, `faults.zombie.for`.

A path names producers by name, consumers by group and faults by `as` or index; inside, a location holds indices. Kafka's keys
have dots in them, so a path cannot simply be split: at each step the longest key that is there counts, and after `config.` or
`features.` the rest is one key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kafkasim.scenario_file import Location, Origins, Problem, ScenarioError
from kafkasim.values import hint, nearest

NAMED_BY = {"producers": "name", "consumers": "group", "faults": "as"}
_REST_IS_ONE_KEY = frozenset({"config", "features", "expect", "sometimes"})
_LINK = re.compile(r"(?P<link>.+?)(?:\.(?P<rest>latency\.ms|jitter\.ms))?")


def show(location: Location, data: object) -> str:
    """The location as a path, with the names that `data` has for its list items."""
    words: list[str] = []
    here: Any = data
    for index, step in enumerate(location):
        word = str(step)
        here = _inside(here, step)
        if index == 1 and isinstance(here, dict) and isinstance(named := here.get(NAMED_BY.get(str(location[0]), "")), str):
            word = named
        words.append(word)
    return ".".join(words)


def origin_of(location: Location, origins: Origins) -> str:
    """Where the value was said, or some part of it; for one that nobody gave, where the thing around it was."""
    inside = next((origin for known, origin in origins.items() if len(location) > 0 and known[: len(location)] == location), None)
    if location not in origins and inside is not None:
        return inside
    for length in range(len(location), -1, -1):
        if location[:length] in origins:
            return origins[location[:length]]
    return ""


def where(location: Location, data: object, origins: Origins) -> str:
    """`file:line: path`, as far as there is a file and a path."""
    return ": ".join(part for part in (origin_of(location, origins), show(location, data)) if part)


def locate(path: str, data: Mapping[str, Any], origin: str = "") -> Location:
    """The location that a path means in `data` (complete, with all defaults), or ScenarioError with the nearest right path."""
    location: Location = ()
    here: Any = data
    rest = path
    while rest:
        if location and location[-1] in _REST_IS_ONE_KEY:
            return (*location, rest)
        if location == ("network", "links"):
            match = _LINK.fullmatch(rest)
            assert match is not None, "the pattern takes any text"
            return (*location, match["link"], *([match["rest"]] if match["rest"] else []))
        step, rest = _step(here, rest, location, data, origin)
        here = _inside(here, step)
        location = (*location, step)
    if not location:
        raise ScenarioError([Problem(origin, "the path is empty; it is written like producers.shop.config.acks")])
    return location


def _step(here: object, rest: str, location: Location, data: Mapping[str, Any], origin: str) -> tuple[str | int, str]:
    """The next step of the path, and what is left of it."""
    words = _words(here, location)
    fitting = [word for word in words if rest == word or rest.startswith(f"{word}.")]
    if fitting:
        word = max(fitting, key=len)
        return words[word], rest[len(word) + 1 :]
    before = show(location, data)
    path = f"{before}.{rest}" if before else rest
    if not words:
        raise ScenarioError([Problem(origin, f"there is no `{path}`: `{before}` is a single value, with nothing inside")])
    readable = [word for word in words if not word.isdecimal()]
    first, dot, after = rest.partition(".")
    near = nearest(rest, readable)
    if near is None and (near := nearest(first, readable)) is not None:
        near += dot + after
    if near is None:
        raise ScenarioError([Problem(origin, f"there is no `{path}`{hint(rest, readable)}")])
    raise ScenarioError([Problem(origin, f"there is no `{path}`; did you mean `{f'{before}.' if before else ''}{near}`?")])


def _words(here: object, location: Location) -> dict[str, str | int]:
    """What the next word of a path may be, and the step each means. List items go by index and, where they have one, by name."""
    if isinstance(here, dict):
        return {key: key for key in here}
    if not isinstance(here, list | tuple):
        return {}
    words: dict[str, str | int] = {str(index): index for index in range(len(here))}
    key = NAMED_BY.get(str(location[-1]), "")
    words.update({item[key]: index for index, item in enumerate(here) if isinstance(item, dict) and item.get(key)})
    return words


def _inside(here: Any, step: str | int) -> Any:
    if isinstance(here, dict):
        return here.get(step)
    return here[step] if isinstance(here, list | tuple) and isinstance(step, int) and step < len(here) else None


def put(data: dict[str, Any], location: Location, value: Any) -> None:
    """Set the value in `data`, making what is missing around it; None takes the key away, so that its default counts again."""
    here: Any = data
    for step in location[:-1]:
        here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
    last = location[-1]
    if isinstance(here, list):
        assert isinstance(last, int), "a list has indices"
        here[last] = value
        return
    here.pop(last, None)  # the last word of two synonyms wins, so a changed value also moves to the end
    if value is not None:
        here[last] = value


def put_origin(origins: Origins, location: Location, origin: str) -> None:
    """Say that everything at and below the location now comes from `origin`."""
    for older in [older for older in origins if older[: len(location)] == location]:
        del origins[older]
    origins[location] = origin
