"""The controller's periodic tasks: when the next run is that could find something to do.

In Kafka: org.apache.kafka.controller.PeriodicTask and PeriodicTaskControlManager.
"""

from __future__ import annotations

from math import floor

# PeriodicTask.DEFAULT_IMMEDIATE_PERIOD_NS: how soon a task that had work to do looks for more.
IMMEDIATE_PERIOD_MS = 10


class PeriodicTask:
    """Something the controller does once a period, counted from its last run (PeriodicTask, PeriodicTaskControlManager).

    Runs that could find nothing to do are left out: `due` is the first run that may find something, or None while there is no need.
    """

    __slots__ = ("_next_run", "_period_ms", "due")

    def __init__(self, period_ms: float, now: float) -> None:
        self._period_ms = period_ms
        self._next_run = now + period_ms
        self.due: float | None = None

    def first_run_after(self, instant: float) -> float:
        """The first run strictly later than `instant`."""
        if self._next_run > instant:
            return self._next_run
        missed = floor((instant - self._next_run) / self._period_ms) + 1
        run = self._next_run + missed * self._period_ms
        return run if run > instant else run + self._period_ms  # the sum may have been rounded down

    def need(self, needed: bool, now: float) -> None:
        """From `now` on there is something to do, or there no longer is."""
        if not needed:
            self.due = None
        elif self.due is None:
            self.due = self.first_run_after(now)

    def ran(self, now: float, had_work: bool) -> None:
        """It ran; where it had work to do that may not have been all, it looks again almost at once."""
        self._next_run = now + (IMMEDIATE_PERIOD_MS if had_work else self._period_ms)
        self.due = None
