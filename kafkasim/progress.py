"""How far a run has come: what `when:` waits for, and the zero of the ledger's clock."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

_FAR = 1 << 62


class Tally:
    """One count, and the thresholds that wait for it. Whoever counts often keeps the tally and adds to it.

    `room`: how many more until the next threshold. Whoever counts stops there, so that a fault strikes in the middle of a batch.
    """

    __slots__ = ("_progress", "_thresholds", "count", "room")

    def __init__(self, progress: Progress) -> None:
        self.count = 0
        self.room = _FAR
        self._progress = progress
        self._thresholds: list[tuple[int, int, Callable[[], None]]] = []

    def when(self, count: int, order: int, reached: Callable[[], None]) -> None:
        """Call `reached` once there are `count`; of equal counts, by `order`."""
        insort(self._thresholds, (count, order, reached), key=lambda waiting: waiting[:2])
        self._make_room()

    def add(self, count: int, now: float) -> bool:
        """Count; True if a threshold was reached (its fault is then scheduled for this very instant)."""
        self.count += count
        self.room -= count
        self._progress.moved = now
        if self.room > 0:
            return False
        while self._thresholds and self._thresholds[0][0] <= self.count:
            reached = self._thresholds.pop(0)[2]
            self._make_room()
            reached()
        return True

    def _make_room(self) -> None:
        self.room = self._thresholds[0][0] - self.count if self._thresholds else _FAR


class Progress:
    """Tallies of `sent` and `acked` by producer and `processed` by group, with thresholds that call back once when reached."""

    def __init__(self) -> None:
        self.zero = 0.0  # the instant at which the workload began
        self.moved = 0.0  # when something was last counted
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._thresholds = 0

    def when(self, what: str, name: str, count: int, reached: Callable[[], None]) -> None:
        """Call `reached` when `name` (a producer, or a group) has `what` ("sent", "acked", "processed") at least `count`."""
        self._thresholds += 1
        self.tally(what, name).when(count, self._thresholds, reached)

    def tally(self, what: str, name: str) -> Tally:
        """The one tally of `what` and `name`."""
        found = self._tallies.get((what, name))
        if found is None:
            found = self._tallies[what, name] = Tally(self)
        return found
