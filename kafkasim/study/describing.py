"""What `study.json` says: which study a folder holds the rows of, so that another study's rows are never added to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kafkasim.study.study import Study
from kafkasim.study.task import version


def describe(study: Study) -> dict[str, Any]:
    """The study as plain data: equal for two studies exactly where their tasks are."""
    digest = hashlib.sha256()
    for point in study.points:
        digest.update(json.dumps(dict(point.changes), sort_keys=True, default=str).encode() + b"\n")
    described = {
        "name": study.name,
        "title": study.title,
        "version": version(),
        "scenario": study.scenario.called,
        "behaviour": study.scenario.behaviour_digest,
        "seed": study.scenario.seed,
        "axes": {axis.label: {"paths": axis.paths, "levels": axis.levels, "span": asdict(axis.span) if axis.span else None}
                 for axis in study.axes},
        "design": study.design,
        "points": len(study.points),
        "changes": digest.hexdigest(),
        "runs": study.runs,
        "until": [asdict(rule) for rule in study.until],
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(described, default=str))  # as it will be read
    return plain


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two described studies, in clauses; nothing where their tasks are the same. Names and titles do not count."""
    clauses = []
    if there.get("behaviour") != here["behaviour"]:
        clauses.append(f"its scenario is {there.get('scenario')} as it was then, and this is {here['scenario']} as it is now")
    if there.get("seed") != here["seed"]:
        clauses.append(f"its first seed is {there.get('seed')}, and this one's is {here['seed']}")
    clauses += _axes(there.get("axes") or {}, here["axes"])
    for key, said in (("design", "design"), ("points", "number of points"), ("runs", "number of runs a point")):
        if there.get(key) != here[key]:
            clauses.append(f"its {said} is {there.get(key)}, and this one's is {here[key]}")
    if there.get("until") != here["until"]:
        clauses.append(f"it ends a point when {_rules(there.get('until'))}, and this one when {_rules(here['until'])}")
    if not clauses and there.get("changes") != here["changes"]:
        clauses.append("its points are others, along the same axes")
    return clauses


def _axes(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    clauses = [f"it varies {label}, which this one does not" for label in there if label not in here]
    clauses += [f"this one varies {label}, which it does not" for label in here if label not in there]
    for label in here:
        if label in there and there[label] != here[label]:
            clauses.append(f"its {label} is {_levels(there[label])}, and this one's is {_levels(here[label])}")
    return clauses


def _levels(axis: Mapping[str, Any]) -> str:
    levels = ["+".join(map(str, level)) for level in axis.get("levels") or ()]
    return ",".join([*levels[:6], "…"] if len(levels) > 6 else levels) or str(axis.get("span"))


def _rules(until: Any) -> str:
    return (
        " or ".join(f"{rule['kind']} {rule['measure']} {rule['bound']} (every {rule['step']})" for rule in until or ())
        or "all runs are made"
    )
