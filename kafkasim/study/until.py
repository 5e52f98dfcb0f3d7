"""When a point has enough runs, and what may be measured: `failing(loss) >= 10`, `width(silent_loss_rate) <= 0.01`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from kafkasim.measures import GroupCounts
from kafkasim.report import Report
from kafkasim.scenario import Scenario
from kafkasim.study.events import EVENTS
from kafkasim.study.study import Until
from kafkasim.values import hint

LATENCIES = ("p50", "p99", "max")
_RULE = re.compile(r"\s*(?P<kind>[\w-]+)\s*\(\s*(?P<measure>[^()]*?)\s*\)\s*(?P<sign>>=|<=|>|<|==?)\s*(?P<bound>\S+)\s*")
_SIGNS: Mapping[str, str] = {"failing": ">=", "width": "<="}
_EXAMPLE = "`failing(loss) >= 10` or `width(silent_loss) <= 0.1`"


def measure_keys(scenario: Scenario) -> tuple[str, ...]:
    """The numeric keys of one run's row, as `Report.flat` names them; known without a run."""
    keys = [part.name for part in fields(Report) if part.type in {"int", "float"} and part.name != "seed"]
    keys += [f"latency_ms.{name}" for name in LATENCIES]
    return (*keys, *(f"groups.{consumer.group}.{part.name}" for consumer in scenario.consumers for part in fields(GroupCounts)))


def check_measure(name: str, scenario: Scenario) -> None:
    """Raises ValueError, with the nearest right word, for what is neither an event nor a number of a run."""
    known = (*EVENTS, *measure_keys(scenario))
    if name not in known:
        raise ValueError(f"`{name}` is nothing that a run measures{hint(name, known) or '; `kafkasim run --json -` shows what is'}")


def parse_until(text: str, scenario: Scenario) -> Until:
    """A rule as it is written. Raises ValueError with one sentence."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no rule to stop by; one is written {_EXAMPLE}")
    kind, measure, sign = match["kind"], match["measure"], match["sign"]
    if kind not in _SIGNS:
        raise ValueError(f"`{kind}` is neither failing nor width{hint(kind, _SIGNS)}")
    if sign != _SIGNS[kind]:
        raise ValueError(f"`{text}`: {kind} takes {_SIGNS[kind]}, as in {_EXAMPLE}")
    check_measure(measure, scenario)
    try:
        bound = float(match["bound"])
    except ValueError:
        raise ValueError(f"`{text}`: `{match['bound']}` is not a number") from None
    if kind == "failing" and not (bound >= 1 and bound == int(bound)):
        raise ValueError(f"`{text}`: it counts runs, so the bound is a whole number from 1 on")
    if not 0 < bound < float("inf"):
        raise ValueError(f"`{text}`: an interval is wider than 0, so the bound is too")
    return Until(kind, measure, bound)
