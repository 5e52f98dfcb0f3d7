"""What can befall a run, by name: the shares of `kafkasim run --runs N`, or any count of the report that is above 0.

A run lost something or it did not: that is one yes or no a run, whatever the number of records.
"""

from __future__ import annotations

from collections.abc import Mapping

EVENTS: Mapping[str, str] = {
    "loss": "loss_rate",
    "silent_loss": "silent_loss_rate",
    "duplication": "duplication_rate",
    "violated": "violated",
}


def is_event(measure: str) -> bool:
    """Whether `measure` names an event (`loss`, `acked_lost > 0`) and not a number (`loss_rate`, `acked_lost`)."""
    return measure in EVENTS or _count_above_0(measure) != measure


def event_key(name: str) -> str:
    """The column that is above 0 in the runs that the event befell: `loss` is `loss_rate`, `KEY > 0` and `KEY` are KEY."""
    return EVENTS.get(name, _count_above_0(name))


def _count_above_0(name: str) -> str:
    key, above, zero = name.partition(">")
    return key.strip() if above and zero.strip() == "0" else name
