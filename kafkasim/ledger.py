"""The ledger: what the clients saw, and what finally lay in the log. Both backends fill it; checks read nothing else.

A record's identity is (producer, n). Every entry speaks of many records at once: `numbers` is a `range`, or an `array('q')` or tuple
where keys scatter them. Nothing is expanded to single records before the end (checks.py does it, with numpy). Times in ms
since the workload began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple


class Sent(NamedTuple):
    """Handed to send(), each of `numbers` at its entry of `times` (or all at one time). First sends only, never re-sends."""

    producer: str
    numbers: Sequence[int]
    times: Sequence[float] | float


class Callback(NamedTuple):
    """A callback: success where `error` is "", else Kafka's name of the exception. `definite`: certainly not written by this send.

    `partition` like "orders-0", "" where none; `base_offset` -1 where unknown.
    """

    producer: str
    numbers: Sequence[int]
    at: float
    error: str
    partition: str
    base_offset: int
    definite: bool = False


class Spooled(NamedTuple):
    """Written to the local spool after a failure."""

    producer: str
    numbers: Sequence[int]
    at: float


class Resent(NamedTuple):
    """Handed to send() again: out of the spool (`spool` True) or by an application that re-sends."""

    producer: str
    numbers: Sequence[int]
    at: float
    spool: bool


class Handled(NamedTuple):
    """The handling of records finished in a consumer, with or without an effect.

    `effect` False: the flag store said "done already", and the effect was left out.
    """

    group: str
    member: str
    partition: str
    base_offset: int
    producer: str
    numbers: Sequence[int]
    at: float
    effect: bool = True


class Commit(NamedTuple):
    """A group's commit was answered: `offset` is the next to read; `error` "" where it was accepted."""

    group: str
    member: str
    partition: str
    offset: int
    at: float
    error: str = ""


class Skipped(NamedTuple):
    """auto.offset.reset moved a group's position, perhaps over records it never read."""

    group: str
    partition: str
    position: int
    offset: int
    at: float


class LogEntry(NamedTuple):
    """Consecutive records at consecutive offsets of the final log (what retention removed included, with `expired`)."""

    partition: str
    base_offset: int
    producer: str
    numbers: Sequence[int]
    expired: bool = False


class Diverged(NamedTuple):
    """At consecutive offsets from `base_offset` on, `broker` has these records, and the leader has others. Seen by the simulator alone."""

    partition: str
    broker: int
    base_offset: int
    producer: str
    numbers: Sequence[int]


class FaultApplied(NamedTuple):
    """A fault as it really happened. `ended` is None while it lasts, `supported` False where the backend could not apply it."""

    name: str
    fault: str
    nodes: tuple[str, ...]
    fired: float | None
    ended: float | None
    supported: bool = True


@dataclass(slots=True)
class Ledger:
    """Filled by a backend, then only read. `promises` of the configuration are not in it: that is judgement (report.py)."""

    backend: str
    seed: int
    sent: list[Sent] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    spooled: list[Spooled] = field(default_factory=list)
    resent: list[Resent] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    diverged: list[Diverged] = field(default_factory=list)
    faults: list[FaultApplied] = field(default_factory=list)
    groups: tuple[str, ...] = ()
    group_topics: tuple[tuple[str, ...], ...] = ()  # what each of `groups` subscribes to; empty: the topics its entries speak of
    ended: float = 0.0
    drained: bool = True  # False: something still moved when the drain's time was up
    notes: list[str] = field(default_factory=list)  # "fault 1 never fired: …"

    def first_without_callback(self, producer: str, sent: int) -> int:
        """The first of records 0 … `sent` - 1 without a callback, or `sent`: where a producer begins again with on.restart: resend."""
        called_back = bytearray(sent)
        for entry in self.callbacks:
            if entry.producer == producer:
                for number in entry.numbers:
                    if number < sent:
                        called_back[number] = 1
        first_open = called_back.find(0)
        return sent if first_open < 0 else first_open

    def digest(self) -> str:
        """SHA-256 over every entry, in order: equal for equal runs, on any machine and PYTHONHASHSEED."""
        hasher = hashlib.sha256()
        for part in fields(self):
            value = getattr(self, part.name)
            hasher.update(part.name.encode())
            for entry in value if isinstance(value, list) else (value,):
                hasher.update(_canonical(entry).encode())
        return hasher.hexdigest()


def _canonical(value: object) -> str:
    """A text that is the same for equal values, whatever type holds a sequence of numbers."""
    if isinstance(value, str | int | float | None):
        return repr(value)
    if isinstance(value, range):
        return f"[{value.start}:{value.stop}:{value.step}]"
    if hasattr(value, "tobytes"):
        return hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, tuple | list):
        return "(" + ",".join(_canonical(item) for item in value) + ")"
    raise TypeError(f"a ledger holds no {type(value).__name__}")
