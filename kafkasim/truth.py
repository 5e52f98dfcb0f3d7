"""The truth about every single record, expanded once from a ledger's ranges: arrays of one element a record, with numpy.

In Kafka nobody has this view: the producer knows its callbacks, a consumer what it polled, a broker its log. Jepsen's checkers build
it from a history, at the end (`jepsen.tests.kafka`, "Analysis"); so do we. A million records take about 100 bytes each, and a
fraction of a second: the ledger's ranges become columns of numbers, and every rule is one operation on whole columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kafkasim.ledger import Ledger

UNRESOLVED, ACKED, FAILED = 0, 1, 2  # the last outcome of a record

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_START, _STEP = attrgetter("start"), attrgetter("step")  # of a range
_SHORT = 20  # records an entry


@dataclass(frozen=True, slots=True, eq=False)
class ProducerTruth:
    """What became of one producer's records; element n of every array is record n. Times in ms, nan where it never happened."""

    name: str
    topics: frozenset[str]  # where its records went, as far as callbacks and log tell
    sent: Mask
    sent_at: Floats
    outcome: npt.NDArray[np.int8]  # of its last callback
    acked_at: Floats  # the first successful callback
    resolved_at: Floats  # the last callback
    spooled: Mask
    resent: npt.NDArray[np.int32]  # times handed to send() again
    from_spool: Mask
    definite_failures: npt.NDArray[np.int32]  # callbacks that say "certainly not written by this send"
    copies: npt.NDArray[np.int32]  # in the final log, with what retention removed
    expired: Mask  # every copy removed by retention

    @property
    def acked(self) -> Mask:
        """The last callback said success."""
        return _both(self.sent, self.outcome == ACKED)

    @property
    def failed(self) -> Mask:
        """The last callback said failure."""
        return _both(self.sent, self.outcome == FAILED)

    @property
    def unresolved(self) -> Mask:
        """No callback ever came."""
        return _both(self.sent, self.outcome == UNRESOLVED)

    @property
    def in_log(self) -> Mask:
        """At least one copy is in the final log."""
        return self.copies > 0


@dataclass(frozen=True, slots=True, eq=False)
class PartitionLog:
    """One partition's final log as columns, in offset order: who wrote which record at which offset."""

    partition: str
    offsets: Integers
    producers: npt.NDArray[np.int16]  # an index into Truth.producers
    numbers: Integers


