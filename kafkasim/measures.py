"""The numbers of a report: counts, rates, latency, and the price of safety. Each is one expression over the expanded truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kafkasim.checks import log_inversions
from kafkasim.truth import Floats, GroupTruth, Mask, Truth

UNAVAILABLE_AFTER_MS = 1000.0  # records waiting, and no ack for longer than this, is an outage


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """What a consumer group did, in records: `lost` are in the log and were never handled, `phantom` were handled and are in no log."""

    processed: int
    lost: int
    reprocessed: int
    effects_duplicated: int
    phantom: int

    def to_dict(self) -> dict[str, int]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rates:
    """End to end, of all sent: effects that never happened, those of them that had been acked, and effects too many."""

    loss_rate: float
    silent_loss_rate: float
    duplication_rate: float


def record_counts(truth: Truth) -> dict[str, int]:
    """The flat counts, in the report's order. A record counts once, by its last outcome: sent = acked + failed + unresolved."""
    counts = dict.fromkeys(
        ("sent", "acked", "failed", "unresolved", "acked_lost", "failed_lost", "failed_but_written", "log_duplicates"), 0
    ) | {"log_inversions": log_inversions(truth), "spooled": 0, "resent": 0, "expired": 0}
    for producer in truth.producers:
        not_acked = producer.failed | producer.unresolved
        marks = {
            "sent": producer.sent,
            "acked": producer.acked,
            "failed": producer.failed,
            "unresolved": producer.unresolved,
            "acked_lost": producer.acked & ~producer.in_log,
            "failed_lost": not_acked & ~producer.in_log,
            "failed_but_written": not_acked & producer.in_log,
            "spooled": producer.spooled,
            "resent": producer.from_spool,
            "expired": producer.expired,
        }
        for name, mask in marks.items():
            counts[name] += int(np.count_nonzero(mask))
        counts["log_duplicates"] += int(np.maximum(producer.copies - 1, 0).sum())
    return counts


def group_counts(truth: Truth, group: GroupTruth) -> GroupCounts:
    """One group's counts over all producers whose topic it subscribes to (or of which it handled anything)."""
    totals = dict.fromkeys(("processed", "lost", "reprocessed", "effects_duplicated", "phantom"), 0)
    for producer, handled, effects, subscribed in zip(truth.producers, group.handled, group.effects, group.subscribed, strict=True):
        ever = handled > 0
        totals["processed"] += int(np.count_nonzero(ever))
        totals["lost"] += int(np.count_nonzero(producer.in_log & ~ever)) if subscribed else 0
        totals["reprocessed"] += int(np.maximum(handled - 1, 0).sum())
        totals["effects_duplicated"] += int(np.maximum(effects - 1, 0).sum())
        totals["phantom"] += int(np.count_nonzero(ever & ~producer.in_log))
    return GroupCounts(**totals)


def rates(truth: Truth) -> Rates:
    """The end-to-end rates: those of the worst group, or of the log where nobody consumes."""
    if not truth.groups:
        return _rates([(producer.sent, producer.acked, producer.copies) for producer in truth.producers])
    each = [
        _rates(
            [
                (producer.sent, producer.acked, effects)
                for producer, effects, subscribed in zip(truth.producers, group.effects, group.subscribed, strict=True)
                if subscribed
            ]
        )
        for group in truth.groups
    ]
    return Rates(*(max(getattr(one, name) for one in each) for name in ("loss_rate", "silent_loss_rate", "duplication_rate")))


def _rates(tables: list[tuple[Mask, Mask, Any]]) -> Rates:
    """From (sent, acked, effects) a producer."""
    sent = sum(int(np.count_nonzero(sent)) for sent, _, _ in tables)
    never = sum(int(np.count_nonzero(sent & (effects == 0))) for sent, _, effects in tables)
    silent = sum(int(np.count_nonzero(acked & (effects == 0))) for _, acked, effects in tables)
    extra = sum(int(np.maximum(effects - 1, 0).sum()) for _, _, effects in tables)
    return Rates(*(count / sent if sent else 0.0 for count in (never, silent, extra)))


def latency_ms(truth: Truth) -> dict[str, float | None]:
    """From a record's first send to its first successful ack; None where nothing was acked."""
    waits = [producer.acked_at - producer.sent_at for producer in truth.producers]
    acked = np.concatenate([wait[~np.isnan(wait)] for wait in waits]) if waits else np.zeros(0)
    if not len(acked):
        return {"p50": None, "p99": None, "max": None}
    middle, high = np.percentile(acked, (50, 99))
    return {"p50": round(float(middle), 3), "p99": round(float(high), 3), "max": round(float(acked.max()), 3)}


def throughput(truth: Truth) -> float:
    """Records acked a second, from the first send to the last first ack."""
    acks = [producer.acked_at[~np.isnan(producer.acked_at)] for producer in truth.producers]
    acked = sum(map(len, acks))
    if not acked:
        return 0.0
    began = min(float(np.nanmin(producer.sent_at)) for producer in truth.producers if not np.isnan(producer.sent_at).all())
    lasted = max(float(times.max()) for times in acks if len(times)) - began
    return round(1000.0 * acked / lasted, 3) if lasted > 0 else 0.0


def unavailable_ms(truth: Truth) -> float:
    """Time during which some producer had records waiting, and had heard no ack for over a second (such a gap counts in full)."""
    total, reached = 0.0, -np.inf
    for began, ended in sorted(outages(truth)):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return round(total, 3)


def outages(truth: Truth) -> Iterator[tuple[float, float]]:
    """Each producer's gaps, as (began, ended). A record waits from its first send to its ack, or else to its last callback.

    What never got a callback waits for nobody once the run is drained: it died with its producer.
    """
    for producer in truth.producers:
        done = np.where(np.isnan(producer.acked_at), producer.resolved_at, producer.acked_at)
        waiting = ~np.isnan(producer.sent_at)
        if truth.ledger.drained:
            waiting &= ~np.isnan(done)
        sent, done = producer.sent_at[waiting], done[waiting]
        done[np.isnan(done)] = max(truth.ledger.ended, float(sent.max(initial=0.0)))
        yield from _gaps(np.sort(sent), np.sort(done), np.sort(producer.acked_at[~np.isnan(producer.acked_at)]))


def _gaps(sent: Floats, done: Floats, acks: Floats) -> Iterator[tuple[float, float]]:
    """Where records waited for longer than UNAVAILABLE_AFTER_MS between two neighbouring acks. All three in ascending order."""
    if not len(sent):
        return
    marks = np.concatenate(([sent[0]], acks, [done[-1]]))
    for place in np.flatnonzero(np.diff(marks) > UNAVAILABLE_AFTER_MS):
        low, high = float(marks[place]), float(marks[place + 1])
        begun, ended = (np.searchsorted(times, (low, high), side="right") for times in (sent, done))
        times = np.concatenate(([low], sent[begun[0] : begun[1]], done[ended[0] : ended[1]], [high]))
        steps = np.concatenate(([begun[0] - ended[0]], np.ones(begun[1] - begun[0]), -np.ones(ended[1] - ended[0]), [0]))
        order = np.argsort(times, kind="stable")
        idle = np.flatnonzero(np.cumsum(steps[order]) <= 0)
        times = times[order]
        # The stretches between two moments at which nothing waited.
        since = 0
        for until in [*idle.tolist(), len(times) - 1]:
            if until > since and times[until] - times[since] > UNAVAILABLE_AFTER_MS:
                yield float(times[since]), float(times[until])
            since = until + 1 if until + 1 < len(times) else until
