"""A broker's disk and the logs on it: kafka.log.LogManager.

What is here survives a crash; the clean-shutdown marker is written by a clean stop only, and tells the next process (and through it
the controller, KIP-966) which broker epoch ended well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import INITIAL_TASK_DELAY_MS, Alarm, ScheduledTask

NO_BROKER_EPOCH = -1


@dataclass(slots=True)
class BrokerDisk:
    """The log directory of one broker. `clean_shutdown_broker_epoch` is the content of .kafka_cleanshutdown, -1 without it."""

    logs: dict[TopicPartition, Log] = field(default_factory=dict)
    clean_shutdown_broker_epoch: int = NO_BROKER_EPOCH


class LogManager:
    """Opens, flushes and closes logs. `flusher` is the task kafka-log-flusher; who appends arms it.

    `producer_expiration` is PeriodicProducerExpirationCheck, every producer.id.expiration.check.interval.ms.
    Simplified: it comes round for all logs of a broker together, counted from its start; in Kafka each log counts from when it was opened.
    """

    __slots__ = ("_disk", "_producer_id_expiration_ms", "_topic_configs", "flusher", "producer_expiration")

    def __init__(self, disk: BrokerDisk, topic_configs: Mapping[str, TopicConfig], config: BrokerConfig, alarm: Alarm) -> None:
        self._disk = disk
        self._topic_configs = topic_configs
        self._producer_id_expiration_ms = config.producer_id_expiration_ms
        self.flusher = ScheduledTask(config.log_flush_scheduler_interval_ms, alarm)
        self.producer_expiration = ScheduledTask(config.producer_id_expiration_check_interval_ms, alarm)

    def start(self, now: float) -> None:
        """The process has started: from here on the tasks come round."""
        self.flusher.first = now + INITIAL_TASK_DELAY_MS
        self.producer_expiration.first = now
        self.producer_expiration.arm(now)

    def topic_config(self, topic: str) -> TopicConfig:
        """What holds for `topic` on this broker; all defaults where nobody said anything."""
        return self._topic_configs.get(topic) or TopicConfig()

    def get_or_create_log(self, partition: TopicPartition) -> Log:
        """The log as it lies on disk, or a new one."""
        log = self._disk.logs.get(partition)
        if log is None:
            log = self._disk.logs[partition] = Log(partition, self.topic_config(partition.topic))
        return log

    def take_clean_shutdown_marker(self) -> int:
        """The process starts: the broker epoch of a clean stop before it, or -1. The marker is gone once read."""
        broker_epoch = self._disk.clean_shutdown_broker_epoch
        self._disk.clean_shutdown_broker_epoch = NO_BROKER_EPOCH
        return broker_epoch

    def wake(self, now: float) -> None:
        """Time has come: producers expire, logs are flushed."""
        if self.producer_expiration.runs(now):
            for log in self._disk.logs.values():
                log.producers.remove_expired(now, self._producer_id_expiration_ms)
            self.producer_expiration.arm(now)
        self._run_flusher(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min(self.flusher.due, self.producer_expiration.due)

    def _run_flusher(self, now: float) -> None:
        """flushDirtyLogs: WHEN the task comes round, THEN every log not flushed for its flush.ms is."""
        if not self.flusher.runs(now):
            return
        still_dirty = False
        for log in self._disk.logs.values():
            if log.recovery_point < log.log_end_offset:
                if now - log.last_flush_time >= log.config.flush_ms:
                    log.flush(now)
                else:
                    still_dirty = True
        if still_dirty:
            self.flusher.arm(now)

    def shut_down(self, broker_epoch: int, now: float) -> None:
        """A clean stop: all logs are closed, and then the marker is written."""
        for log in self._disk.logs.values():
            log.close(now)
        self._disk.clean_shutdown_broker_epoch = broker_epoch