@dataclass(frozen=True, slots=True, eq=False)
class GroupTruth:
    """How often a group handled each record, and with how many effects: an array a producer, in the order of Truth.producers."""

    name: str
    subscribed: tuple[bool, ...]  # to the producer's topic
    handled: tuple[npt.NDArray[np.int32], ...]
    effects: tuple[npt.NDArray[np.int32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A ledger, and what follows from it for each record."""

    ledger: Ledger
    producers: tuple[ProducerTruth, ...]
    logs: tuple[PartitionLog, ...]
    groups: tuple[GroupTruth, ...]

    def index(self, producer: str) -> int:
        """The producer's place in `producers`."""
        return next(place for place, truth in enumerate(self.producers) if truth.name == producer)


class Columns(NamedTuple):
    """Ledger entries laid end to end: every record's number, and how many records each entry speaks of."""

    numbers: Integers
    lengths: Integers

    def spread(self, values: Iterable[Any], dtype: type) -> npt.NDArray[Any]:
        """One value an entry becomes one value a record."""
        return np.repeat(np.fromiter(values, dtype, len(self.lengths)), self.lengths)

    def tally(self, size: int) -> npt.NDArray[np.int32]:
        """How often each of `size` records occurs."""
        return np.bincount(self.numbers, minlength=size).astype(np.int32)

    def mark(self, size: int) -> Mask:
        """Which of `size` records occur."""
        marked = np.zeros(size, np.bool_)
        marked[self.numbers] = True
        return marked


def flatten(sequences: Sequence[Sequence[int]]) -> Columns:
    """Lay ranges, arrays and tuples of record numbers end to end. Plain ranges, the usual case, cost no Python a record."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    if set(map(type, sequences)) <= {range} and set(map(_STEP, sequences)) <= {1}:
        return Columns(runs(np.fromiter(map(_START, sequences), np.int64, len(sequences)), lengths), lengths)
    records = int(lengths.sum())
    if records <= _SHORT * len(sequences):  # measured: 0.3 µs an array, and 0.02 µs a record where they are read one after the other
        return Columns(np.fromiter(chain.from_iterable(sequences), np.int64, records), lengths)
    return Columns(np.concatenate([_as_array(numbers) for numbers in sequences]), lengths)


def runs(starts: Integers, lengths: Integers) -> Integers:
    """start, start+1, … for each start, end to end: np.arange for many ranges at once."""
    before = np.cumsum(lengths) - lengths
    numbers = np.repeat(starts - before, lengths)
    numbers += np.arange(len(numbers))
    return numbers


def expand(ledger: Ledger) -> Truth:
    """Say of every record what became of it. Everything else in the judging of a run reads this, and expands nothing."""
    sizes = _sizes(ledger)
    topics = _topics_of_producers(ledger)
    producers = tuple(_producer(ledger, name, size, frozenset(topics.get(name, ()))) for name, size in sizes.items())
    logs = _logs(ledger, {name: place for place, name in enumerate(sizes)})
    groups = tuple(_group(ledger, name, producers) for name in _group_names(ledger))
    return Truth(ledger, producers, logs, groups)


def topic_of(partition: str) -> str:
    """ "orders-0" is of the topic "orders"."""
    return partition.rpartition("-")[0]


def _producer(ledger: Ledger, name: str, size: int, topics: frozenset[str]) -> ProducerTruth:
    sent = [entry for entry in ledger.sent if entry.producer == name]
    column = flatten([entry.numbers for entry in sent])
    sent_at = np.full(size, np.nan)
    sent_at[column.numbers] = _times_of([entry.times for entry in sent], column.lengths)
    outcome, acked_at, resolved_at, definite_failures = _outcomes(ledger, name, size)
    resent = [entry for entry in ledger.resent if entry.producer == name]
    log = [entry for entry in ledger.log if entry.producer == name]
    copies = flatten([entry.numbers for entry in log]).tally(size)
    expired = flatten([entry.numbers for entry in log if entry.expired]).tally(size)
    return ProducerTruth(
        name=name,
        topics=topics,
        sent=column.mark(size),
        sent_at=sent_at,
        outcome=outcome,
        acked_at=acked_at,
        resolved_at=resolved_at,
        spooled=flatten([entry.numbers for entry in ledger.spooled if entry.producer == name]).mark(size),
        resent=flatten([entry.numbers for entry in resent]).tally(size),
        from_spool=flatten([entry.numbers for entry in resent if entry.spool]).mark(size),
        definite_failures=definite_failures,
        copies=copies,
        expired=(copies > 0) & (copies == expired),
    )


def _outcomes(ledger: Ledger, name: str, size: int) -> tuple[npt.NDArray[np.int8], Floats, Floats, npt.NDArray[np.int32]]:
    """The last outcome, the first ack, the last callback and the definite failures of each record.

    Where an index repeats, numpy keeps what is assigned last: the last callback wins as it is, the first ack in reverse.
    """
    callbacks = [entry for entry in ledger.callbacks if entry.producer == name]
    column = flatten([entry.numbers for entry in callbacks])
    times = column.spread((entry.at for entry in callbacks), np.float64)
    success = column.spread((entry.error == "" for entry in callbacks), np.bool_)
    outcome = np.full(size, UNRESOLVED, np.int8)
    outcome[column.numbers] = np.where(success, np.int8(ACKED), np.int8(FAILED))
    resolved_at = np.full(size, np.nan)
    resolved_at[column.numbers] = times
    acked_at = np.full(size, np.nan)
    acked_at[column.numbers[success][::-1]] = times[success][::-1]
    definite = flatten([entry.numbers for entry in callbacks if entry.error and entry.definite]).tally(size)
    return outcome, acked_at, resolved_at, definite


def _logs(ledger: Ledger, places: dict[str, int]) -> tuple[PartitionLog, ...]:
    logs = []
    for partition in sorted({entry.partition for entry in ledger.log}):
        entries = sorted((entry for entry in ledger.log if entry.partition == partition), key=lambda entry: entry.base_offset)
        column = flatten([entry.numbers for entry in entries])
        offsets = runs(np.fromiter((entry.base_offset for entry in entries), np.int64, len(entries)), column.lengths)
        producers = column.spread((places[entry.producer] for entry in entries), np.int16)
        logs.append(PartitionLog(partition, offsets, producers, column.numbers))
    return tuple(logs)


def _group(ledger: Ledger, name: str, producers: tuple[ProducerTruth, ...]) -> GroupTruth:
    topics = _topics_of_group(ledger, name)
    handled, effects = [], []
    for producer in producers:
        entries = [entry for entry in ledger.handled if entry.group == name and entry.producer == producer.name]
        with_effect = [entry.numbers for entry in entries if entry.effect]
        handled.append(flatten([entry.numbers for entry in entries]).tally(len(producer.sent)))
        effects.append(handled[-1] if len(with_effect) == len(entries) else flatten(with_effect).tally(len(producer.sent)))
    subscribed = tuple(not topics or not producer.topics or bool(topics & producer.topics) for producer in producers)
    return GroupTruth(name, subscribed, tuple(handled), tuple(effects))


def _group_names(ledger: Ledger) -> tuple[str, ...]:
    """The groups the ledger declares, then those that only appear in its entries."""
    return tuple(dict.fromkeys([*ledger.groups, *(entry.group for entry in ledger.handled)]))


def _topics_of_group(ledger: Ledger, name: str) -> set[str]:
    """What the group subscribes to; where the ledger does not say, the topics it read or committed (none: every topic)."""
    declared = dict(zip(ledger.groups, ledger.group_topics, strict=False)).get(name)
    if declared:
        return set(declared)
    partitions = {entry.partition for entry in ledger.handled if entry.group == name}
    partitions |= {entry.partition for entry in ledger.commits if entry.group == name}
    partitions |= {entry.partition for entry in ledger.skipped if entry.group == name}
    return {topic_of(partition) for partition in partitions}


def _topics_of_producers(ledger: Ledger) -> dict[str, set[str]]:
    topics: dict[str, set[str]] = {}
    destinations = {(entry.producer, entry.partition) for entry in ledger.callbacks}
    destinations |= {(entry.producer, entry.partition) for entry in ledger.log}
    for producer, partition in sorted(destinations):
        if partition:
            topics.setdefault(producer, set()).add(topic_of(partition))
    return topics


def _sizes(ledger: Ledger) -> dict[str, int]:
    """Every producer the ledger names, in order of appearance, and one more than its highest record number."""
    sizes: dict[str, int] = {}
    for entries in (ledger.sent, ledger.callbacks, ledger.spooled, ledger.resent, ledger.handled, ledger.log):
        for entry in entries:
            numbers = entry.numbers
            if len(numbers):
                highest = numbers[-1] if type(numbers) is range else max(numbers)
                if highest >= sizes.get(entry.producer, 0):
                    sizes[entry.producer] = highest + 1
    return sizes


def _times_of(times: Sequence[Sequence[float] | float], lengths: Integers) -> Floats:
    """A time a record, from entries that give one time for all, or one for each."""
    if all(isinstance(time, int | float) for time in times):
        return np.repeat(np.array(times, np.float64), lengths)
    parts = [
        np.full(length, time) if isinstance(time, int | float) else np.asarray(time, np.float64)
        for time, length in zip(times, lengths, strict=True)
    ]
    return np.concatenate(parts)


def _both(one: Mask, other: Any) -> Mask:
    both: Mask = np.logical_and(one, other)
    return both


def _as_array(numbers: Sequence[int]) -> Integers:
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.int64)
    return np.asarray(numbers, np.int64)
