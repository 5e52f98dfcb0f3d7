"""One real run from start to end, in the phases of a simulated one: warm-up, workload with faults, heal, drain, and the final log."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from random import Random

from kafkasim.arrivals import arrivals, draw_keys
from kafkasim.backend import Tick
from kafkasim.cluster.applications import Application, Event
from kafkasim.cluster.clock import RealClock
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.flag_server import FlagServer
from kafkasim.cluster.identity import decode, encode
from kafkasim.cluster.names import Names
from kafkasim.cluster.recording import MemberRecord, ProducerRecord, rebase
from kafkasim.cluster.site import Site
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec, to_line
from kafkasim.cluster.stage import RealCluster, slots_of
from kafkasim.injector import Injector
from kafkasim.ledger import Ledger, LogEntry
from kafkasim.protocol.flavours import Client
from kafkasim.protocol.records import TopicPartition
from kafkasim.randomness import Streams
from kafkasim.scenario import ConsumerGroup, Producer, Scenario
from kafkasim.trace import Trace

_WARM_UP_MS = 120_000.0  # at most
_SETTLE_MS = 1_000.0  # from the producers' start to the first record: they learn metadata and producer ids
_LOOK_MS = 100.0  # how often the phases look whether they are over
_PATIENCE_MS = 5_000.0  # without any progress for so long, a `when` will not come true any more
_QUIET_MS = 2_000.0  # how long nothing may have moved before a drain is over
_GOODBYE_S = 10.0  # how long clients have to close at the very end


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
        self._slots = slots_of(scenario)
        self._folder = site.folder / f"run-{self._names.tag}"
        self._flags = FlagServer(site.warden, self._folder)
        self._applications: dict[str, Application] = {}
        self._producers: dict[str, ProducerRecord] = {}
        self._members: dict[str, MemberRecord] = {}
        self._make_applications()
        self._cluster = RealCluster(scenario, site, self._names, ledger, self._clock, self._applications)
        self._record_applications(seed)

    # ------------------------------------------------------------------------------------------------ phases

    def all_phases(self) -> None:
        """Run it. Raises ClusterError where the cluster does not do what a warm-up needs."""
        self._folder.mkdir(parents=True)
        try:
            self._warm_up()
            zero = self._cluster.progress.zero
            injector = Injector(self._cluster, self._clock)
            injector.arm(zero)
            self._until(lambda: self._workload_over(injector), float("inf"), "workload")
            injector.heal()
            self._cluster.progress.moved = self._clock.now
            ledger, limit = self._ledger, self._clock.now + self._scenario.drain_ms
            ledger.drained = self._until(self._drained, limit, "drain")
            if not ledger.drained:
                ledger.notes.append(f"the drain was still moving after {self._scenario.drain_ms / 1000:g} s: {self._still_moving()}")
            self._read_final_log()
            ledger.ended = self._clock.now - zero
            rebase(ledger, zero)
            for producer in self._producers.values():
                producer.close()
            self._write_history(zero)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Take away what the run made, whatever happened to it."""
        for application in self._applications.values():
            application.end()
        for application in self._applications.values():
            application.gone(_GOODBYE_S)
        self._flags.close()
        try:
            self._site.admin.forget(list(self._names.topics.values()), list(self._names.groups.values()))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _until(self, over: Callable[[], bool], at_most: float, phase: str) -> bool:
        total = sum(producer.records for producer in self._scenario.producers)

        def look() -> bool:
            if self._tick is not None:
                sent = sum(producer.handed_over for producer in self._producers.values())
                self._tick(sent / total if total else 1.0, phase)
            return over()

        return self._clock.run(look, at_most, _LOOK_MS)

    # ------------------------------------------------------------------------------------------------ warm-up

    def _warm_up(self) -> None:
        """Topics with full ISRs, groups stable with positions, producers connected; then a pause that puts the timers out of step."""
        self._say("warm-up")
        self._create_topics()
        for application in self._applications.values():
            application.prepare()
        self._need(lambda: all(application.ready for application in self._applications.values()), "the clients did not start")
        self._need(self._topics_ready, "the topics did not get ready")
        early = [name for group in self._scenario.consumers if not group.start_ms for name in group.nodes]
        for name in early:
            self._applications[name].start()
        self._need(lambda: self._up(early) and all(self._members[name].ready for name in early), "the groups did not become stable")
        pause = self._streams.uniform("warm-up")() * self._scenario.broker_config().broker_heartbeat_interval_ms
        self._cluster.progress.zero = self._clock.now + _SETTLE_MS + pause
        for producer in self._scenario.producers:
            self._applications[producer.name].start()
        self._need(lambda: self._up(list(self._producers)), "the producers did not start")
        self._spares()
        zero = max(self._cluster.progress.zero, self._clock.now)
        self._cluster.progress.zero = zero
        for group in self._scenario.consumers:
            if group.start_ms:
                for name in group.nodes:
                    self._clock.call_at(zero + group.start_ms, self._applications[name].start)

    def _create_topics(self) -> None:
        admin, names = self._site.admin, self._names
        self._site.remember(names)
        for name, topic in self._scenario.topics.items():
            config = {key: _text(value) for key, value in topic.config.items()}
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

    def _up(self, names: list[str]) -> bool:
        for name in names:
            if why := self._applications[name].died():
                raise ClusterError(f"The client {name} ended: {why}")
        return all(self._applications[name].started for name in names)

    def _spares(self) -> None:
        """Clients that a fault will bring down have their next process ready before."""
        for fault in self._scenario.faults:
            for _, selector in fault.selectors:
                if not selector.clients_only or fault.begins_with not in {"kill", "stop"}:
                    continue
                for name, application in self._applications.items():
                    if selector.kind == "clients" or str(selector) in {f"producer({name})", f"consumer({name})"}:
                        application.prepare()

    def _need(self, ready: Callable[[], bool], complaint: str) -> None:
        if not self._until(ready, self._clock.now + _WARM_UP_MS, "warm-up"):
            raise ClusterError(f"The warm-up failed: {complaint} within {_WARM_UP_MS / 1000:g} s.")

    def _say(self, phase: str) -> None:
        if self._tick is not None:
            self._tick(0.0, phase)

    # ------------------------------------------------------------------------------------------------ applications

    def _make_applications(self) -> None:
        for index, producer in enumerate(self._scenario.producers):
            self._add(producer.name, "kafkasim.cluster.producing", lambda p=producer, i=index: to_line(self._producer_spec(p, i)))  # type: ignore[misc]  # bound early
        for group in self._scenario.consumers:
            for name in group.nodes:
                self._add(name, "kafkasim.cluster.consuming", lambda g=group, n=name: to_line(self._consumer_spec(g, n)))  # type: ignore[misc]  # bound early

    def _add(self, name: str, module: str, spec: Callable[[], str]) -> None:
        def told(event: Event) -> None:
            record = self._producers.get(name) or self._members[name]
            if event["e"] == "reached":
                self._clock.call_at(self._clock.now, lambda: self._applications[name].say({"do": "resume"}))
            else:
                record.told(event, self._clock.now)

        log = self._folder / f"{name}.log"
        go = lambda: self._go(name)  # noqa: E731  (bound to this name)
        self._applications[name] = Application(name, module, spec, go, told, self._clock.post, self._site.warden, log)

    def _record_applications(self, seed: int) -> None:
        ledger, progress = self._ledger, self._cluster.progress
        names = [producer.name for producer in self._scenario.producers]
        for producer in self._scenario.producers:
            times = arrivals(producer, 0.0, self._streams)
            self._producers[producer.name] = ProducerRecord(producer.name, times, producer.on_restart, ledger, progress)
        for group in self._scenario.consumers:
            for name in group.nodes:
                self._members[name] = MemberRecord(group.group, name, names, ledger, progress)
        self._seed = seed

    def _go(self, name: str) -> Event:
        """What a process is told at its start: where it begins. A member counts time on the clock, a producer from zero on."""
        producer = self._producers.get(name)
        if producer is not None:
            producer.restarted()
            zero = self._cluster.progress.zero / 1000.0
            return {"zero": zero, "first": producer.begin_at, "sent_before": producer.handed_over}
        self._members[name].restarted()
        return {"zero": 0.0, "handled_before": self._members[name].handled}

    def _producer_spec(self, producer: Producer, index: int) -> ProducerSpec:
        settings = self._scenario.producer_settings(producer.name)
        keys = draw_keys(producer, self._streams)
        try:
            encode(index, producer.records - 1, producer.record_size)
        except ValueError as error:
            raise ClusterError(f"producers.{producer.name}: {error}.") from None
        return ProducerSpec(
            name=producer.name,
            index=index,
            client=producer.client.value,
            topic=producer.topic,
            real_topic=self._names.topics[producer.topic],
            bootstrap=self._site.bootstrap(self._slots[producer.name]),
            config={key: _text(value) for key, value in producer.config.items()},
            record_size=producer.record_size,
            arrivals=list(arrivals(producer, 0.0, self._streams)),
            keys=None if keys is None else list(keys),
            first=0,
            sent_before=0,
            on_failure=producer.on_failure,
            retries=settings.retries,
            retry_backoff_ms=settings.retry_backoff_ms,
            spool_path=str(self._folder / f"{producer.name}.spool.sqlite") if producer.on_failure == "spool" else "",
            spool_retry_ms=producer.spool_retry_ms,
            gates=self._gates("sent", producer.name),
            java=self._site.drivers().producer if producer.client is Client.JAVA else [],
        )

    def _consumer_spec(self, group: ConsumerGroup, member: str) -> ConsumerSpec:
        settings = self._scenario.consumer_settings(group.group)
        config = {"enable.auto.commit": _text(group.commit == "auto")} | {key: _text(value) for key, value in group.config.items()}
        if group.client is Client.LIBRDKAFKA:
            config.pop("max.poll.records", None)  # it is the n of consume(n), and no key of librdkafka
        where = ""
        if group.dedup == "sqlite":
            where = str(self._folder / f"{group.group}.flags.sqlite")
        elif group.dedup == "redis":
            where = group.dedup_url or self._flags.url()
        return ConsumerSpec(
            group=group.group,
            real_group=self._names.groups[group.group],
            member=member,
            client=group.client.value,
            topics={topic: self._names.topics[topic] for topic in group.topics},
            bootstrap=self._site.bootstrap(self._slots[member]),
            config=config,
            max_poll_records=settings.max_poll_records,
            poll_timeout_ms=group.poll_timeout_ms,
            commit=group.commit,
            worker_commit=group.worker_commit,
            threads=group.threads,
            processing_ms=group.processing_ms,
            dedup=group.dedup,
            dedup_order=group.dedup_order,
            dedup_ms=group.dedup_ms,
            dedup_where=where,
            dedup_namespace=f"kafkasim:{self._names.tag}",
            producers=[producer.name for producer in self._scenario.producers],
            # Several members would have to count together: for them a `when` strikes a moment late.
            gates=self._gates("processed", group.group) if group.members == 1 else [],
            handled_before=0,
            seed=Random(f"{self._seed}/{member}").getrandbits(32),
            java=self._site.drivers().consumer if group.client is Client.JAVA else [],
        )

    def _gates(self, what: str, name: str) -> list[int]:
        """The counts at which a fault strikes this application's progress: it stops there until the fault has struck."""
        whens = [fault.when for fault in self._scenario.faults if fault.when is not None]
        return sorted({when.count for when in whens if getattr(when, what) is not None and name in {when.producer, when.group}})

    # ------------------------------------------------------------------------------------------------ workload and drain

    def _workload_over(self, injector: Injector) -> bool:
        """All sent, every timed fault over; a `when` that still waits is given up once nothing moves any more."""
        for name, producer in self._producers.items():
            if self._applications[name].alive and not producer.all_sent:
                return False
        if not injector.timed_over:
            return False
        return not injector.waiting or self._clock.now - self._cluster.progress.moved > _PATIENCE_MS

    def _drained(self) -> bool:
        return self._clock.now - self._cluster.progress.moved > _QUIET_MS and not self._still_moving()

    def _still_moving(self) -> str:
        """What the drain waits for, or "" when nothing moves."""
        if not self._cluster.all_up:
            return "not every process is up"
        for name in self._cluster.view.brokers:
            if not self._cluster.view.in_sync(name):
                return f"{name} is not in every ISR"
        for name, producer in self._producers.items():
            if not producer.finished:
                return f"{name} has records without a callback, or in its spool"
        for name, member in self._members.items():
            if member.busy:
                return f"{name} has records in hand"
        return self._group_behind()

    def _group_behind(self) -> str:
        stopped = {member.group for member in self._members.values() if member.stopped}
        ends = {topic: self._end_offsets(topic) for topic in self._scenario.topics}
        for group in self._scenario.consumers:
            if group.group in stopped:
                continue  # its application has ended itself: nobody will read on
            positions: dict[str, int] = {}
            for member in self._members.values():
                if member.group == group.group:
                    positions |= member.positions
            for topic in group.topics:
                for index, end in enumerate(ends[topic]):
                    if end is not None and positions.get(f"{topic}-{index}", -1) < end:
                        return f"group {group.group} has not read {topic}-{index} to its end"
        return ""

    def _end_offsets(self, topic: str) -> list[int | None]:
        return self._site.admin.end_offsets(self._names.topics[topic], self._scenario.topics[topic].partitions)

    # ------------------------------------------------------------------------------------------------ evidence

    def _read_final_log(self) -> None:
        """What a fresh consumer reads: every partition, from the log's start to its high watermark."""
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
        entries: list[LogEntry] = []
        start, producer, first, length = 0, -1, 0, 0
        for chunk in self._site.admin.read_log(*self._names.real(partition), timeout_s=30.0):
            for offset, value in chunk:
                of, number = decode(value)
                if length and of == producer and number == first + length and offset == start + length:
                    length += 1
                    continue
                if length:
                    entries.append(LogEntry(str(partition), start, producers[producer], range(first, first + length)))
                start, producer, first, length = offset, of, number, 1
        if length:
            entries.append(LogEntry(str(partition), start, producers[producer], range(first, first + length)))
        return entries


def _text(value: object) -> str:
    """A configuration value as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
