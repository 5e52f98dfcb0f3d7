"""Application loops, as generators of steps. Two interpreters take the steps: the simulator, and the drivers of a real cluster.

What an application does with Kafka fits on this page, and the difference between at least once and at most once is the order
of two lines. A step that has an answer is sent it: `records = yield Poll()`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple

Finished = Literal["polled", "highest-finished", "lowest-contiguous"]

# ---------------------------------------------------------------------------------------------------- steps of a producer


class Send(NamedTuple):
    """send() each of `numbers` at its time of arrival; callbacks come later, to `on_failure`."""

    numbers: Sequence[int]


class Resend(NamedTuple):
    """send() each of `numbers` once more, after retry.backoff.ms. Answered by their callbacks: the numbers that failed again."""

    numbers: Sequence[int]


class GiveUp(NamedTuple):
    """Log the failure and forget the records."""

    numbers: Sequence[int]


class SpoolPut(NamedTuple):
    """Write records to local disk, durably, before anything else happens."""

    numbers: Sequence[int]


class SpoolTake(NamedTuple):
    """Read up to `limit` records from the front of the spool, without removing them. Answered by their numbers."""

    limit: int


class SpoolRemove(NamedTuple):
    """Forget spooled records: their re-send was acknowledged."""

    numbers: Sequence[int]


class AwaitBroker(NamedTuple):
    """Sleep until a send was acknowledged after the last failure, or the spool's own retry time has come."""


# ---------------------------------------------------------------------------------------------------- steps of a consumer


class Poll(NamedTuple):
    """poll(). Answered by records, in order, perhaps none."""


class Process(NamedTuple):
    """Handle polled records one after another on this thread."""

    records: Any


class HandOver(NamedTuple):
    """Give polled records to the worker threads and go on at once; answered when their queue has room."""

    records: Any


class PassOver(NamedTuple):
    """Polled, and not to be handled."""

    records: Sequence[Any]


class Commit(NamedTuple):
    """commitSync(): the end of what was polled, or of what the workers have finished. Nothing new: nothing is sent."""

    upto: Finished = "polled"


class Lookup(NamedTuple):
    """Ask the flag store whether this record was handled before. Answered by a bool."""

    record: Any


class Mark(NamedTuple):
    """Set this record's flag."""

    record: Any


class Effect(NamedTuple):
    """Do what the record asks for: charge the card, send the mail."""

    record: Any


class EffectAndMark(NamedTuple):
    """Effect and flag in one transaction of the store."""

    record: Any


Loop = Generator[Any, Any, None]

# ---------------------------------------------------------------------------------------------------- producers


def produce(numbers: Sequence[int]) -> Loop:
    """The main thread of a producing application."""
    yield Send(numbers)


def drop(numbers: Sequence[int]) -> Loop:
    """on.failure: drop. The failure is logged, the records are given up: *reported* loss."""
    yield GiveUp(numbers)


def resend(numbers: Sequence[int]) -> Loop:
    """on.failure: resend. As often as it takes; each time the record may already have been written."""
    failed = numbers
    while failed:
        failed = yield Resend(failed)


def spool(numbers: Sequence[int]) -> Loop:
    """on.failure: spool. Retries are used up: keep the records on local disk."""
    yield SpoolPut(numbers)


def drain_spool(limit: int = 500) -> Loop:
    """The spool's own thread: when the broker answers again, send what was kept, and forget it only once it is acknowledged.

    It takes up to `limit` records at a time.
    """
    while True:
        yield AwaitBroker()
        while numbers := (yield SpoolTake(limit)):
            failed = yield Resend(numbers)
            gone = set(failed)
            yield SpoolRemove([n for n in numbers if n not in gone])
            if failed:
                break


ON_FAILURE = {"drop": drop, "resend": resend, "spool": spool}

# ---------------------------------------------------------------------------------------------------- consumers


def after_processing() -> Loop:
    """At least once: a crash between the two last lines repeats what was handled and not yet committed."""
    while True:
        records = yield Poll()
        yield Process(records)
        yield Commit()


def before_processing() -> Loop:
    """At most once: the same lines, Commit first. A crash between the two last lines loses what was committed and not handled.

    A commit that failed has moved nothing: whoever has the partition next gets these records again, so they are not handled here.
    """
    while True:
        records = yield Poll()
        committed = yield Commit()
        yield PassOver(records) if committed is False else Process(records)


def auto() -> Loop:
    """enable.auto.commit: the client commits by itself. When, and what, depends on its flavour."""
    while True:
        records = yield Poll()
        yield Process(records)


def worker_threads(upto: Finished) -> Loop:
    """The pitfall: records go to other threads, and the commit does not wait for them (unless it asks for lowest-contiguous)."""
    while True:
        records = yield Poll()
        yield HandOver(records)
        yield Commit(upto)


def handle_mark_last(record: object) -> Loop:
    """Look up, handle, then mark. A crash between handling and marking repeats the effect."""
    if not (yield Lookup(record)):
        yield Effect(record)
        yield Mark(record)


def handle_mark_first(record: object) -> Loop:
    """Look up, mark, then handle. A crash between marking and handling loses the effect: the flag says that it is done.

    Of two who have the record at once, a zombie and its successor, only the one that sets the flag goes on.
    """
    if not (yield Lookup(record)) and (yield Mark(record)):
        yield Effect(record)


def handle_transaction(record: object) -> Loop:
    """Look up; then effect and flag together or not at all. Nothing lies between them for a crash to hit."""
    if not (yield Lookup(record)):
        yield EffectAndMark(record)


HANDLE = {"mark-last": handle_mark_last, "mark-first": handle_mark_first, "transaction": handle_transaction}


def consume(commit: str, worker_commit: Finished) -> Loop:
    """The loop that a scenario's `commit:` names."""
    loops = {"after-processing": after_processing, "before-processing": before_processing, "auto": auto}
    return worker_threads(worker_commit) if commit == "worker-threads" else loops[commit]()


# ---------------------------------------------------------------------------------------------------- for both interpreters


class Awaited:
    """Records that are sent again, and the loop that waits for their callbacks. `spool`: they came out of the spool."""

    __slots__ = ("failed", "loop", "numbers", "open", "spool")

    def __init__(self, loop: Loop, numbers: Sequence[int], spool: bool) -> None:
        self.loop = loop
        self.numbers = numbers
        self.spool = spool
        self.open = len(numbers)
        self.failed: list[int] = []


def answer_awaited(waiting: dict[int, Awaited], numbers: Sequence[int], failed: bool) -> tuple[list[int], list[Awaited]]:
    """Callbacks came for `numbers`: those that no loop waits for, and what has all its callbacks now, to be answered with `failed`."""
    fresh, complete = list[int](), list[Awaited]()
    for number in numbers:
        awaited = waiting.pop(number, None)
        if awaited is None:
            fresh.append(number)
            continue
        awaited.open -= 1
        if failed:
            awaited.failed.append(number)
        if not awaited.open:
            complete.append(awaited)
    return fresh, complete
