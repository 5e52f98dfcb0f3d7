"""What each setting of a study costs and how safe it is: the dots of a trade-off, and the Pareto front among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkasim.plots.levels import varying
from kafkasim.plots.measure import NO_BREAK, Cell, Measure, cell_of, measure_of, short
from kafkasim.study.axis_columns import AxisColumn
from kafkasim.study.table import StudyTable


@dataclass(frozen=True, slots=True)
class Offer:
    """One setting: its first point, what it costs and how safe it is, each with its interval."""

    point: int
    loss: Cell
    latency: Cell
    throughput: Cell


def offers_of(table: StudyTable, measure: Measure) -> tuple[list[Offer], int]:
    """Every setting with a latency and a throughput; and how many have none."""
    latency, throughput = measure_of(table, "latency_ms.p99"), measure_of(table, "throughput")
    found = [
        Offer(points[0], cell_of(table, measure, points), cell_of(table, latency, points), cell_of(table, throughput, points))
        for points in settings_of(table)
    ]
    known = [offer for offer in found if None not in (offer.loss.interval, offer.latency.interval, offer.throughput.interval)]
    return known, sum(1 for offer in found if offer.loss.seen) - len(known)


def chosen_axes(table: StudyTable) -> list[AxisColumn]:
    """The axes that somebody can choose: all but those of faults; those too where there is nothing else."""
    return [axis for axis in varying(table) if not axis.path.startswith("faults.")] or varying(table)


def settings_of(table: StudyTable) -> list[tuple[int, ...]]:
    """The points by their settings: one can choose acks, but not how long a fault lasts, so points that differ in faults only are one."""
    chosen = chosen_axes(table)
    groups: dict[tuple[str, ...], list[int]] = {}
    for point in range(table.points):
        groups.setdefault(tuple(axis.written[point] for axis in chosen), []).append(point)
    return [tuple(points) for points in groups.values()]


def mean(cell: Cell) -> float:
    """The estimate of a cell that has one."""
    assert cell.interval is not None, "an offer has all three"
    return cell.interval.estimate


def front(offers: Sequence[Offer], what: str) -> list[Offer]:
    """The Pareto front of loss and cost, from the cheapest on: each is safer than all that are as cheap or cheaper.

    What differs by less than a hundredth is alike, or noise would choose.
    """
    kept: list[Offer] = []
    for offer in sorted(offers, key=lambda offer: (float(f"{cost(offer, what):.3g}"), mean(offer.loss), cost(offer, what), offer.point)):
        if not kept or mean(offer.loss) < 0.99 * mean(kept[-1].loss):
            kept.append(offer)
    return kept


def cost(offer: Offer, what: str) -> float:
    """Less is better: ms of p99 ("latency"), or the throughput with a minus."""
    return mean(offer.latency) if what == "latency" else -mean(offer.throughput)


def ends(cell: Cell) -> tuple[float, float]:
    """The ends of its interval."""
    assert cell.interval is not None, "an offer has all three"
    return cell.interval.low, cell.interval.high


def sentence_of(measure: Measure, offers: Sequence[Offer], left_out: int = 0) -> str:
    """The title: what it takes to be safe, and what the fastest gives up. `left_out`: settings without a price, as nothing was acked."""
    safe = [offer for offer in offers if offer.loss.none]
    fastest = min(offers, key=lambda offer: (mean(offer.latency), mean(offer.loss)))
    most = max(mean(offer.throughput) for offer in offers)
    if not safe:
        least = min(offers, key=lambda offer: mean(offer.loss))
        amount = measure.amount(mean(least.loss))
        return f"No setting is without {measure.noun}; the least is {amount}, at {ms(mean(least.latency))} of p99"
    quick = min(mean(offer.latency) for offer in safe)
    best = max(mean(offer.throughput) for offer in safe)
    if len(safe) == len(offers):
        where = "where anything was acked" if left_out else "in any run"
        return f"No {measure.noun} {where}; the fastest setting has {ms(quick)} of p99"
    if fastest.loss.none:
        return f"Safety costs no latency here: the fastest setting ({ms(quick)} of p99) has no {measure.noun} in any run"
    return (
        f"Without {measure.noun}, p99 is at least {ms(quick)} and throughput at most {short(best)} of {short(most)}{NO_BREAK}records/s;"
        f" at {ms(mean(fastest.latency))}, {measure.noun} is {measure.amount(mean(fastest.loss))}"
    )


def ms(value: float) -> str:
    """ "12 ms"."""
    return f"{short(value)}{NO_BREAK}ms"
