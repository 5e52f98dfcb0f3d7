"""One real run from start to end, in the phases of a simulated one: warm-up, workload with faults, heal, drain, and the final log."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress

from kafkasim.backend import Tick
from kafkasim.cluster.casting import Cast, as_kafka_writes
from kafkasim.cluster.clock import RealClock
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.final_log import joined, removed_by_retention
from kafkasim.cluster.identity import decode
from kafkasim.cluster.names import Names
from kafkasim.cluster.recording import rebase
from kafkasim.cluster.site import Site
from kafkasim.cluster.stage import RealCluster
from kafkasim.injector import Injector
from kafkasim.ledger import Ledger, LogEntry
from kafkasim.protocol.records import TopicPartition
from kafkasim.randomness import Streams
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace

_WARM_UP_MS = 120_000.0  # at most
_SETTLE_MS = 1_000.0  # from the producers' start to the first record, at least: they learn metadata and producer ids
_LOOK_MS = 100.0  # how often the phases look whether they are over
_PATIENCE_MS = 5_000.0  # without any progress for so long, a `when` will not come true any more
_QUIET_MS = 2_000.0  # how long nothing may have moved before a drain is over
_ADMIN_S = 5.0  # how long an administrator's request may still go unanswered then
_GOODBYE_S = 10.0  # how long clients have to close at the very end
_HASTY_GOODBYE_S = 2.0  # the same where the run has failed, on a cluster that will go on


class Run:
    """The phases of one run on one site. Everything it makes, it takes away again: topics, groups, processes, files."""

    def __init__(self, scenario: Scenario, seed: int, site: Site, ledger: Ledger, trace: Trace | None, tick: Tick | None) -> None:
        self._scenario = scenario
        self._site = site
        self._ledger = ledger
        self._trace = trace
        self._tick = tick
        self._clock = RealClock()
        self._streams = Streams(seed)
        self._names = Names(scenario, site.placed)
        self._folder = site.folder / f"run-{self._names.tag}"
        self._cast = Cast(scenario, seed, site, self._names, ledger, self._clock, self._folder)
        self._cluster = RealCluster(scenario, site, self._names, ledger, self._cast.progress, self._clock, self._cast.applications)

    # ------------------------------------------------------------------------------------------------ phases

    def all_phases(self) -> None:
        """Run it. Raises ClusterError where the cluster does not do what a warm-up needs, or a process ends that no fault has ended."""
        self._folder.mkdir(parents=True)
        try:
            self._warm_up()
            self._workload_and_drain()
            self._cluster.wait_for_answers(_ADMIN_S)
            self._read_final_log()
            self._close_ledger()
        except BaseException:
            self._leave_in_haste()
            raise
        self._leave()

    def _workload_and_drain(self) -> None:
        injector = Injector(self._cluster, self._clock)
        injector.arm(self._cast.progress.zero)
        self._until(lambda: self._workload_over(injector), float("inf"), "workload")
        injector.heal()
        self._cast.progress.moved = self._clock.now
        ledger, limit = self._ledger, self._clock.now + self._scenario.drain_ms
        ledger.drained = self._until(self._drained, limit, "drain")
        if not ledger.drained:
            ledger.notes.append(f"the drain was still moving after {self._scenario.drain_ms / 1000:g} s: {self._still_moving()}")

    def _close_ledger(self) -> None:
        zero = self._cast.progress.zero
        self._ledger.ended = self._clock.now - zero
        rebase(self._ledger, zero)
        for producer in self._cast.producers.values():
            producer.close()
        self._write_history(zero)

    def _leave(self) -> None:
        """Take away what the run made. Where that fails, the run is over all the same, and what it showed is true."""
        try:
            self._cast.leave(_GOODBYE_S)
            self._site.forget(self._names)
        except ClusterError as error:
            self._ledger.notes.append(f"after the run: {error}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _leave_in_haste(self) -> None:
        """The same where the run has failed: why it did is all that anybody wants to hear.

        The site is about to be closed, and takes away the topics then. Only where the brokers outlive us do clients say goodbye to them.
        """
        with suppress(Exception):
            self._cast.leave(0.0 if self._site.placed else _HASTY_GOODBYE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _until(self, over: Callable[[], bool], at_most: float, phase: str) -> bool:
        total = sum(producer.records for producer in self._scenario.producers)

        def look() -> bool:
            self._cluster.check()
            if self._tick is not None:
                sent = sum(producer.handed_over for producer in self._cast.producers.values())
                self._tick(sent / total if total else 1.0, phase)
            return over()

        return self._clock.run(look, at_most, _LOOK_MS)

    # ------------------------------------------------------------------------------------------------ warm-up

    def _warm_up(self) -> None:
        """Topics with full ISRs, groups stable with positions, producers connected; then a pause that puts the timers out of step."""
        self._say("warm-up")
        self._create_topics()
        applications = self._cast.applications
        for application in applications.values():
            application.prepare()
        self._need(self._all_ready, "the clients did not start")
        self._need(self._topics_ready, "the topics did not get ready")
        for group in self._scenario.consumers:
            if group.committed == "beginning":
                partitions = [(self._names.topics[topic], self._scenario.topics[topic].partitions) for topic in group.topics]
                self._site.admin.commit_beginning(self._names.groups[group.group], partitions)
        early = [name for group in self._scenario.consumers if not group.start_ms for name in group.nodes]
        for name in early:
            applications[name].start()
        self._need(
            lambda: all(applications[name].started and self._cast.members[name].ready for name in early), "the groups did not become stable"
        )
        for name in self._cast.producers:
            applications[name].start()
        self._need(lambda: all(applications[name].started for name in self._cast.producers), "the producers did not start")
        self._need(self._all_ready, "the clients' next processes did not start")
        pause = self._streams.uniform("warm-up")() * self._scenario.broker_config().broker_heartbeat_interval_ms
        zero = self._clock.now + _SETTLE_MS + pause
        self._cast.begin(zero)
        for group in self._scenario.consumers:
            if group.start_ms:
                for name in group.nodes:
                    self._clock.call_at(zero + group.start_ms, lambda name=name: self._cluster.join_in(name))  # type: ignore[misc]  # bound early

    def _all_ready(self) -> bool:
        return all(application.ready for application in self._cast.applications.values())

    def _create_topics(self) -> None:
        admin, names = self._site.admin, self._names
        if not self._site.placed:
            for real in names.topics.values():
                if admin.describe(real):
                    raise ClusterError(f"The cluster has a topic {real} already, and it is not ours; run again.")
        self._site.remember(names)
        for name, topic in self._scenario.topics.items():
            config = {key: as_kafka_writes(value) for key, value in topic.config.items()}
            if self._site.placed:
                admin.create_topic(names.topics[name], names.assignment(name), config)
            else:
                admin.create_topic_anywhere(names.topics[name], topic.partitions, topic.replication_factor, config)

    def _topics_ready(self) -> bool:
        view = self._cluster.view
        return all(
            view.leader(partition) is not None
            and len(view.isr(partition)) == self._scenario.topics[partition.topic].replication_factor
            for partition in view.partitions
        )  # fmt: skip

    def _need(self, ready: Callable[[], bool], complaint: str) -> None:
        if not self._until(ready, self._clock.now + _WARM_UP_MS, "warm-up"):
            raise ClusterError(f"The warm-up failed: {complaint} within {_WARM_UP_MS / 1000:g} s.")

    def _say(self, phase: str) -> None:
        if self._tick is not None:
            self._tick(0.0, phase)

    # ------------------------------------------------------------------------------------------------ workload and drain

    def _workload_over(self, injector: Injector) -> bool:
        """All sent, every timed fault over; a `when` that still waits is given up once nothing moves any more."""
        for name, producer in self._cast.producers.items():
            if self._cast.applications[name].alive and not producer.all_sent:
                return False
        if not injector.timed_over:
            return False
        return not injector.waiting or self._clock.now - self._cast.progress.moved > _PATIENCE_MS

    def _drained(self) -> bool:
        return self._clock.now - self._cast.progress.moved > _QUIET_MS and not self._still_moving()

    def _still_moving(self) -> str:
        """What the drain waits for, or "" when nothing moves."""
        if not self._cluster.all_up:
            return "not every process is up"
        for name in self._cluster.view.brokers:
            if not self._cluster.view.in_sync(name):
                return f"{name} is not in every ISR"
        for name, producer in self._cast.producers.items():
            if not producer.finished:
                return f"{name} has records without a callback, or in its spool"
        for name, member in self._cast.members.items():
            if member.busy:
                return f"{name} has records in hand"
        return self._group_behind()

    def _group_behind(self) -> str:
        ends = {topic: self._end_offsets(topic) for topic in self._scenario.topics}
        for group in self._scenario.consumers:
            reading = [member for name in group.nodes if not (member := self._cast.members[name]).stopped]
            if not reading:
                continue  # all of its applications have ended themselves: nobody will read on
            positions = {partition: offset for member in reading for partition, offset in member.positions.items()}
            for topic in group.topics:
                for index, end in enumerate(ends[topic]):
                    if end is not None and positions.get(f"{topic}-{index}", -1) < end:
                        return f"group {group.group} has not read {topic}-{index} to its end"
        return ""

    def _end_offsets(self, topic: str) -> list[int | None]:
        return self._site.admin.end_offsets(self._names.topics[topic], self._scenario.topics[topic].partitions)

    # ------------------------------------------------------------------------------------------------ evidence

    def _read_final_log(self) -> None:
        """What a fresh consumer reads, every partition to its high watermark; and before it, what retention removed."""
        self._say("reading the log")
        producers = [producer.name for producer in self._scenario.producers]
        for partition in self._cluster.view.partitions:
            if self._cluster.view.leader(partition) is None:
                self._ledger.notes.append(f"{partition} has no leader at the end: nobody can read it")
                continue
            self._ledger.log += self._entries(partition, producers)

    def _write_history(self, zero: float) -> None:
        """What the controller decided meanwhile, as the simulator's controller traces it, in the scenario's names."""
        if self._trace is None:
            return
        named = {real: name for name, real in self._names.topics.items()}
        tell = self._trace.of(self._scenario.controller_nodes[0], lambda: at)
        for change in self._site.history():
            at, event = change.at * 1000.0 - zero, change.event
            partition = getattr(event, "partition", None)
            if at >= -_SETTLE_MS and (partition is None or partition.topic in named):
                tell(event if partition is None else event._replace(partition=TopicPartition(named[partition.topic], partition.partition)))

    def _entries(self, partition: TopicPartition, producers: list[str]) -> list[LogEntry]:
        """What a reader finds; and before it, as far as anybody knows, what retention has removed."""
        chunks = self._site.admin.read_log(*self._names.real(partition), timeout_s=30.0)
        found = ((offset, *decode(value)) for chunk in chunks for offset, value in chunk)
        there = list(joined(str(partition), ((offset, producers[of], number) for offset, of, number in found)))
        end = self._end_offsets(partition.topic)[partition.partition] or 0
        gone, unknown = removed_by_retention(str(partition), end, there, self._ledger.callbacks, self._ledger.handled)
        if unknown:
            self._ledger.notes.append(
                f"retention removed {unknown} records of {partition} of which nobody had been told the offset: they count as never written"
            )
        return gone + there
