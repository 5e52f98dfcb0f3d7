"""The trace: what only the simulator sees. It explains a verdict, it never makes one.

Machines call one injected function with small NamedTuples; here they get their time, their node, and an order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple


class TraceEntry(NamedTuple):
    """One event: `at` in ms since the workload began (negative in the warm-up), the node that saw it, and the event itself."""

    at: float
    node: str
    event: Any  # a NamedTuple of some protocol module

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, the event's name under `event`."""
        # A client's events carry a time of their own, which knows nothing of `rebase`: the entry's counts.
        fields = {key: _plain(value) for key, value in self.event._asdict().items() if key != "at"}
        return {"at": round(self.at, 3), "node": self.node, "event": type(self.event).__name__, **fields}


class Trace:
    """All events of one run, in order."""

    def __init__(self) -> None:
        self.entries: list[TraceEntry] = []

    def of(self, node: str, clock: Callable[[], float]) -> Callable[[object], None]:
        """The function that a node's machine is given."""
        entries = self.entries
        return lambda event: entries.append(TraceEntry(clock(), node, event))

    def rebase(self, zero: float) -> None:
        """Count time from the instant at which the workload began."""
        self.entries = [entry._replace(at=entry.at - zero) for entry in self.entries]

    def write(self, path: Path) -> None:
        """JSON lines, one event a line."""
        path.write_text("".join(json.dumps(entry.to_dict()) + "\n" for entry in self.entries), encoding="utf-8")


def _plain(value: Any) -> object:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        if hasattr(value, "topic") and hasattr(value, "partition"):
            return str(value)
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
