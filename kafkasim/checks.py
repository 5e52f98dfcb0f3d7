"""Detection: what happened to records that a user of Kafka might mind. Read from the ledger alone, whatever the configuration promised.

After Jepsen's `jepsen.tests.kafka`: one function an anomaly, and judgement (promises.py) is another matter, since a duplicate is
a finding always and a broken promise only sometimes. Each finding has a plain name, and beside it Jepsen's where there is one.
A new check is a function here and a line in CHECKS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kafkasim.findings import Case, Check, Finding, compress
from kafkasim.ledger import Ledger
from kafkasim.truth import Integers, Mask, PartitionLog, ProducerTruth, Truth, expand, flatten, runs
from kafkasim.unseen import never_handled

__all__ = ["CHECKS", "Check", "Finding", "compress", "find_all", "log_inversions"]


def find_all(evidence: Ledger | Truth) -> tuple[Finding, ...]:
    """Every finding of every check, in the order of CHECKS; the ledger is expanded once."""
    truth = expand(evidence) if isinstance(evidence, Ledger) else evidence
    return tuple(finding for check in CHECKS for finding in check(truth))


# ------------------------------------------------------------------------------------------------- producers and the log


def acked_lost(truth: Truth) -> Iterator[Case]:
    """The callback said success, and no log has the record: silent loss."""
    for producer in truth.producers:
        yield _marked(producer, producer.acked & ~producer.in_log)


def failed_lost(truth: Truth) -> Iterator[Case]:
    """The callback said failure, or never came, and no log has the record: loss that the application knows of."""
    for producer in truth.producers:
        yield _marked(producer, producer.sent & ~producer.acked & ~producer.in_log)


def failed_but_written(truth: Truth) -> Iterator[Case]:
    """The callback said failure, or never came, yet the log has the record: no answer is not a failure."""
    for producer in truth.producers:
        yield _marked(producer, producer.sent & ~producer.acked & producer.in_log)


def failure_contradicted(truth: Truth) -> Iterator[Case]:
    """Every send of the record ended in "certainly not written", yet the log has it (in Jepsen: a read of a failed write)."""
    for producer in truth.producers:
        definite = (producer.definite_failures > producer.resent) & producer.failed
        yield _marked(producer, definite & producer.in_log)


def unresolved(truth: Truth) -> Iterator[Case]:
    """No callback came, ever."""
    for producer in truth.producers:
        yield _marked(producer, producer.unresolved)


def never_sent(truth: Truth) -> Iterator[Case]:
    """Something in the log, or handled, that nobody handed to send()."""
    for place, producer in enumerate(truth.producers):
        seen = producer.in_log.copy()
        for group in truth.groups:
            seen |= group.handled[place] > 0
        yield _marked(producer, seen & ~producer.sent)


def duplicate_by_retry(truth: Truth) -> Iterator[Case]:
    """More than one copy in the log, and the application sent it once: the client's own retries did it."""
    for producer in truth.producers:
        yield _counted(producer.name, [(producer.name, np.where(producer.resent == 0, producer.copies - 1, 0))])


def duplicate_by_resend(truth: Truth) -> Iterator[Case]:
    """More than one copy in the log, of a record that the application sent again: idempotence cannot know that it is the same."""
    for producer in truth.producers:
        yield _counted(producer.name, [(producer.name, np.where(producer.resent > 0, producer.copies - 1, 0))])


def inversion_by_retry(truth: Truth) -> Iterator[Case]:
    """A later record before an earlier one in a partition, both sent once by the application: a retry overtook, or was overtaken."""
    for place, producer in enumerate(truth.producers):
        found = [_inverted(log, place, producer.resent == 0)[1] for log in truth.logs]
        yield _listed(producer.name, producer.name, found)


def inversion_by_resend(truth: Truth) -> Iterator[Case]:
    """A later record before an earlier one in a partition, one of which the application sent again."""
    for place, producer in enumerate(truth.producers):
        found = []
        for log in truth.logs:
            before, after = _inverted(log, place, producer.sent)
            found.append(after[(producer.resent[before] > 0) | (producer.resent[after] > 0)])
        yield _listed(producer.name, producer.name, found)


