"""What an application wants of its Kafka client, whichever flavour it is: the few calls of KafkaProducer and KafkaConsumer.

Two implementations: `librdkafka_client` (confluent-kafka, in this process) and `java_client` (drivers/*.java, a process beside it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """A producer's callback for one record. `error` "": acknowledged; else Kafka's name of it, as outcomes.py spells it.

    `definite`: this record is certainly not written by this send. `partition` like "orders-0" in the *scenario's* names, "" where unknown.
    """

    number: int
    error: str
    definite: bool
    partition: str
    offset: int


class ProducerClient(Protocol):
    """A producer with its callbacks in a queue."""

    def send(self, numbers: Sequence[int], keys: Sequence[int] | None) -> None:
        """send() each record, in order, on the client's one sending thread, with key `key-N` where `keys` gives N.

        Returns at once where the client is a process of its own.
        """

    def handed(self) -> int:
        """How many records (re-sends included) have been handed to Kafka's send() so far: fewer than asked for while send() blocks."""

    def deliveries(self, timeout_s: float) -> list[Delivery]:
        """The callbacks that came meanwhile; waits up to `timeout_s` for the first."""

    def close(self, timeout_s: float) -> None:
        """close(): what is on its way is given `timeout_s`."""


class PolledRun(NamedTuple):
    """Consecutive records at consecutive offsets, of one producer, with consecutive numbers."""

    partition: str  # "orders-0", in the scenario's names
    base_offset: int
    producer_index: int
    first: int
    records: int


class PartitionsChanged(NamedTuple):
    """The group gave (`assigned`), took (`revoked`) or declared lost (`lost`) partitions."""

    what: str
    partitions: tuple[str, ...]


class CommitSeen(NamedTuple):
    """A commit was answered: each (partition, offset), and Kafka's name of the error or ""."""

    offsets: tuple[tuple[str, int], ...]
    error: str


class PositionMoved(NamedTuple):
    """The position jumped without records: auto.offset.reset, or a truncation. From `position` (-1: none yet) to `offset`."""

    partition: str
    position: int
    offset: int


ConsumerEvent = PartitionsChanged | CommitSeen | PositionMoved


class ConsumerStopped(Exception):  # noqa: N818  (it is no error of ours: the application's loop ends here)
    """poll() threw what the application does not catch (NoOffsetForPartition, a fatal error); the message is Kafka's."""


class ConsumerClient(Protocol):
    """A consumer, used by one thread. Events that its callbacks brought are collected and taken with `events`."""

    def poll(self, timeout_ms: float, max_records: int) -> list[PolledRun]:
        """poll(), or consume(n): records in order. Raises ConsumerStopped."""

    def commit(self, offsets: Sequence[tuple[str, int]] | None) -> CommitSeen:
        """commitSync(), of these offsets or (None) of the positions; waits for the answer. It is not repeated among `events`."""

    def positions(self) -> dict[str, int]:
        """The position in each assigned partition that has one, as of the last poll."""

    def events(self) -> list[ConsumerEvent]:
        """What happened since the last call: rebalances, automatic commits, jumps of the position."""

    def wakeup(self) -> None:
        """From another thread: let a poll() under way return."""

    def close(self) -> None:
        """close(): commit automatically where the client does, leave the group."""
