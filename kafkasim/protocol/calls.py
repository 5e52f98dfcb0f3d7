"""What an application asks of its client, and what the client answers: the API of KafkaProducer and KafkaConsumer as values.

Calls go in through `Node.receive(call, "", now)`; answers come out among the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kafkasim.protocol.errors import Error
from kafkasim.protocol.records import LogBatch, TopicPartition

# ---------------------------------------------------------------------------------------------------- producer


class SendRecords(NamedTuple):
    """KafkaProducer.send(), once for each of `numbers`, in order, on the application's one thread.

    `times`: when each was handed over, in ms, never after `now` (same length as `numbers`; a driver may hand over late what
    nothing could have noticed earlier). `keys`: an index of the record's key each, or None for records without keys.
    If send() blocks (buffer.memory, metadata), the rest waits inside the machine and `SendUnblocked` follows; no other
    SendRecords may come before it.
    """

    topic: str
    numbers: Sequence[int]
    times: Sequence[float]
    keys: Sequence[int] | None = None


class CloseClient(NamedTuple):
    """KafkaProducer.close() / KafkaConsumer.close(): flush or commit, leave the group, say goodbye."""


class ClientClosed(NamedTuple):
    """The application's thread is back from close(); the client does nothing any more."""


class SendUnblocked(NamedTuple):
    """The application's thread is back from the send() it was blocked in."""


class Outcome(NamedTuple):
    """The callbacks of `numbers`: success (`error` NONE, with `base_offset`, -1 under acks=0), or failure with its exception.

    `partition` is None where the record never got one (send() itself failed).
    """

    numbers: Sequence[int]
    error: Error
    partition: TopicPartition | None
    base_offset: int


class ProducerReady(NamedTuple):
    """A broker answered for the first time since the start or since no broker did: what a spool waits for."""


# ---------------------------------------------------------------------------------------------------- consumer


class PollRecords(NamedTuple):
    """KafkaConsumer.poll(timeout) (Java: what is there, up to max.poll.records) or consume(n, timeout) (librdkafka: waits for n)."""

    timeout_ms: float


class CommitOffsets(NamedTuple):
    """commitSync of `offsets`, each the next offset to read; empty: the positions of everything polled so far."""

    offsets: tuple[tuple[TopicPartition, int], ...]


class PolledSlice(NamedTuple):
    """Consecutive records of one batch: the first of them at `base_offset`."""

    partition: TopicPartition
    base_offset: int
    producer: str
    numbers: Sequence[int]


class Polled(NamedTuple):
    """The answer to PollRecords; empty after the timeout."""

    slices: tuple[PolledSlice, ...]


class PollFailed(NamedTuple):
    """PollRecords threw: `partitions` have no valid position, and auto.offset.reset is none (OffsetOutOfRangeException)."""

    error: Error
    partitions: tuple[TopicPartition, ...]


class Committed(NamedTuple):
    """The answer to CommitOffsets; also `sync=False` for each automatic commit that was answered."""

    offsets: tuple[tuple[TopicPartition, int], ...]
    error: Error
    sync: bool = True


class PartitionsAssigned(NamedTuple):
    """ConsumerRebalanceListener: this member now owns exactly these partitions."""

    partitions: tuple[TopicPartition, ...]


class PartitionsRevoked(NamedTuple):
    """ConsumerRebalanceListener: this member no longer owns these (`lost`: it was told too late to commit)."""

    partitions: tuple[TopicPartition, ...]
    lost: bool


class PositionReset(NamedTuple):
    """auto.offset.reset was applied: the position moved from `position` (-1: none) to `offset`."""

    partition: TopicPartition
    position: int
    offset: int


class FetchedBatches(NamedTuple):
    """For ConsistentRead and the trace only: batches that arrived in the client's buffer, not yet polled."""

    batches: tuple[LogBatch, ...]
