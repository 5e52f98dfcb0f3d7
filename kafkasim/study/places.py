"""Every path of a scenario with its value: what was given, our own defaults, and Kafka's for configuration keys that nobody set."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from kafkasim.scenario import Scenario
from kafkasim.scenario_paths import NAMED_BY
from kafkasim.study.axes import Value
from kafkasim.values import nearest


def values_by_path(scenario: Scenario) -> dict[str, Value]:
    """The value at every path that `--set` takes and that has one value; configuration keys as Kafka writes them."""
    effective = {f"{each.place}.config.{each.key}": each.value for each in scenario.effective()}
    return said_values(scenario) | effective


def said_values(scenario: Scenario) -> dict[str, Value]:
    """Those of them that no other value decides: what was given, and our own defaults, but none of Kafka's."""
    return dict(_leaves(scenario.model_dump(mode="json", by_alias=True, exclude={"expect", "sometimes"}), ""))


def _leaves(data: Mapping[str, Any], before: str) -> Iterator[tuple[str, Value]]:
    for key, value in data.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from _leaves(item, f"{path}.{item.get(NAMED_BY.get(key, '')) or index}.")
        else:
            yield path, value


def ends_with(path: str, name: str) -> bool:
    """Whether the name is the path or, cut at a dot, its end."""
    return path == name or path.endswith(f".{name}")


def suggestion(name: str, paths: Mapping[str, Value]) -> str | None:
    """The path that somebody who wrote `name` may have meant: one that ends alike, or else one that is spelled alike."""
    words = name.split(".")
    for start in range(len(words)):
        ending = ".".join(words[start:])
        if fitting := [path for path in paths if ends_with(path, ending)]:
            return max(fitting, key=lambda path: difflib.SequenceMatcher(None, name, path).ratio())
    return nearest(name, paths)
