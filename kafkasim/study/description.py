"""A study as plain JSON, written beside its rows: so that whoever resumes a sweep can be told in one sentence what is different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kafkasim.scenario import as_text
from kafkasim.study.axes import Axis
from kafkasim.study.study import Study

_MOST_WORDS = 12  # of a list of levels in a sentence


def describe(study: Study) -> dict[str, Any]:
    """Everything that decides which runs a study has, as plain JSON; equal studies give equal descriptions.

    `points` and `dropped` are counts: which points they are follows from the rest.
    """
    return {
        "study": study.name,
        "title": study.title,
        "scenario": study.scenario.data(),
        "scenario_id": study.scenario.scenario_id,
        "seed": study.scenario.seed,
        "called": study.scenario.called,
        "changes": list(study.scenario.changes),
        "axes": [_axis(axis) for axis in study.axes],
        "where": list(study.where),
        "design": study.design,
        "samples": study.samples,
        "design_seed": study.design_seed,
        "points": len(study.points),
        "dropped": len(study.dropped),
        "runs": study.runs,
        "until": [str(rule) for rule in study.until],
        "measures": list(study.measures),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "label": axis.label,
        "paths": list(axis.paths),
        "levels": [list(level) for level in axis.levels],
        "span": None if axis.span is None else asdict(axis.span),
    }


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two descriptions differ in, a phrase each: `axis acks: was 1, all; is 1`. Empty where their rows belong together.

    Titles, measures, `runs` and `until` are left out: rows of a study stay right when it gets more runs.
    """
    found = _axes_differ(was, now)
    if was.get("scenario_id") != now.get("scenario_id"):
        found.append(_scenarios_differ(was, now))
    for key, word in (("seed", "the scenario's seed"), ("design", "design")):
        if was.get(key) != now.get(key):
            found.append(f"{word}: was {was.get(key)}; is {now.get(key)}")
    for key, word in (("samples", "size of the design"), ("design_seed", "seed of the design")):
        if was.get(key) != now.get(key) and was.get("design") == now.get("design"):
            found.append(f"{word}: was {was.get(key)}; is {now.get(key)}")
    if was.get("where", []) != now.get("where", []):
        found.append(f"constraints: were {_several(was.get('where', []))}; are {_several(now.get('where', []))}")
    return found


def _scenarios_differ(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Where two scenarios differ first, or only that they do."""
    before, after = was.get("scenario", {}), now.get("scenario", {})
    changed = next(_changed_places(before, after, ""), None)
    if changed is None:
        return f"scenario: was {was.get('scenario_id')}; is {now.get('scenario_id')}"
    path, old, new = changed
    return f"scenario {after.get('name', '')}: {path} was {_brief(old)}; is {_brief(new)}"


def _changed_places(before: Any, after: Any, path: str) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if path or key not in {"name", "title", "seed", "expect", "sometimes"}:
                yield from _changed_places(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changed_places(old, new, f"{path}.{index}")
    elif before != after:
        yield path, before, after


def _axes_differ(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    before = {tuple(axis["paths"]): axis for axis in was.get("axes", [])}
    after = {tuple(axis["paths"]): axis for axis in now.get("axes", [])}
    found = [f"axis {axis['label']}: was {_levels(axis)}; is not varied" for paths, axis in before.items() if paths not in after]
    for paths, axis in after.items():
        if paths not in before:
            found.append(f"axis {axis['label']}: was not varied; is {_levels(axis)}")
        elif (axis["levels"], axis["span"]) != (before[paths]["levels"], before[paths]["span"]):
            found.append(f"axis {axis['label']}: was {_levels(before[paths])}; is {_levels(axis)}")
    if not found and list(before) != list(after):
        order, other = (", ".join(axis["label"] for axis in axes.values()) for axes in (before, after))
        found.append(f"order of the axes: was {order}; is {other}")
    return found


def _levels(axis: Mapping[str, Any]) -> str:
    words = ["&".join(as_text(value) for value in level) for level in axis["levels"]]
    shown = [*words[: _MOST_WORDS - 1], f"… {words[-1]} ({len(words)} levels)"] if len(words) > _MOST_WORDS else words
    return ", ".join(shown)


def _several(words: list[str]) -> str:
    return "; ".join(f"`{word}`" for word in words) or "none"


def _brief(value: object) -> str:
    text = "not given" if value is None else as_text(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
