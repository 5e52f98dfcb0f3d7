"""Speed as a ratio, never as a time: `python tests/benchmarks/speed.py` prints it.

R0 is what this machine does at best: self-rescheduling callbacks on a bare `heapq`, 1000 pending, measured in the same process
just before each figure. Both are process time, so that a busy neighbour counts little.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from itertools import count, cycle

from kafkasim.ledger import Ledger
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.simulation import Run

TARGETS = {1: 0.008, 10: 0.09, 100: 0.9}  # records a second, as a share of R0, by records a batch
LINGER_MS = 5


def bare_heap_rate(callbacks: int = 300_000, pending: int = 1000) -> float:
    """R0, in callbacks a second of process time."""
    heap: list[tuple[float, int, object]] = []
    serial = count()
    delays = random.Random(1)
    delay = cycle([delays.random() for _ in range(4096)]).__next__
    now = 0.0

    def callback() -> None:
        heapq.heappush(heap, (now + delay(), next(serial), callback))

    for _ in range(pending):
        callback()
    began = time.process_time()
    for _ in range(callbacks):
        now, _, function = heapq.heappop(heap)
        function()  # type: ignore[operator]
    return callbacks / (time.process_time() - began)


def steady(per_batch: int, batches: int, commit: str = "auto") -> Scenario:
    """RF 3, acks=all, one consumer, nothing fails; `per_batch` records fall into each linger."""
    linger = 0 if per_batch == 1 else LINGER_MS
    rate = 100.0 if per_batch == 1 else (per_batch - 0.5) * 1000 / LINGER_MS
    return Scenario.loads(
        "topics: {orders: {config: {min.insync.replicas: 2}}}\n"
        f"producers: [{{name: shop, topic: orders, records: {per_batch * batches}, rate: {rate}, "
        f"config: {{acks: all, linger.ms: {linger}, batch.size: 1000000}}}}]\n"
        f"consumers: [{{group: billing, topics: [orders], commit: {commit}}}]\n"
    )


def played(scenario: Scenario) -> tuple[Run, Ledger, float]:
    """One run, its ledger, and its seconds of process time."""
    ledger = Ledger("simulator", 1, groups=tuple(group.group for group in scenario.consumers))
    run = Run(SimulatedCluster(scenario, 1, ledger, None), None)
    began = time.process_time()
    run.all_phases()
    return run, ledger, time.process_time() - began


def main(batches: int = 20_000) -> None:
    """Print the table."""
    print("records  commit            R0/s      records/s  ratio    target  us/batch  events/batch")
    for per_batch, target in TARGETS.items():
        for commit in ("auto", "after-processing"):
            scenario = steady(per_batch, batches, commit)
            rate_0 = max(bare_heap_rate() for _ in range(3))
            run, ledger, seconds = played(scenario)
            made = len({entry.base_offset for entry in ledger.log})
            rate = per_batch * batches / seconds
            print(
                f"{per_batch:7}  {commit:16}  {rate_0:8.0f}  {rate:9.0f}  {rate / rate_0:.4f}  {target:6}"
                f"  {seconds / made * 1e6:8.1f}  {run.events_of_workload / made:12.2f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
