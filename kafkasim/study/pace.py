"""The clock of a sweep: how long its chunks take, and so how large the next one is. No clock ever reaches a row."""

from __future__ import annotations

from time import perf_counter

CHUNK_SECONDS = 1.0  # what a chunk aims at: what is lost when a sweep is interrupted, and beside it handing a chunk over costs nothing
LARGEST_CHUNK = 500


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = perf_counter()

    def seconds(self) -> float:
        """How long it has been running."""
        return perf_counter() - self._begun


class NowAndThen:
    """Says yes at most once in so many seconds: for what is worth doing again and again, but not always."""

    def __init__(self, every_seconds: float) -> None:
        self._every = every_seconds
        self._last = perf_counter()

    def due(self) -> bool:
        """Whether it is time again."""
        now = perf_counter()
        if now - self._last < self._every:
            return False
        self._last = now
        return True


class Pace:
    """How fast this sweep is: runs that it made, how many a second, and how many make a chunk of about a second."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._watch = Stopwatch()
        self._seconds_a_run: float | None = None
        self._largest = 1
        self.made = 0

    def took(self, runs: int, seconds: float) -> None:
        """A chunk of so many runs took a worker so many seconds."""
        self.made += runs
        if runs:
            now = seconds / runs
            # Points differ in how long they take, so the last few chunks count most, and a chunk is at most twice the one before.
            self._seconds_a_run = now if self._seconds_a_run is None else 0.7 * self._seconds_a_run + 0.3 * now
            self._largest = min(LARGEST_CHUNK, max(self._largest, 2 * runs))

    def chunk(self, left: int) -> int:
        """How many runs the next chunk should have, where so many are left: small ones towards the end keep all workers busy."""
        if self._seconds_a_run is None:
            return 1
        wanted = int(CHUNK_SECONDS / max(self._seconds_a_run, 1e-6))
        return max(1, min(wanted, self._largest, left // (3 * self._workers)))

    def rate(self) -> float:
        """Runs a second since the sweep began; 0 where there is none yet."""
        return self.made / max(self._watch.seconds(), 1e-9)
