"""What the tests of the closed forms share: small scenarios, what is measured in a run, and the formulas themselves.

A formula stands here once, with its derivation; test_closed_forms.py holds the simulator against it. Nothing here is fitted: every
number comes from the scenario or from the formula. Times in ms, unless a name says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate, stats

from kafkasim.ledger import Ledger
from kafkasim.protocol.producer_batch import RecordSizes
from kafkasim.protocol.records import RECORD_BATCH_OVERHEAD
from kafkasim.report import Report
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace, TraceEntry

# A test is wrong about a correct simulator once in a thousand choices of seeds; the seeds are fixed, so a green test stays green.
SIGNIFICANCE = 0.001
# Two-sided, of the normal distribution: the 99.9 % interval of a mean is this many standard errors to either side.
Z_999 = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)

QUICK_SESSION = {"broker.session.timeout.ms": 1000, "broker.heartbeat.interval.ms": 200}
CALM_NETWORK = {"latency.ms": 1, "jitter.ms": 0}
LEADER = "leader(orders-0)"
UNBATCHED = {"linger.ms": 0, "batch.size": 1}
ONE_AT_A_TIME = {**UNBATCHED, "enable.idempotence": False, "max.in.flight.requests.per.connection": 1}


# ---------------------------------------------------------------------------------------------------- scenarios and runs


class Observed(NamedTuple):
    """One run: its report, what the clients saw, and what only the simulator sees."""

    report: Report
    ledger: Ledger
    trace: Sequence[TraceEntry]

    def events(self, name: str) -> list[TraceEntry]:
        """The entries of one kind, in order."""
        return [entry for entry in self.trace if type(entry.event).__name__ == name]


def scenario(
    producer: Mapping[str, Any],
    *,
    brokers: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
    consumer: Mapping[str, Any] | None = None,
) -> Scenario:
    """Three brokers, `orders` with one partition on all of them and led by broker-1, one producer `shop`, at most one group `billing`."""
    consumers = [] if consumer is None else [{"group": "billing", "topics": ["orders"], **consumer}]
    return Scenario.of(
        {
            "cluster": {"brokers": 3, "startup.ms": 100, "config": dict(brokers or {})},
            "network": dict(network or {}),
            "topics": {"orders": {"partitions": 1, "replication.factor": 3, "config": {"min.insync.replicas": 2}}},
            "producers": [{"name": "shop", "topic": "orders", **producer}],
            "consumers": consumers,
            "faults": list(faults),
        }
    )


def observe(what: Scenario, seed: int) -> Observed:
    """Run once and keep everything."""
    trace, kept = Trace(), list[Ledger]()
    report = run(what, seed, trace=trace, keep=kept.append)
    assert report.unresolved == 0, "every closed form counts records whose fate the drain has settled"
    return Observed(report, kept[0], trace.entries)


def observe_many(what: Scenario, runs: int) -> Iterator[Observed]:
    """One run a seed, from 0 on."""
    return (observe(what, seed) for seed in range(runs))


# ---------------------------------------------------------------------------------------------------- statistics


def ks_p(values: Sequence[float], distribution: Any) -> float:
    """Kolmogorov and Smirnov: how likely a sample at least this far from `distribution` is (a frozen one of scipy.stats)."""
    return float(stats.kstest(values, distribution.cdf).pvalue)


def uniform(low: float, high: float) -> Any:
    """U(low, high)."""
    return stats.uniform(low, high - low)


def mean_agrees(values: Sequence[float], expected: float, variance: float) -> bool:
    """Whether `expected` lies in the 99.9 % interval of the mean, with the variance that the formula itself gives (not the sample's)."""
    return bool(abs(np.mean(values) - expected) <= Z_999 * math.sqrt(variance / len(values)))


def chi_square_p(counts: Sequence[int], probabilities: Sequence[float]) -> float:
    """Pearson's test of counts in cells against their probabilities. Cells with fewer than 5 expected are joined with the next."""
    total = sum(counts)
    assert math.isclose(sum(probabilities), 1.0), "the cells cover everything"
    cells = [(0.0, 0.0)]
    for count, probability in zip(counts, probabilities, strict=True):
        seen, expected = cells[-1]
        cells[-1] = (seen + count, expected + probability * total)
        if cells[-1][1] >= 5:
            cells.append((0.0, 0.0))
    rest = cells.pop()
    cells[-1] = (cells[-1][0] + rest[0], cells[-1][1] + rest[1])
    return float(stats.chisquare([seen for seen, _ in cells], [expected for _, expected in cells]).pvalue)


# ---------------------------------------------------------------------------------------------------- O1 batching


def batch_bytes(records: int, record_size: int) -> int:
    """batch.size that `records` fill to the byte, while offsets and timestamps stay within 63 of the batch's first (one byte each)."""
    return RECORD_BATCH_OVERHEAD + records * RecordSizes(record_size).size(0, 0)


def batch_size_probabilities(rate_per_ms: float, linger_ms: float, most: int) -> list[float]:
    """P(B = 1 … most): the first record begins the linger clock, and as many come along as a Poisson process brings, up to `most`."""
    fewer = [float(stats.poisson.pmf(size - 1, rate_per_ms * linger_ms)) for size in range(1, most)]
    return [*fewer, 1 - sum(fewer)]


def first_wait(rate_per_ms: float, linger_ms: float, completed_by: int) -> tuple[float, float]:
    """Mean and variance of min(linger, arrival of the `completed_by`-th record after the first): E[min(Poisson(rate * linger), n)] / rate.

    The mean is also the integral of P(wait > t) from 0 to linger, and the second moment that of 2 t P(wait > t): both are computed so.
    """
    mean = integrate.quad(lambda t: stats.poisson.cdf(completed_by - 1, rate_per_ms * t), 0, linger_ms)[0]
    square = integrate.quad(lambda t: 2 * t * stats.poisson.cdf(completed_by - 1, rate_per_ms * t), 0, linger_ms)[0]
    return float(mean), float(square - mean**2)


def batches_and_waits(observed: Observed) -> tuple[list[int], list[float]]:
    """The number of records of each batch, and how long its first record waited from send() to the wire."""
    sent_at = observed.ledger.sent[0].times
    assert not isinstance(sent_at, float), "the times of a schedule are kept one by one"
    batches = observed.events("BatchSent")[:-1]  # the last one has no successor to be full for
    return [len(entry.event.numbers) for entry in batches], [entry.at - sent_at[entry.event.numbers[0]] for entry in batches]


# ---------------------------------------------------------------------------------------------------- O2 copies


def extra_copies(observed: Observed) -> list[int]:
    """For each record that was sent, how often it is in the final log beyond the first time."""
    copies = dict.fromkeys(range(observed.report.sent), 0)
    for entry in observed.ledger.log:
        for number in entry.numbers:
            copies[number] += 1
    assert min(copies.values()) >= 1, "an answer that is lost does not take the record with it"
    return [count - 1 for count in copies.values()]


def copies_probabilities(q: float, retries: int) -> list[float]:
    """P(0 … retries extra copies), each answer being lost with probability q and each loss answered by a retry."""
    return [*((1 - q) * q**extra for extra in range(retries)), q**retries]


# ---------------------------------------------------------------------------------------------------- O5 fencing


def crashes(session_ms: int, heartbeat_ms: int, node: str) -> Scenario:
    """One broker is killed at 1 s."""
    times = {"broker.session.timeout.ms": session_ms, "broker.heartbeat.interval.ms": heartbeat_ms}
    crash = {"at": "1s", "fault": "crash", "node": node, "for": "12s"}
    return scenario({"records": 1}, network=CALM_NETWORK, brokers=times, faults=[crash])


def fencing_delay(session_ms: float, heartbeat_ms: float, one_way_ms: float) -> Any:
    """Kill to fencing: session - U(0, heartbeat), and then the controller's next look, of eight a session: + U(0, session / 8).

    A heartbeat counts when it arrives, and the next follows heartbeat_ms after its answer: both cost the way of the message. The sum of
    two independent uniforms is a trapezoid: it rises over the shorter one, is flat, and falls.
    """
    period = heartbeat_ms + 2 * one_way_ms
    look = session_ms / 8
    earliest, span = session_ms + one_way_ms - period, period + look
    return stats.trapezoid(min(period, look) / span, max(period, look) / span, earliest, span)


def fencing_delays(seen: Iterator[Observed]) -> list[float]:
    """From the kill to the entry that says BrokerFenced, of each run."""
    delays = []
    for observed in seen:
        (fenced,) = observed.events("BrokerFenced")
        assert fenced.event.stale, "nobody asked for it: its session ran out"
        fired = observed.ledger.faults[0].fired
        assert fired is not None, "the fault is one with a time"
        delays.append(fenced.at - fired)
    return delays


# ---------------------------------------------------------------------------------------------------- O4 zombie


def zombie(cut_from: list[str], lasts: str, **config: object) -> Scenario:
    """200 records a second, while the leader is cut off from `cut_from` from 1 s on."""
    cut = {"at": "1s", "fault": "partition", "node": LEADER, "from": cut_from, "for": lasts, "as": "zombie"}
    producer = {"records": 1500, "rate": 200, "config": {"acks": 1, **UNBATCHED, **config}}
    return scenario(producer, brokers=QUICK_SESSION, faults=[cut])


def zombie_loss(observed: Observed, cut_from: list[str], until: float) -> float:
    """Rate times window: from the new leader's last fetch (the cut, or its election, if it could fetch till then) to `until`."""
    cut, _ = fault_window(observed)
    elected = first_after(observed, "LeaderElected", cut)
    assert elected is not None, "the cut outlasts the session, so there is a new leader"
    return 0.2 * (until - (cut if "brokers" in cut_from else elected))


def heard_of_it(observed: Observed) -> float:
    """When the zombie has read in the metadata log that it is one."""
    cut, _ = fault_window(observed)
    return next(entry.at for entry in observed.events("BecameFollower") if entry.node == "broker-1" and entry.at > cut)


def hearing_delay(one_way_ms: float, cut_ms: float) -> Any:
    """Heal to `heard_of_it`, for a cut of 2 to 5 seconds: how long until a SYN gets through, and four ways.

    The fetch that the cut leaves without an answer was sent up to a cycle before it, or up to one way after it, as an answer under way
    still arrives. 2 s later the broker gives it up and connects: a SYN goes out then, another one second and 4 to 32 ms later (the timer
    wheel has slots of 32 ms), and one every 1024 ms after that. Four messages follow the first SYN that finds the way open: the SYN
    itself, the answer to it, the fetch, and the news.
    """
    cycle = 500 + 2 * one_way_ms
    fetched = np.linspace(one_way_ms - cycle, one_way_ms, 2001)[:, None, None]
    late = 4 * np.arange(1, 9)[None, :, None]
    syns = fetched + 2000 + np.concatenate([0 * late, 1000 + late + 1024 * np.arange(4)], axis=2)
    waited = np.where(syns >= cut_ms, syns - cut_ms, np.inf).min(axis=2)
    return stats.rv_histogram(np.histogram(waited + 4 * one_way_ms, bins=1000), density=False)


# ---------------------------------------------------------------------------------------------------- O6, O7, O8, O9


def first_after(observed: Observed, name: str, after: float, partition: str = "orders-0") -> float | None:
    """When an event of this kind first befell the partition after an instant, or None."""
    return next((entry.at for entry in observed.events(name) if entry.at > after and str(entry.event.partition) == partition), None)


def fault_window(observed: Observed) -> tuple[float, float]:
    """From when to when the first fault lasted."""
    fault = observed.ledger.faults[0]
    assert fault.fired is not None, "it has begun"
    assert fault.ended is not None, "it has ended, with the heal at the latest"
    return fault.fired, fault.ended


def committed_offsets(observed: Observed) -> list[int]:
    """The offsets that the group committed with success, in order, without repetition."""
    offsets = [commit.offset for commit in observed.ledger.commits if not commit.error]
    return [second for first, second in pairwise([-1, *offsets]) if second != first]


def backoffs(observed: Observed) -> list[list[float]]:
    """The waits of each record, in order, as they were drawn."""
    waits: dict[int, list[float]] = {}
    for entry in observed.events("BatchRetried"):
        waits.setdefault(entry.event.numbers[0], []).append(entry.event.backoff_ms)
    return list(waits.values())


def latencies(observed: Observed) -> list[float]:
    """send() to callback, of each record."""
    sent_at = observed.ledger.sent[0].times
    assert not isinstance(sent_at, float), "the times of a schedule are kept one by one"
    return [callback.at - sent_at[number] for callback in observed.ledger.callbacks for number in callback.numbers]


def every_phase(start_ms: float, cycle_ms: float, runs: int) -> list[str]:
    """Instants that divide one cycle evenly: what happens at a random instant, without the noise of drawing it."""
    return [f"{start_ms + cycle_ms * (run + 0.5) / runs:.3f}ms" for run in range(runs)]
