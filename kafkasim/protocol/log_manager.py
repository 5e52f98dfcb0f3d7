"""A broker's disk and the logs on it: kafka.log.LogManager.

What is here survives a crash; the clean-shutdown marker is written by a clean stop only, and tells the next process (and through it
the controller, KIP-966) which broker epoch ended well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_retention import first_expiry
from kafkasim.protocol.records import LogBatch, TopicPartition
from kafkasim.protocol.scheduled_tasks import NEVER, Alarm, ScheduledTask

NO_BROKER_EPOCH = -1


@dataclass(slots=True)
class BrokerDisk:
    """The log directory of one broker. `clean_shutdown_broker_epoch` is the content of .kafka_cleanshutdown, -1 without it.

    `expired_in_deleted`: what retention had deleted of logs that are gone by now (see Log.expired).
    """

    logs: dict[TopicPartition, Log] = field(default_factory=dict)
    clean_shutdown_broker_epoch: int = NO_BROKER_EPOCH
    expired_in_deleted: dict[TopicPartition, list[LogBatch]] = field(default_factory=dict)
    appends_to_deleted: int = 0  # how many writes went to logs that are gone

    @property
    def appends(self) -> int:
        """Every write to any log so far."""
        return self.appends_to_deleted + sum(log.appends for log in self.logs.values())


class LogManager:
    """Opens, flushes and closes logs. Its tasks: `flusher` (kafka-log-flusher; who appends arms it), `retention` (kafka-log-retention) and
    `producer_expiration` (PeriodicProducerExpirationCheck, every producer.id.expiration.check.interval.ms).

    Simplified: that check comes round for all logs of a broker together, counted from its start; in Kafka each log counts from when it was
    opened.
    """

    __slots__ = ("_altered", "_config", "_disk", "_topic_configs", "flusher", "producer_expiration", "retention")

    def __init__(self, disk: BrokerDisk, topic_configs: Mapping[str, TopicConfig], config: BrokerConfig, alarm: Alarm) -> None:
        self._disk = disk
        self._topic_configs = topic_configs
        self._altered: dict[str, TopicConfig] = {}
        self._config = config
        self.flusher = ScheduledTask(config.log_flush_scheduler_interval_ms, alarm)
        self.retention = ScheduledTask(config.log_retention_check_interval_ms, alarm)
        self.producer_expiration = ScheduledTask(config.producer_id_expiration_check_interval_ms, alarm)

    def start(self, now: float) -> None:
        """The process has started: from here on the tasks come round."""
        self.flusher.first = self.retention.first = now + self._config.log_initial_task_delay_ms
        self.producer_expiration.first = now
        self.producer_expiration.arm(now)

    def topic_config(self, topic: str) -> TopicConfig:
        """What holds for `topic` on this broker; all defaults where nobody said anything."""
        return self._altered.get(topic) or self._topic_configs.get(topic) or TopicConfig()

    def alter_topic_config(self, topic: str, name: str, value: str | float) -> TopicConfig:
        """A setting of `topic` has changed (updateTopicConfig): its logs go by the new one from here on."""
        config = self._altered[topic] = self.topic_config(topic).altered(name, value)
        for partition, log in self._disk.logs.items():
            if partition.topic == topic:
                log.config = config
        return config

    def get_or_create_log(self, partition: TopicPartition) -> Log:
        """The log as it lies on disk, or a new one."""
        log = self._disk.logs.get(partition)
        if log is None:
            log = self._disk.logs[partition] = Log(partition, self.topic_config(partition.topic))
        return log

    def delete_log(self, partition: TopicPartition) -> None:
        """The broker has no replica of it any more, or had none when it started (asyncDelete, and its stray logs).

        Simplified: it is gone at once; Kafka renames the directory, and deletes it after file.delete.delay.ms (60 s).
        """
        log = self._disk.logs.pop(partition, None)
        if log is not None:
            self._disk.appends_to_deleted += log.appends
            if log.expired:
                self._disk.expired_in_deleted.setdefault(partition, []).extend(log.expired)

    def take_clean_shutdown_marker(self) -> int:
        """The process starts: the broker epoch of a clean stop before it, or -1. The marker is gone once read."""
        broker_epoch = self._disk.clean_shutdown_broker_epoch
        self._disk.clean_shutdown_broker_epoch = NO_BROKER_EPOCH
        return broker_epoch

    def wake(self, now: float) -> None:
        """Time has come: producers expire, logs are flushed."""
        if self.producer_expiration.runs(now):
            for log in self._disk.logs.values():
                log.producers.remove_expired(now, self._config.producer_id_expiration_ms)
            self.producer_expiration.arm(now)
        self._run_flusher(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min(self.flusher.due, self.retention.due, self.producer_expiration.due)

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

    def arm_retention(self, now: float) -> None:
        """The process has started, there is a new log, or retention has just run: the next run is the first that may find something."""
        self.retention.arm_after(min((first_expiry(log, now) for log in self._disk.logs.values()), default=NEVER), now)

    def shut_down(self, broker_epoch: int, now: float) -> None:
        """A clean stop: all logs are closed, and then the marker is written."""
        for log in self._disk.logs.values():
            log.close(now)
        self._disk.clean_shutdown_broker_epoch = broker_epoch
