"""From pydantic's errors to one clear sentence each, with file, line and path; and how to see past an error to the next.

pydantic finds every wrong value and unknown key at once, but what only makes sense between values (a fault on a node that does
not exist) is looked at afterwards. So after an error the data is mended, only to look further: a misspelled key is given its
nearest right name, a wrong value its default. What is then found and rests on a mended value is not reported.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from kafkasim.faults import FAULTS, fault_words
from kafkasim.scenario_file import Location, Origins, Problem
from kafkasim.scenario_paths import where
from kafkasim.values import hint, nearest

_ROUNDS = 5
_TRIGGER = ("at", "when", "sent", "acked", "processed", "producer", "group")
_MAPPING_WANTED = frozenset({"model_type", "dict_type", "mapping_type", "model_attributes_type"})
_LIST_WANTED = frozenset({"tuple_type", "list_type"})
_MISSING: Mapping[str, object] = {
    "node": "brokers",
    "name": "nobody",
    "group": "nobody",
    "write.ms": 1,
    "latency.ms": 1,
    "election": "preferred",
    "to": [1],
    "config": {"min.insync.replicas": 1},
}
_HARMLESS_FAULT = {"fault": "disconnect", "at": "0s", "node": "brokers"}
Models = Callable[[Location, object], type[BaseModel] | None]  # which model stands at a location


class Finding(NamedTuple):
    """Something wrong between values. `rests_on`: the locations it was concluded from; "*" stands for any step."""

    location: Location
    sentence: str
    rests_on: tuple[Location, ...] = ()


def raise_findings(findings: list[Finding]) -> None:
    """Hand findings through pydantic, from a validator of the whole scenario to `problems_of`."""
    if findings:
        text = "; ".join(finding.sentence for finding in findings).replace("{", "{{").replace("}", "}}")
        raise PydanticCustomError("findings", text, {"findings": findings})


def problems_of(
    error: ValidationError, data: dict[str, Any], origins: Origins, models: Models, again: Callable[[Any], Any]
) -> list[Problem]:
    """Every problem of `data`, in the order of the file. `again` validates mended data, raising ValidationError in its turn."""
    findings = _told(error, data, models)
    mended, touched = copy.deepcopy(data), list[Location]()
    for _ in range(_ROUNDS):
        if all(_is_finding(details) for details in error.errors()):
            break
        _mend(error, mended, models, touched)
        try:
            again(mended)
            break
        except ValidationError as further:
            error = further
            findings += [finding for finding in _told(further, mended, models) if _stands(finding, touched)]
    problems = {Problem(where(finding.location, data, origins), _sentence(finding.sentence)): None for finding in findings}
    return sorted(problems, key=_line)


def _line(problem: Problem) -> int:
    match = re.search(r":(\d+)(?::|$)", problem.where)
    return int(match[1]) if match else 0


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _is_finding(details: Any) -> bool:
    return bool(details["type"] == "findings")


def _told(error: ValidationError, data: object, models: Models) -> list[Finding]:
    found: list[Finding] = []
    for details in error.errors(include_url=False):
        if _is_finding(details):
            found += details["ctx"]["findings"]
        else:
            location = _location(details)
            # Whether `at` and `when` agree was concluded from both; of other values, from the value itself.
            rests_on = tuple((*location, key) for key in _TRIGGER) if details["type"] == "value_error" else ()
            found.append(Finding(location, _say(details, location, data, models), rests_on))
    return found


def _location(details: Any) -> Location:
    """Without what pydantic adds to say which of several faults it tried, and that a key was meant."""
    location = tuple(step for step in details["loc"] if step != "[key]")
    if len(location) > 2 and location[0] == "faults":
        location = (*location[:2], *location[3:])
    return location


def _say(details: Any, location: Location, data: object, models: Models) -> str:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        model = models(location[:-1], data)
        description = next((f.description for n, f in model.model_fields.items() if (f.alias or n) == location[-1]), "") if model else ""
        return f"`{location[-1]}` is missing" + (f": {description}" if description else "")
    if kind == "extra_forbidden":
        return _unknown_key(str(location[-1]), location, data, models)
    if kind == "union_tag_not_found":
        return f"`fault` is missing: what goes wrong, one of {', '.join(fault_words())}"
    if kind == "union_tag_invalid":
        return f"`{context['tag']}` is not a fault{hint(str(context['tag']), fault_words())}"
    if given is None:
        return "has no value; " + ("{} stands for nothing but defaults" if kind in _MAPPING_WANTED else "leave the key out for its default")
    if kind in {"literal_error", "enum"}:
        words = re.findall(r"'([^']*)'", context["expected"])
        near = nearest(str(given), words)
        return f"{_brief(given)} is not one of {', '.join(words)}" + (f"; did you mean `{near}`?" if near else "")
    if kind in _MAPPING_WANTED:
        return f"expects keys with values, not {_brief(given)}"
    if kind in _LIST_WANTED:
        return f"expects a list, not {_brief(given)}"
    return str(context["error"]) if kind == "value_error" else str(details["msg"])


def _brief(value: object) -> str:
    text = f"`{value}`" if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _unknown_key(key: str, location: Location, data: object, models: Models) -> str:
    model = models(location[:-1], data)
    keys = keys_of(model) if model else []
    elsewhere = [fault for fault in FAULTS if key in keys_of(fault)]
    if model in FAULTS and elsewhere and nearest(key, keys) is None:
        owners = ", ".join(word for fault, word in zip(FAULTS, fault_words(), strict=True) if fault in elsewhere)
        return f"unknown key `{key}`: this fault has none; it belongs to {owners}"
    return f"unknown key `{key}`{hint(key, keys)}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a model takes in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


# ---------------------------------------------------------------------------------------------------- mending


def _stands(finding: Finding, touched: list[Location]) -> bool:
    """Whether a finding about mended data rests on nothing that was mended."""
    return not any(_covers(mended, location) for mended in touched for location in (finding.location, *finding.rests_on))


def _covers(mended: Location, location: Location) -> bool:
    return len(mended) <= len(location) and all(b in {a, "*"} for a, b in zip(mended, location, strict=False))


def _mend(error: ValidationError, data: dict[str, Any], models: Models, touched: list[Location]) -> None:
    for details in error.errors(include_url=False):
        if _is_finding(details):
            continue
        location = _location(details)
        if details["type"] == "extra_forbidden":
            _rename(data, location, models, touched)
        else:
            _give_default(data, location, details["type"], touched)


def _rename(data: dict[str, Any], location: Location, models: Models, touched: list[Location]) -> None:
    model, parent = models(location[:-1], data), _at(data, location[:-1])
    if not isinstance(parent, dict) or location[-1] not in parent:
        return
    value = parent.pop(location[-1])
    right = nearest(str(location[-1]), keys_of(model)) if model else None
    if right is not None and right not in parent:
        parent[right] = value
    else:
        touched.append(location)


def _give_default(data: dict[str, Any], location: Location, kind: str, touched: list[Location]) -> None:
    if not location:
        return
    parent, last = _at(data, location[:-1]), location[-1]
    if len(location) == 2 and location[0] == "faults" and kind == "value_error":
        parent[last].pop("when", None)
        parent[last]["at"] = "0s"
        touched.append((*location, "at"))
        return
    if kind.startswith("union_tag"):
        touched += [(*location, key) for key in ("fault", "at", "node")]  # its name stands
    else:
        touched.append(location)
    if len(location) == 2 and location[0] == "faults" and isinstance(parent, list) and isinstance(last, int):
        name = parent[last].get("as") if isinstance(parent[last], dict) else None
        parent[last] = {**_HARMLESS_FAULT, **({"as": name} if isinstance(name, str) else {})}
    elif isinstance(parent, list) and isinstance(last, int):
        parent[last] = {} if location[0] in {"producers", "consumers"} else next(iter(_topics(data)), "nothing")
    elif isinstance(parent, dict) and kind != "missing":
        parent.pop(last, None)
    elif isinstance(parent, dict):
        topic = next(iter(_topics(data)), "nothing")
        by_key: dict[str, object] = {
            **_MISSING,
            "topic": topic,
            "partition": topic,
            "topics": [topic] if len(location) > 1 else {"nothing": {}},
        }
        parent[str(last)] = by_key.get(str(last), 1)


def _topics(data: dict[str, Any]) -> dict[str, Any]:
    topics = data.get("topics")
    return topics if isinstance(topics, dict) else {}


def _at(data: Any, location: Location) -> Any:
    for step in location:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data
