"""What the applications tell becomes the ledger: the parent's record of each producer and each member, over all their lives."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from kafkasim.cluster.specs import numbers_of
from kafkasim.ledger import Callback, Commit, Handled, Ledger, Resent, Sent, Skipped, Spooled
from kafkasim.progress import Progress

Event = Mapping[str, Any]


class ProducerRecord:
    """One producer: how far it came, what is open, and its lines in the ledger."""

    def __init__(self, name: str, arrivals: array[float], on_restart: str, ledger: Ledger, progress: Progress) -> None:
        self.name = name
        self.handed_over = 0  # records 0 … handed_over - 1 went to send()
        self.finished = False  # everything sent and called back, spool empty, nothing to send again
        self.all_sent = False
        self._arrivals = arrivals
        self._on_restart = on_restart
        self._asked = 0  # records below this may have gone to send() without a word of it
        self._ledger = ledger
        self._progress = progress
        self._sent = progress.tally("sent", name)
        self._acked = progress.tally("acked", name)

    @property
    def begin_at(self) -> int:
        """on.restart: the next record, or the first that never had a callback."""
        sent = self.handed_over
        return sent if self._on_restart == "continue" else self._ledger.first_without_callback(self.name, sent)

    def told(self, event: Event, now: float) -> None:
        """An event of the application, at `now` on the clock."""
        match event["e"]:
            case "asked":
                self._asked = event["last"]
            case "sent":
                self._sent_up_to(event["last"], now)
            case "ended":
                # kill -9: what it was about to hand over was handed to send(), for all anybody knows, and dies with the process.
                self._sent_up_to(self._asked, now)
            case "resent":
                self._ledger.resent.append(Resent(self.name, numbers_of(event["numbers"]), event["at"], event["spool"]))
            case "spooled":
                self._ledger.spooled.append(Spooled(self.name, numbers_of(event["numbers"]), event["at"]))
            case "callback":
                self._called_back(event, now)
            case "state":
                self.all_sent = event["all_sent"]
                self.finished = event["all_sent"] and not event["open"] and not event["spool"] and event["idle"]

    def restarted(self) -> None:
        """A new process begins: what the last one said of itself holds no more."""
        self.finished = self.all_sent = False
        self._asked = 0

    def close(self) -> None:
        """At the end: the one entry of first sends, with the schedule's times (as the simulator has them)."""
        if self.handed_over:
            self._ledger.sent.append(Sent(self.name, range(self.handed_over), self._arrivals[: self.handed_over]))

    def _sent_up_to(self, last: int, now: float) -> None:
        """Never back: what went to send() once is not sent for the first time again."""
        if last > self.handed_over:
            more, self.handed_over = last - self.handed_over, last
            self._sent.add(more, now)

    def _called_back(self, event: Event, now: float) -> None:
        numbers = numbers_of(event["numbers"])
        error = event["error"]
        entry = Callback(self.name, numbers, event["at"], error, event["partition"], event["offset"], event["definite"])
        self._ledger.callbacks.append(entry)
        if not error:
            self._acked.add(len(numbers), now)


class MemberRecord:
    """One member of a group: its assignment, its positions, and its lines in the ledger. Its times become the ledger's at the end."""

    def __init__(self, group: str, member: str, producers: Sequence[str], ledger: Ledger, progress: Progress) -> None:
        self.group = group
        self.member = member
        self.assignment: tuple[str, ...] | None = None
        self.positions: dict[str, int] = {}
        self.busy = False
        self.stopped = ""  # why its loop has ended by itself
        self._producers = producers
        self._ledger = ledger
        self._processed = progress.tally("processed", group)

    @property
    def handled(self) -> int:
        """Handlings of the group so far, by all its members."""
        return self._processed.count

    @property
    def ready(self) -> bool:
        """It has partitions (or was given none), and in each of them a position."""
        return bool(self.stopped) or (self.assignment is not None and all(each in self.positions for each in self.assignment))

    def restarted(self) -> None:
        """A new process begins."""
        self.assignment, self.positions, self.busy, self.stopped = None, {}, False, ""

    def told(self, event: Event, now: float) -> None:
        """An event of the application, at `now` on the clock; its own times are instants of that clock, too."""
        at = event.get("at", 0.0)
        match event["e"]:
            case "handled":
                producer, number = self._producers[event["producer"]], event["number"]
                numbers = range(number, number + 1)
                where = (event["partition"], event["offset"])
                self._ledger.handled.append(Handled(self.group, self.member, *where, producer, numbers, at, event["effect"]))
                self._processed.add(1, now)
            case "commit":
                for partition, offset in event["offsets"]:
                    self._ledger.commits.append(Commit(self.group, self.member, partition, offset, at, event["error"]))
            case "skipped":
                self._ledger.skipped.append(Skipped(self.group, event["partition"], event["position"], event["offset"], at))
            case "positions":
                self.positions.update(event["positions"])
            case "busy":
                self.busy = event["busy"]
            case "assigned":
                partitions = event["partitions"]
                self.assignment = None if partitions is None else tuple(partitions)
                kept = self.assignment or ()
                self.positions = {partition: offset for partition, offset in self.positions.items() if partition in kept}
            case "stopped":
                self.stopped = event["reason"]
                self._ledger.notes.append(f"{self.member} stopped: {event['reason']}")


def rebase(ledger: Ledger, zero: float) -> None:
    """Members count time on the clock, because they begin before anybody knows when the workload will: count it from `zero` on."""

    def shifted(entries: list[Any]) -> list[Any]:
        return [entry._replace(at=entry.at - zero) for entry in entries]

    ledger.handled, ledger.commits, ledger.skipped = shifted(ledger.handled), shifted(ledger.commits), shifted(ledger.skipped)
