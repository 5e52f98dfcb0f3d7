"""When a broker is woken, and what it does from time to time: the tasks of its KafkaScheduler.

    isr-expiration             every replica.lag.time.max.ms / 2           ReplicaManager.maybeShrinkIsr
    highwatermark-checkpoint   every ..high.watermark.checkpoint.interval  ReplicaManager.checkpointHighWatermarks
    kafka-log-flusher          log.initial.task.delay.ms (30 s) after the start, then every log.flush.scheduler.interval.ms (never,
                               by default)                                 LogManager.flushDirtyLogs
    kafka-log-retention        log.initial.task.delay.ms after the start, then every log.retention.check.interval.ms
                                                                           LogManager.cleanupLogs
    PeriodicProducerExpirationCheck   every producer.id.expiration.check.interval.ms   ProducerStateManager.removeExpiredProducers

So a follower leaves the ISR between one and one and a half times replica.lag.time.max.ms after it last kept up.
The checkpoint and the flusher have nothing to do where nothing was written, and retention has not before something can have expired: they
are skipped until then, so that an idle broker is not woken.
"""

from __future__ import annotations

from math import floor, inf

NEVER = inf


class Alarm:
    """The one deadline of a broker, kept as it goes along: never too late, sometimes too early (what it was for is done already)."""

    __slots__ = ("deadline",)

    def __init__(self) -> None:
        self.deadline = inf

    def set(self, deadline: float) -> None:
        """Wake me at `deadline` at the latest."""
        if deadline < self.deadline:  # noqa: PLR1730 - in most calls it is not, and a min() costs three times as much
            self.deadline = deadline


class ScheduledTask:
    """A task at a fixed rate: at `first`, and then every `period_ms`. `due` is `NEVER` while there is nothing to do."""

    __slots__ = ("_alarm", "_period_ms", "due", "first")

    def __init__(self, period_ms: float, alarm: Alarm) -> None:
        self.first = 0.0
        self._period_ms = period_ms
        self._alarm = alarm
        self.due = NEVER

    def arm(self, now: float) -> None:
        """There is something to do at the next run after `now`."""
        if self.due == NEVER:
            self.due = self._next_run(now)
            self._alarm.set(self.due)

    def arm_after(self, instant: float, now: float) -> None:
        """Once `instant` is over there may be something to do, and there is nothing before: at the next run after both."""
        if instant < NEVER:
            self.due = self._next_run(max(now, instant))
            self._alarm.set(self.due)

    def runs(self, now: float) -> bool:
        """Whether a run is due; then the task rests until it is armed again."""
        if self.due > now:
            return False
        self.due = NEVER
        return True

    def _next_run(self, now: float) -> float:
        if now < self.first:
            return self.first
        run = self.first + (floor((now - self.first) / self._period_ms) + 1) * self._period_ms
        return run if run > now else run + self._period_ms  # the sum may have been rounded down