def log_inversions(truth: Truth) -> int:
    """Neighbours out of order among the first copies in each partition's log, for each producer, all told."""
    return sum(len(_inverted(log, place, producer.in_log)[1]) for place, producer in enumerate(truth.producers) for log in truth.logs)


def inconsistent_offsets(truth: Truth) -> Iterator[Case]:
    """Two records at one offset of a partition, as callbacks, consumers and the final log saw it: a log was cut off and written anew."""
    for partition in _partitions(truth):
        seen = np.full(0, -1, np.int64)
        conflicts = []
        views = list(_observed(truth, partition))
        for offsets, codes in views:
            if len(offsets) and int(offsets.max()) >= len(seen):
                seen = np.concatenate((seen, np.full(int(offsets.max()) + 1 - len(seen), -1)))
            first = seen[offsets] == -1
            seen[offsets[first]] = codes[first]
            conflicts.append(offsets[seen[offsets] != codes])
        torn = np.unique(np.concatenate(conflicts)) if conflicts else np.zeros(0, np.int64)
        if len(torn):
            codes = np.concatenate([codes[np.isin(offsets, torn)] for offsets, codes in views])
            yield Case(partition, len(torn), _decoded(truth, codes))


def diverged(truth: Truth) -> Iterator[Case]:
    """A replica's final log has another record than the leader's at one offset: whoever reads there later reads another story.

    Only the simulator sees the followers' logs.
    """
    for partition in _partitions(truth):
        entries = [entry for entry in truth.ledger.diverged if entry.partition == partition]
        producers = dict.fromkeys(entry.producer for entry in entries)
        records = [(name, flatten([entry.numbers for entry in entries if entry.producer == name]).numbers) for name in producers]
        yield Case(partition, sum(len(numbers) for _, numbers in records), records)


def unfinished_drain(truth: Truth) -> Iterator[Case]:
    """Something still moved when the drain's time was up: a client that never gives up, a group that never catches up."""
    yield Case(truth.ledger.backend, 0 if truth.ledger.drained else 1, [])


# ------------------------------------------------------------------------------------------------------- consumer groups


def skipped_by_reset(truth: Truth) -> Iterator[Case]:
    """auto.offset.reset moved the group's position over records that are still there, and that it never handled."""
    for group in truth.groups:
        yield _counted(group.name, never_handled(truth, group, "reset"))


def overtaken_by_retention(truth: Truth) -> Iterator[Case]:
    """Retention deleted what the group had not handled: it came too late, or auto.offset.reset passed over what was about to go."""
    for group in truth.groups:
        yield _counted(group.name, never_handled(truth, group, "retention"))


def passed_by_commit(truth: Truth) -> Iterator[Case]:
    """The group committed an offset beyond a record that nobody in it ever handled: lost for this group."""
    for group in truth.groups:
        yield _counted(group.name, never_handled(truth, group, "commit"))


def not_reached(truth: Truth) -> Iterator[Case]:
    """In the log, not handled, and no commit beyond it: the group had not come so far when the run ended."""
    for group in truth.groups:
        yield _counted(group.name, never_handled(truth, group, "end"))


def no_effect(truth: Truth) -> Iterator[Case]:
    """Handled, but each time the flag store said "done already": the effect never happened."""
    for group in truth.groups:
        tables = zip(truth.producers, group.handled, group.effects, strict=True)
        yield _counted(group.name, [(producer.name, (handled > 0) & (effects == 0)) for producer, handled, effects in tables])


def reprocessed(truth: Truth) -> Iterator[Case]:
    """Handled more often than the log has copies of it: the group read it again."""
    for group in truth.groups:
        tables = zip(truth.producers, group.handled, strict=True)
        yield _counted(group.name, [(p.name, handled - np.maximum(p.copies, 1)) for p, handled in tables])


