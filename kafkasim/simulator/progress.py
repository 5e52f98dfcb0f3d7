"""How far a run has come: what `when:` waits for, and the zero of the ledger's clock."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

_FAR = 1 << 62


class Progress:
    """Counts of `sent` and `acked` by producer and `processed` by group, with thresholds that call back once when reached."""

    def __init__(self) -> None:
        self.zero = 0.0  # the instant at which the workload began
        self.moved = 0.0  # when something was last counted
        self._counts: dict[tuple[str, str], int] = {}
        self._thresholds: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._reached: list[Callable[[], None]] = []

    def when(self, what: str, name: str, count: int, reached: Callable[[], None]) -> None:
        """Call `reached` when `name` (a producer, or a group) has `what` ("sent", "acked", "processed") at least `count`."""
        insort(self._thresholds.setdefault((what, name), []), (count, len(self._reached)))
        self._reached.append(reached)

    def count(self, what: str, name: str) -> int:
        """The count so far."""
        return self._counts.get((what, name), 0)

    def room(self, what: str, name: str) -> int:
        """How many more until the next threshold: whoever counts stops there, so that a fault strikes in the middle of a batch."""
        waiting = self._thresholds.get((what, name))
        return waiting[0][0] - self.count(what, name) if waiting else _FAR

    def add(self, what: str, name: str, count: int, now: float) -> bool:
        """Count; True if a threshold was reached (its fault is then scheduled for this very instant)."""
        key = what, name
        total = self._counts[key] = self._counts.get(key, 0) + count
        self.moved = now
        waiting = self._thresholds.get(key)
        hit = False
        while waiting and waiting[0][0] <= total:
            self._reached[waiting.pop(0)[1]]()
            hit = True
        return hit
