"""Who plays in one real run: an application for each client of the scenario, what each is told, and the parent's record of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from kafkasim.arrivals import arrivals, draw_keys
from kafkasim.cluster.applications import Application, Event
from kafkasim.cluster.clock import RealClock
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.flag_server import FlagServer, missing
from kafkasim.cluster.identity import encode
from kafkasim.cluster.names import Names
from kafkasim.cluster.recording import MemberRecord, ProducerRecord
from kafkasim.cluster.site import Site
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec, to_line
from kafkasim.cluster.stage import slots_of
from kafkasim.faults import Fault
from kafkasim.ledger import Ledger
from kafkasim.progress import Progress
from kafkasim.protocol.flavours import Client
from kafkasim.protocol.profiles import KAFKA_4_1
from kafkasim.randomness import Streams
from kafkasim.scenario import ConsumerGroup, Producer, Scenario
from kafkasim.selectors import Selector

_COMMANDS: Mapping[str, Sequence[str]] = {what: (sys.executable, "-m", f"kafkasim.cluster.{what}") for what in ("producing", "consuming")}


def check(scenario: Scenario) -> None:
    """Before anything is started: raises ClusterError with all that a run on real brokers would stumble over, where that can be known."""
    complaints = (
        [] if scenario.kafka == KAFKA_4_1.version else [f"kafka: {scenario.kafka}: real brokers are run as {KAFKA_4_1.release} only."]
    )
    if scenario.cluster.controllers > 1:
        complaints.append(
            f"cluster.controllers: {scenario.cluster.controllers} run in the simulator only; real brokers get one controller."
        )
    for index, producer in enumerate(scenario.producers):
        try:
            encode(index, producer.records - 1, producer.record_size)
        except ValueError as error:
            complaints.append(f"producers.{producer.name}: {error}.")
    if any(group.dedup == "redis" and not group.dedup_url for group in scenario.consumers):
        complaints.append(missing())
    if scenario.cluster.truncation != "kip595":
        complaints.append(
            f"cluster.truncation: real brokers of today know kip595 only; {scenario.cluster.truncation} can be run in the simulator."
        )
    if found := "\n".join(filter(None, complaints)):
        raise ClusterError(found)


class Cast:
    """All clients of one run. `folder` takes their logs and stores."""

    def __init__(
        self, scenario: Scenario, seed: int, site: Site, names: Names, ledger: Ledger, clock: RealClock, folder: Path,
    ) -> None:  # fmt: skip
        self.progress = Progress()
        self.applications: dict[str, Application] = {}
        self.producers: dict[str, ProducerRecord] = {}
        self.members: dict[str, MemberRecord] = {}
        self._scenario = scenario
        self._seed = seed
        self._site = site
        self._names = names
        self._clock = clock
        self._folder = folder
        self._streams = Streams(seed)
        self._slots = slots_of(scenario)
        self._flags = FlagServer(site.warden, folder)
        self._zero: float | None = None  # as `progress.zero`, once it is known
        self._cast(ledger)

    def begin(self, zero: float) -> None:
        """The workload will begin at this instant of the clock; the producers that run are waiting to hear it."""
        self._zero = self.progress.zero = zero
        for name in self.producers:
            self.applications[name].say({"do": "zero", "zero": zero / 1000.0})

    def leave(self, timeout_s: float) -> None:
        """The clients close, all of them within so long, or are killed; and nothing of theirs runs any more."""
        deadline = time.monotonic() + timeout_s
        try:
            for application in self.applications.values():
                application.end()
            for application in self.applications.values():
                application.gone(max(0.0, deadline - time.monotonic()))
        finally:
            self._flags.close()

    # ------------------------------------------------------------------------------------------------ applications

    def _cast(self, ledger: Ledger) -> None:
        scenario, progress = self._scenario, self.progress
        names = [producer.name for producer in scenario.producers]
        for index, producer in enumerate(scenario.producers):
            times = arrivals(producer, 0.0, self._streams)
            self.producers[producer.name] = ProducerRecord(producer.name, times, producer.on_restart, ledger, progress)
            self._add(producer.name, "producing", lambda p=producer, i=index: to_line(self._producer_spec(p, i)))  # type: ignore[misc]  # bound early
        for group in scenario.consumers:
            for name in group.nodes:
                self.members[name] = MemberRecord(group.group, name, names, ledger, progress)
                self._add(name, "consuming", lambda g=group, n=name: to_line(self._consumer_spec(g, n)))  # type: ignore[misc]  # bound early

    def _add(self, name: str, what: str, spec: Callable[[], str]) -> None:
        def told(event: Event, reply: Callable[[Event], None]) -> None:
            record = self.producers.get(name) or self.members[name]
            if event["e"] == "reached":
                # Behind whatever strikes at that count, and to that very process: the next one has gates of its own.
                self._clock.call_at(self._clock.now, lambda: reply({"do": "resume"}))
            else:
                record.told(event, self._clock.now)

        log = self._folder / f"{name}.log"
        application = Application(name, _COMMANDS[what], spec, lambda: self._go(name), told, self._clock.post, self._site.warden, log)
        application.restarts = sum(self._may_bring_down(fault, name) for fault in self._scenario.faults)
        self.applications[name] = application

    def _go(self, name: str) -> Event:
        """What a process is told at its start: where it begins. A member counts time on the clock, a producer from zero on."""
        producer = self.producers.get(name)
        if producer is None:
            self.members[name].restarted()
            return {"zero": 0.0, "handled_before": self.members[name].handled}
        producer.restarted()
        begins = {"first": producer.begin_at, "sent_before": producer.handed_over}
        return begins if self._zero is None else begins | {"zero": self._zero / 1000.0}

    def _may_bring_down(self, fault: Fault, name: str) -> bool:
        return fault.begins_with in {"kill", "stop"} and any(self._may_mean(selector, name) for _, selector in fault.selectors)

    def _may_mean(self, selector: Selector, name: str) -> bool:
        """Whether the selector may hit this client: `$name` is whom the fault of that name hits."""
        if selector.kind == "$":
            faults = [fault for fault in self._scenario.faults if fault.name == selector.name]
            return any(self._may_mean(each, name) for fault in faults for key, each in fault.selectors if key == "node")
        return selector.kind == "clients" or str(selector) in {f"producer({name})", f"consumer({name})"}

    # ------------------------------------------------------------------------------------------------ specs

    def _producer_spec(self, producer: Producer, index: int) -> ProducerSpec:
        settings = self._scenario.producer_settings(producer.name)
        keys = draw_keys(producer, self._streams)
        return ProducerSpec(
            name=producer.name,
            index=index,
            client=producer.client.value,
            topic=producer.topic,
            real_topic=self._names.topics[producer.topic],
            bootstrap=self._site.bootstrap(self._slots[producer.name]),
            config={key: as_kafka_writes(value) for key, value in producer.config.items()},
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
        own = {"enable.auto.commit": as_kafka_writes(group.commit == "auto")}
        config = own | {key: as_kafka_writes(value) for key, value in group.config.items()}
        if group.client is Client.LIBRDKAFKA:
            config.pop("max.poll.records", None)  # it is the n of consume(n), and no key of librdkafka
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
            dedup_where=self._flag_store(group),
            dedup_namespace=f"kafkasim:{self._names.tag}",
            producers=[producer.name for producer in self._scenario.producers],
            # Simplified: several members would have to count together, so for them a `when` strikes a moment late.
            gates=self._gates("processed", group.group) if group.members == 1 else [],
            handled_before=0,
            seed=Random(f"{self._seed}/{member}").getrandbits(32),
            java=self._site.drivers().consumer if group.client is Client.JAVA else [],
        )

    def _flag_store(self, group: ConsumerGroup) -> str:
        if group.dedup == "sqlite":
            return str(self._folder / f"{group.group}.flags.sqlite")
        return (group.dedup_url or self._flags.url()) if group.dedup == "redis" else ""

    def _gates(self, what: str, name: str) -> list[int]:
        """The counts at which a fault strikes this application's progress: it stops there until the fault has struck."""
        whens = [fault.when for fault in self._scenario.faults if fault.when is not None]
        return sorted({when.count for when in whens if getattr(when, what) is not None and name in {when.producer, when.group}})


def as_kafka_writes(value: object) -> str:
    """A configuration value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