def copies_handled(truth: Truth) -> Iterator[Case]:
    """Handled again because the log has it more than once: the producer's duplicate, not the group's."""
    for group in truth.groups:
        tables = zip(truth.producers, group.handled, strict=True)
        yield _counted(group.name, [(p.name, np.minimum(p.copies, handled) - 1) for p, handled in tables])


def effects_duplicated(truth: Truth) -> Iterator[Case]:
    """The effect of handling happened more than once, whatever the flag store tried."""
    for group in truth.groups:
        tables = zip(truth.producers, group.effects, strict=True)
        yield _counted(group.name, [(producer.name, effects - 1) for producer, effects in tables])


def phantom(truth: Truth) -> Iterator[Case]:
    """Handled, yet in no final log: a consumer read what the log then lost. (Jepsen counts a read as proof of the write.)"""
    for group in truth.groups:
        tables = zip(truth.producers, group.handled, strict=True)
        yield _counted(group.name, [(producer.name, (handled > 0) & ~producer.in_log) for producer, handled in tables])


def poll_skip(truth: Truth) -> Iterator[Case]:
    """One member went on at a higher offset than where it had stopped, over records of the final log (allowed after a rebalance)."""
    for group in truth.groups:
        gaps = []
        for partition, starts, stops in _journeys(truth, group.name):
            reached = np.maximum.accumulate(stops)[:-1]
            ahead = np.flatnonzero(starts[1:] > reached)
            gaps += [(partition, int(reached[step]), int(starts[1:][step])) for step in ahead]
        yield _between(truth, group.name, gaps)


def nonmonotonic_poll(truth: Truth) -> Iterator[Case]:
    """One member handled an offset below one it had handled before (allowed after a rebalance, a restart or a seek)."""
    for group in truth.groups:
        gaps = []
        for partition, starts, stops in _journeys(truth, group.name):
            reached = np.maximum.accumulate(stops)[:-1]
            back = np.flatnonzero(starts[1:] < reached)
            gaps += [(partition, int(starts[1:][step]), int(min(stops[1:][step], reached[step]))) for step in back]
        yield _between(truth, group.name, gaps)


CHECKS: tuple[Check, ...] = (
    Check(acked_lost, "lost-write", "acked, and in no final log"),
    Check(failed_lost, "", "reported as failed or never answered, and in no final log"),
    Check(failed_but_written, "", "reported as failed or never answered, yet in the log"),
    Check(failure_contradicted, "G1a", "certainly not written, said the client, yet in the log"),
    Check(unresolved, "", "without any callback"),
    Check(never_sent, "", "seen, though never handed to send()"),
    Check(duplicate_by_retry, "duplicate", "extra copies in the log, by the client's retries"),
    Check(duplicate_by_resend, "duplicate", "extra copies in the log, by the application's re-sends"),
    Check(inversion_by_retry, "nonmonotonic-send", "out of order in the log, by the client's retries"),
    Check(inversion_by_resend, "nonmonotonic-send", "out of order in the log, by the application's re-sends"),
    Check(inconsistent_offsets, "inconsistent-offsets", "offsets at which two different records were seen"),
    Check(diverged, "", "in a follower's log where the leader's has another record"),
    Check(unfinished_drain, "", "drain that had not come to rest when its time was up"),
    Check(skipped_by_reset, "poll-skip", "never handled: auto.offset.reset went past them"),
    Check(overtaken_by_retention, "unseen", "never handled, and deleted by retention"),
    Check(passed_by_commit, "unseen", "never handled: a commit went past them"),
    Check(not_reached, "unseen", "not handled when the run ended"),
    Check(no_effect, "", "handled, but without their effect, ever"),
    Check(reprocessed, "", "handlings again of what had been handled"),
    Check(copies_handled, "duplicate", "handlings of a second copy in the log"),
    Check(effects_duplicated, "", "effects beyond the first"),
    Check(phantom, "lost-write", "handled, yet in no final log"),
    Check(poll_skip, "poll-skip", "passed over by one member between two polls"),
    Check(nonmonotonic_poll, "nonmonotonic-poll", "handled by one member after it had been further on"),
)


