"""acks=all: how a produce request waits for its followers. In Kafka: kafka.server.DelayedProduce and its purgatory.

The leader has appended; the answer waits until the high watermark has passed the batch, that is, until all who may be in the
ISR have it. It ends in one of four ways, partition by partition:

    the high watermark is there                          NONE
    ... but the ISR fell below min.insync.replicas       NOT_ENOUGH_REPLICAS_AFTER_APPEND
    this broker leads no longer                          NOT_LEADER_OR_FOLLOWER
    the request's own timeout is over                    REQUEST_TIMED_OUT

In the last three the batch lies in the log and may be committed all the same: a producer must not take them for "not written".
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.hosted_partitions import HostedPartition, HostedPartitions
from kafkasim.protocol.messages import PartitionProduceResponse
from kafkasim.protocol.node import Trace
from kafkasim.protocol.purgatory import DelayedProduce, ExpirationQueue
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import Alarm


class ProduceTimedOut(NamedTuple):
    """acks=all was not reached within the request's timeout. The batch stays in the log, and may be committed all the same."""

    partition: TopicPartition
    broker: int
    base_offset: int


class ProducePurgatory:
    """The parked produce requests of one broker."""

    __slots__ = ("_broker_id", "_expiring", "_hosted", "_trace")

    def __init__(self, broker_id: int, hosted: HostedPartitions, alarm: Alarm, trace: Trace | None) -> None:
        self._broker_id = broker_id
        self._hosted = hosted
        self._trace = trace
        self._expiring: ExpirationQueue[DelayedProduce] = ExpirationQueue(alarm)

    def park(self, operation: DelayedProduce, timeout_ms: float) -> None:
        """All its batches are appended, and it is on the lists of those partitions it waits for."""
        self._expiring.add(operation, timeout_ms)

    def try_complete(self, hosted: HostedPartition) -> None:
        """The high watermark moved, or leadership was lost: who waits for no more than that?"""
        produces = hosted.produces
        check = hosted.partition.check_enough_replicas_reach_offset
        while produces:
            required_offset, operation, index = produces[0]
            if not operation.done:
                done, error = check(required_offset)
                if not done:
                    return
                if error is not NO_ERROR:
                    result = operation.results[index]
                    operation.results[index] = self.refused(result.partition, error, result.base_offset)
                operation.pending &= ~(1 << index)
                if not operation.pending:
                    operation.done = True
                    operation.on_produced(operation.results)
            produces.popleft()

    def refused(self, name: TopicPartition, error: Error, base_offset: int = -1) -> PartitionProduceResponse:
        """The result that carries `error`; NOT_LEADER_OR_FOLLOWER also says who leads (KIP-951)."""
        leader, leader_epoch = self._hosted.current_leader(name) if error is Error.NOT_LEADER_OR_FOLLOWER else (-1, -1)
        return PartitionProduceResponse(name, error, base_offset, leader, leader_epoch)

    def wake(self, now: float) -> None:
        """acks=-1, and the request's timeout is over: REQUEST_TIMED_OUT for what is still pending. What was appended stays."""
        for operation in self._expiring.expired(now):
            operation.done = True
            for index, result in enumerate(operation.results):
                if operation.pending & (1 << index):
                    operation.results[index] = result._replace(error=Error.REQUEST_TIMED_OUT)
                    self._hosted[result.partition].drop_done_produces()
                    if self._trace is not None:
                        self._trace(ProduceTimedOut(result.partition, self._broker_id, result.base_offset))
            operation.on_produced(operation.results)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return self._expiring.next_deadline()
