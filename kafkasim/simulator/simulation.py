"""One run from start to end: warm-up, workload with faults, heal, drain, and the reading of the final log.

Without the heal and the drain every run would report false loss: a record that is merely late is not lost.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from kafkasim.backend import Tick
from kafkasim.injector import Injector
from kafkasim.ledger import Ledger, LogEntry
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_manager import BrokerDisk
from kafkasim.protocol.records import LogBatch, TopicPartition
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.consuming import ConsumingApplication
from kafkasim.simulator.driver import Status
from kafkasim.simulator.producing import ProducingApplication, close_ledger
from kafkasim.trace import Trace

_WARM_UP_MS = 300_000.0  # at most
_SETTLE_MS = 500.0  # from stable groups to the first record: clients learn metadata and producer ids
_LOOK_MS = 100.0  # how often the phases look whether they are over
_PATIENCE_MS = 5_000.0  # without any progress for so long, a `when` will not come true any more
_QUIET_MS = 1_000.0  # how long nothing may have moved before a drain is over


class Simulator:
    """The backend in simulated time. Every fault is supported."""

    name = "simulator"
    client_versions = None
    options: Sequence[str] = ()

    def run(self, scenario: Scenario, seed: int, trace: Trace | None = None, tick: Tick | None = None) -> Ledger:
        """Run once, deterministically by (scenario, seed). Times in the ledger are ms since the workload began."""
        groups = tuple(group.group for group in scenario.consumers)
        topics = tuple(group.topics for group in scenario.consumers)
        ledger = Ledger(backend=self.name, seed=seed, groups=groups, group_topics=topics)
        cluster = self.cluster(scenario, seed, ledger, trace)
        try:
            Run(cluster, tick).all_phases()
        finally:
            cluster.stores.close()
        if trace is not None:
            trace.rebase(cluster.progress.zero)
        return ledger

    def cluster(self, scenario: Scenario, seed: int, ledger: Ledger, trace: Trace | None) -> SimulatedCluster:
        """The cluster of one run, before its first event."""
        return SimulatedCluster(scenario, seed, ledger, trace)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """What a run makes is kept to its end (logs, ledger) or freed by its count: Python's collector would find nothing, again and again."""
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class Run:
    """The phases of one run."""

    def __init__(self, cluster: SimulatedCluster, tick: Tick | None) -> None:
        self._cluster = cluster
        self._driver = cluster.driver
        self._tick = tick
        self._total = sum(producer.records for producer in cluster.scenario.producers)
        self.events_of_workload = 0  # heap entries taken from the first record on, the drain included

    def all_phases(self) -> None:
        """Warm-up, workload, heal, drain, judge's evidence."""
        with _rare_collections():
            self._all_phases()

    def _all_phases(self) -> None:
        cluster, ledger = self._cluster, self._cluster.ledger
        injector = Injector(cluster, cluster.driver)
        self._warm_up()
        zero = cluster.progress.zero
        before = self._driver.events
        injector.arm(zero)
        self._until(lambda: self._workload_over(injector), float("inf"), "workload")
        injector.heal()
        cluster.progress.moved = self._driver.now  # what a heal sets free has moved nothing yet: give it time to
        limit = self._driver.now + cluster.scenario.drain_ms
        ledger.drained = self._until(self._drained, limit, "drain")
        if not ledger.drained:
            ledger.notes.append(f"the drain was still moving after {cluster.scenario.drain_ms / 1000:g} s: {self._still_moving()}")
        self.events_of_workload = self._driver.events - before
        self._read_final_log()
        ledger.ended = self._driver.now - zero
        close_ledger(ledger, list(cluster.sources.values()), zero)

    def _until(self, over: Callable[[], bool], at_most: float, phase: str) -> bool:
        """Step until `over()`, asked every _LOOK_MS of simulated time, or until `at_most`."""

        def look() -> bool:
            if self._tick is not None:
                sent = sum(source.handed_over for source in self._cluster.sources.values())
                self._tick(sent / self._total if self._total else 1.0, phase)
            return over()

        return self._driver.run(look, at_most, _LOOK_MS)

    # ------------------------------------------------------------------------------------------------ warm-up

    def _warm_up(self) -> None:
        """Brokers registered and unfenced, topics with full ISRs, groups stable; then a pause that puts the timers out of step."""
        cluster, driver = self._cluster, self._driver
        cluster.boot()
        image = cluster.controller_state.image
        brokers = cluster.scenario.cluster.brokers
        self._need(
            lambda: sum(not broker.fenced for broker in image.brokers.values()) == brokers,
            "the brokers did not register",
            "are network.latency.ms and the broker's session and heartbeat times reasonable?",
        )
        cluster.create_topics()
        wanted = len(image.partitions)
        self._need(
            lambda: len(image.partitions) >= wanted and all(map(cluster.view.in_sync, cluster.view.brokers)),
            "the topics did not get ready",
            "are network.latency.ms and replica.lag.time.max.ms reasonable?",
        )
        self._commit_beginnings()
        cluster.add_consumers(None)
        self._need(
            self._groups_stable,
            "the groups did not become stable",
            "are network.latency.ms and the session and rebalance times reasonable?",
        )
        pause = self._idle_pause()
        zero = driver.now + _SETTLE_MS + pause
        driver.run(lambda: False, driver.now + pause, pause)
        cluster.progress.zero = zero
        cluster.add_producers(zero)
        cluster.add_consumers(zero)

    def _commit_beginnings(self) -> None:
        for group in self._cluster.scenario.consumers:
            if group.committed == "beginning":
                name = group.group
                self._need(
                    lambda name=name: self._cluster.leads_group(name),  # type: ignore[misc]  # bound early
                    f"the group {name} found no coordinator",
                    "are network.latency.ms and replica.lag.time.max.ms reasonable?",
                )
                self._cluster.commit_beginning(group)

    def _idle_pause(self) -> float:
        """A draw for each periodic task that decides something, so that each stands at a uniform point of its own period."""
        config = self._cluster.scenario.broker_config()
        draw = self._cluster.streams.uniform("warm-up")
        return draw() * config.replica_lag_time_max_ms / 2 + draw() * config.broker_heartbeat_interval_ms

    def _need(self, ready: Callable[[], bool], complaint: str, remedy: str) -> None:
        came = self._until(ready, self._driver.now + _WARM_UP_MS, "warm-up")
        if not came:
            raise ScenarioError([Problem(self._cluster.scenario.name, f"{complaint} within {_WARM_UP_MS / 1000:g} s; {remedy}.")])

    def _groups_stable(self) -> bool:
        """Every member that begins with the workload has its partitions, and in each of them a position."""
        applications = self._running(ConsumingApplication)
        if len(applications) < sum(group.members for group in self._cluster.scenario.consumers if not group.start_ms):
            return False
        for application in applications:
            if application.failed:
                continue
            if application.assignment is None or len(application.client.positions()) < len(application.assignment):
                return False
        return True

    # ------------------------------------------------------------------------------------------------ workload

    def _workload_over(self, injector: Injector) -> bool:
        """All sent, every timed fault over; a `when` that still waits is given up once nothing moves any more."""
        if not all(application.all_sent for application in self._running(ProducingApplication)):
            return False
        if not injector.timed_over:
            return False
        return not injector.waiting or self._driver.now - self._cluster.progress.moved > _PATIENCE_MS

    # ------------------------------------------------------------------------------------------------ drain

    def _drained(self) -> bool:
        """Every process up, every ISR full, every producer resolved, every spool empty, every group at the end, and all quiet."""
        return self._driver.now - self._cluster.progress.moved > _QUIET_MS and not self._still_moving()

    def _still_moving(self) -> str:
        """What the drain waits for, or "" when nothing moves."""
        cluster = self._cluster
        for name, host in self._driver.hosts.items():
            if host.status is not Status.RUNNING or host.inbox:
                return f"{name} is not up"
        for name in cluster.view.brokers:
            if not cluster.view.in_sync(name):
                return f"{name} is not in every ISR"
        for partition in cluster.view.partitions:
            if cluster.view.high_watermark(partition) < cluster.view.log_end_offset(partition):
                return f"{partition} has records that are not committed"
        for application in self._running(ProducingApplication):
            if not application.finished:
                return f"{application.client.name} has records without a callback, or in its spool"
        for consumer in self._running(ConsumingApplication):
            if not consumer.idle:
                return f"{consumer.client.name} has records in hand"
        return self._group_behind()

    def _group_behind(self) -> str:
        cluster = self._cluster
        positions: dict[tuple[str, TopicPartition], int] = {}
        for consumer in self._running(ConsumingApplication):
            for partition, position, leader_epoch in consumer.client.positions():
                # A position from before an election may name a record that was cut off since: the consumer has yet to find out.
                if leader_epoch == cluster.view.leader_epoch(partition):
                    positions[consumer.client.group, partition] = position
        stopped = {consumer.client.group for consumer in self._running(ConsumingApplication) if consumer.failed}
        for group in cluster.scenario.consumers:
            if group.group in stopped:
                continue  # its application has ended itself: nobody will read on
            for topic in group.topics:
                for index in range(cluster.scenario.topics[topic].partitions):
                    partition = TopicPartition(topic, index)
                    if positions.get((group.group, partition), -1) < self._high_watermark(partition):
                        return f"group {group.group} has not read {partition} to its end"
        return ""

    def _high_watermark(self, partition: TopicPartition) -> int:
        return self._cluster.view.high_watermark(partition)

    def _running(self, kind: type) -> list:  # type: ignore[type-arg]  # one of the two applications, or none while the process is down
        return [host.node for host in self._driver.hosts.values() if isinstance(host.node, kind)]

    # ------------------------------------------------------------------------------------------------ evidence

    def _read_final_log(self) -> None:
        """What a fresh consumer would read, every partition's leader to its high watermark; and before it, what retention removed."""
        cluster, ledger = self._cluster, self._cluster.ledger
        for name, topic in cluster.scenario.topics.items():
            for index in range(topic.partitions):
                partition = TopicPartition(name, index)
                leader = cluster.view.leader(partition)
                if leader is None:
                    ledger.notes.append(f"{partition} has no leader at the end: nobody can read it")
                    continue
                end = self._high_watermark(partition)
                log = cluster.disks[leader].logs[partition]
                for stored in _expired(log, list(_removed_by_retention(partition, cluster.disks.values()))):
                    ledger.log.append(LogEntry(str(partition), stored.base_offset, stored.batch.producer, stored.batch.numbers, True))
                for stored in log.batches:
                    numbers = stored.batch.numbers[: max(0, end - stored.base_offset)]
                    if numbers and stored.base_offset >= log.log_start_offset:
                        ledger.log.append(LogEntry(str(partition), stored.base_offset, stored.batch.producer, numbers))
                ledger.diverged += cluster.view.diverged(partition, end)


def _removed_by_retention(partition: TopicPartition, disks: Iterable[BrokerDisk]) -> Iterator[Sequence[LogBatch]]:
    """Each replica's, and then what was once removed where there is no replica any more."""
    disks = list(disks)
    yield from (disk.logs[partition].expired for disk in disks if partition in disk.logs)
    yield from (disk.expired_in_deleted.get(partition, ()) for disk in disks)


def _expired(leader: Log, removed: Sequence[Sequence[LogBatch]]) -> list[LogBatch]:
    """What retention removed below the start of the leader's log, by whichever replica was first to do it.

    Where two have removed different records at one offset (an unclean election came between), the leader's count; batches need not begin
    at the same offsets then.
    """
    found: dict[int, LogBatch] = {}
    taken: set[int] = set()
    for batches in (leader.expired, *removed):
        for stored in batches:
            if stored.next_offset <= leader.log_start_offset and taken.isdisjoint(range(stored.base_offset, stored.next_offset)):
                found[stored.base_offset] = stored
                taken.update(range(stored.base_offset, stored.next_offset))
    return [found[base_offset] for base_offset in sorted(found)]