# --------------------------------------------------------------------------------------------------------------- helpers


def _marked(producer: ProducerTruth, mask: Mask) -> Case:
    return Case(producer.name, int(np.count_nonzero(mask)), [(producer.name, np.flatnonzero(mask))])


def _counted(of: str, excess: Sequence[tuple[str, Any]]) -> Case:
    """A case from how often something happened to each record; what is below zero never happened."""
    positive = [(producer, np.maximum(times, 0)) for producer, times in excess]
    return Case(of, sum(int(times.sum()) for _, times in positive), [(producer, np.flatnonzero(times)) for producer, times in positive])


def _listed(of: str, producer: str, found: Sequence[Integers]) -> Case:
    numbers = np.concatenate(found) if found else np.zeros(0, np.int64)
    return Case(of, len(numbers), [(producer, numbers)])


def _inverted(log: PartitionLog, place: int, among: Mask) -> tuple[Integers, Integers]:
    """Neighbours (before, after) out of order, among the first copies of one producer's records in one partition."""
    numbers = log.numbers[log.producers == place]
    numbers = numbers[among[numbers]]
    rising = numbers[1:] > numbers[:-1]
    if not rising.all():
        _, first = np.unique(numbers, return_index=True)
        numbers = numbers[np.sort(first)]
        rising = numbers[1:] > numbers[:-1]
    return numbers[:-1][~rising], numbers[1:][~rising]


def _partitions(truth: Truth) -> list[str]:
    names = {log.partition for log in truth.logs}
    names |= {entry.partition for entry in truth.ledger.callbacks if entry.base_offset >= 0}
    names |= {entry.partition for entry in truth.ledger.handled}
    return sorted(names)


def _observed(truth: Truth, partition: str) -> Iterator[tuple[Integers, Integers]]:
    """What the final log, the callbacks and the consumers say is where: offsets, and a code for the record at each."""
    ledger, places = truth.ledger, {producer.name: place for place, producer in enumerate(truth.producers)}
    callbacks = [entry for entry in ledger.callbacks if entry.partition == partition and not entry.error and entry.base_offset >= 0]
    handled = [entry for entry in ledger.handled if entry.partition == partition]
    for entries in ([entry for entry in ledger.log if entry.partition == partition], callbacks, handled):
        column = flatten([entry.numbers for entry in entries])
        offsets = runs(np.fromiter((entry.base_offset for entry in entries), np.int64, len(entries)), column.lengths)
        owners = column.spread((places[entry.producer] for entry in entries), np.int64)
        yield offsets, column.numbers * len(places) + owners


def _decoded(truth: Truth, codes: Integers) -> list[tuple[str, Integers]]:
    many = len(truth.producers)
    return [(producer.name, codes[codes % many == place] // many) for place, producer in enumerate(truth.producers)]


def _journeys(truth: Truth, group: str) -> Iterator[tuple[str, Integers, Integers]]:
    """For each member and partition: the partition, and where each of its handlings started and stopped, in order."""
    journeys: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for entry in truth.ledger.handled:
        if entry.group == group:
            journeys.setdefault((entry.member, entry.partition), []).append((entry.base_offset, entry.base_offset + len(entry.numbers)))
    for (_, partition), legs in journeys.items():
        table = np.array(legs, np.int64)
        yield partition, table[:, 0], table[:, 1]


def _between(truth: Truth, group: str, gaps: Sequence[tuple[str, int, int]]) -> Case:
    """The records of the final log at the offsets [low, high) of each gap."""
    logs = {log.partition: log for log in truth.logs}
    found: list[Integers] = []
    for partition, low, high in gaps:
        if partition in logs:
            log = logs[partition]
            inside = slice(*np.searchsorted(log.offsets, (low, high)))
            found.append(log.numbers[inside] * len(truth.producers) + log.producers[inside])
    codes = np.concatenate(found) if found else np.zeros(0, np.int64)
    return Case(group, len(codes), _decoded(truth, codes) if len(codes) else [])
