"""How a leader's wish for another ISR reaches the controller: kafka.server.DefaultAlterPartitionManager (KIP-497).

A leader may only *propose* an ISR. Until the controller has agreed the partition counts on neither the old nor the new one
(isr.py). Here the proposals of all partitions are collected, and sent one request at a time. No answer is never taken for
a no: the request is repeated for ever, which is why a leader without its controller keeps its ISR.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from kafkasim.protocol.controller_channel import ControllerChannel
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import AlterPartitionRequest, AlterPartitionResponse
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import Alarm

# How soon a request that was refused as a whole is sent again ("send-alter-partition").
RETRY_MS = 50.0

# (leader epoch, partition epoch, (broker, broker epoch) of each member of the new ISR)
IsrProposal = tuple[int, int, tuple[tuple[int, int], ...]]
# The answer for one partition: (partition, error, leader, leader epoch, isr, partition epoch).
IsrAnswer = tuple[TopicPartition, Error, int, int, tuple[int, ...], int]


class AlterPartitionManager:
    """The proposals of one broker that the controller has not answered yet."""

    __slots__ = ("_alarm", "_broker_epoch", "_broker_id", "_channel", "_correlation_id", "_in_flight", "_retry_at", "_unsent")

    def __init__(self, broker_id: int, broker_epoch: Callable[[], int], channel: ControllerChannel, alarm: Alarm) -> None:
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._channel = channel
        self._alarm = alarm
        self._correlation_id = 0
        self._retry_at = inf
        self._unsent: dict[TopicPartition, IsrProposal] = {}  # also those in flight, until they are answered
        self._in_flight: dict[TopicPartition, IsrProposal] = {}

    def submit(self, partition: TopicPartition, proposal: IsrProposal, now: float) -> bool:
        """A leader, with a new proposal. False: not attempted, for an earlier one of this partition is not answered yet.

        That may be one of an earlier epoch, whose answer will mean nothing any more: the leader has to propose once more after it.
        """
        if partition in self._unsent:
            return False
        self._unsent[partition] = proposal
        self.propagate(now)
        return True

    def answered(self, response: AlterPartitionResponse, now: float) -> list[IsrAnswer]:
        """The controller: what it says to each partition that still waits for this answer. Let them hear it, then `propagate`."""
        if response.correlation_id != self._correlation_id:
            return []
        self._channel.answered()
        in_flight, self._in_flight = self._in_flight, {}
        if response.error is not Error.NONE:
            self._retry_at = now + RETRY_MS
            self._alarm.set(self._retry_at)
            return []
        answers = []
        for answer in response.partitions:
            partition = answer[0]
            if partition in in_flight:
                del self._unsent[partition]
                answers.append(answer)
        return answers

    def propagate(self, now: float) -> None:
        """Send all that is unanswered, unless a request is on its way or a refused one waits for its retry."""
        if not self._unsent or self._channel.busy or self._retry_at < inf:
            return
        self._correlation_id += 1
        self._in_flight = dict(self._unsent)
        partitions = tuple((partition, *proposal) for partition, proposal in self._in_flight.items())
        self._channel.send(AlterPartitionRequest(self._correlation_id, self._broker_id, self._broker_epoch(), partitions), now)

    def wake(self, now: float) -> None:
        """A refused request is due again, or the connection wants to be made anew."""
        self._channel.wake(now)
        if self._retry_at <= now:
            self._retry_at = inf
            self.propagate(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min(self._retry_at, self._channel.next_deadline())
