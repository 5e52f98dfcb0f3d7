"""The cluster of one run: every process on its host, and the verbs that faults do to them.

Implements faults.py's ClusterVerbs, by killing, starting and pausing hosts and by the network's links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kafkasim.faults import Verb
from kafkasim.ledger import Ledger
from kafkasim.progress import Progress
from kafkasim.protocol.broker import BeginControlledShutdown, Broker, BrokerDisk, ShutDownComplete
from kafkasim.protocol.calls import CloseClient
from kafkasim.protocol.consumer import Consumer
from kafkasim.protocol.controller import CreateTopic
from kafkasim.protocol.group_coordinator import offsets_partition_of
from kafkasim.protocol.messages import OffsetCommitRequest
from kafkasim.protocol.node import Output, broker_name
from kafkasim.protocol.producer import Producer
from kafkasim.protocol.quorum_controller import QuorumController, ResignLeadership
from kafkasim.protocol.records import OffsetAndEpoch, TopicPartition
from kafkasim.protocol.truncation_policy import GENERATIONS
from kafkasim.randomness import Streams
from kafkasim.scenario import Scenario
from kafkasim.scenario_parts import ConsumerGroup
from kafkasim.simulator import clients
from kafkasim.simulator.administrator import Administrator
from kafkasim.simulator.consuming import ConsumingApplication, Desk
from kafkasim.simulator.controllers import Controllers
from kafkasim.simulator.disk import lose_power
from kafkasim.simulator.driver import Driver, Host, Status
from kafkasim.simulator.network import Network
from kafkasim.simulator.producing import ProducingApplication, Source
from kafkasim.simulator.view import OFFSETS_TOPIC, View
from kafkasim.stores import FlagStore
from kafkasim.trace import Trace

# BrokerServer waits this long for the controller's leave to shut down, then goes all the same.
_CONTROLLED_SHUTDOWN_MS = 300_000.0
# A client that was asked to close is given this long to say goodbye (KafkaProducer.close() would wait for ever).
_CLOSE_MS = 30_000.0
# KafkaRaftManager.shutdown gives the quorum this long to elect another leader.
_RAFT_SHUTDOWN_MS = 5_000.0


@dataclass(slots=True)
class _Process:
    """How to start a process, and what holds it down."""

    host: Host
    launch: Callable[[], None]
    startup_ms: float
    down_holds: int = 0
    pause_holds: int = 0
    stopping: bool = False
    starting: bool = False
    on_stop: list[Callable[[], None]] = field(default_factory=list)


class SimulatedCluster:
    """Controller, brokers and clients of one scenario on one driver."""

    def __init__(self, scenario: Scenario, seed: int, ledger: Ledger, trace: Trace | None, driver: Driver | None = None) -> None:
        self.scenario = scenario
        self.ledger = ledger
        self.streams = Streams(seed)
        self.driver = driver or Driver()
        self.progress = Progress()
        self._trace = trace
        self.network = Network(self.driver, self.streams, scenario.network.between)
        self._topic_configs = {name: scenario.topic_config(name) for name in scenario.topics}
        self._topic_configs[OFFSETS_TOPIC] = scenario.topic_config(None)
        self.controllers = Controllers(scenario, self._topic_configs, self.driver, self.streams)
        self.controller_state = self.controllers.state
        self.disks = {broker_id: BrokerDisk() for broker_id in range(1, scenario.cluster.brokers + 1)}
        self.view = View(scenario, self.driver, self.controller_state, self.disks)
        self.stores = clients.Stores()
        self.sources: dict[str, Source] = {}
        self._flags: dict[str, FlagStore | None] = {}
        self._processes: dict[str, _Process] = {}
        self._broker_config = scenario.broker_config()
        self._behaviours = scenario.profile.behaviours
        startup = scenario.cluster.startup_ms
        for name in scenario.controller_nodes:
            self._add(name, lambda name=name: self.controllers.launch(name, self._tracer(name)), startup)  # type: ignore[misc]  # bound early
        for broker_id in self.disks:
            self._add(broker_name(broker_id), lambda broker_id=broker_id: self._launch_broker(broker_id), startup)  # type: ignore[misc]  # bound early
        brokers = [self._processes[broker_name(broker_id)].host for broker_id in self.disks]
        self._administrator = Administrator(self.driver, lambda: self.view.active_controller, brokers, ledger)
        for name in scenario.controller_nodes:
            self.driver.hosts[name].answer = lambda output, _: self._administrator.told(output)

    # ------------------------------------------------------------------------------------------------ launching

    def boot(self) -> None:
        """Start the controllers, and the brokers one after another within a heartbeat's time, so that their clocks are not in step."""
        for name in self.scenario.controller_nodes:
            self._processes[name].launch()
        draw = self.streams.uniform("startup")
        for broker_id in self.disks:
            instant = draw() * self._broker_config.broker_heartbeat_interval_ms
            self.driver.call_at(instant, self._processes[broker_name(broker_id)].launch)

    def create_topics(self) -> None:
        """All topics, and of __consumer_offsets the partitions that some group of the scenario hashes to.

        Simplified: `__consumer_offsets` exists from the start, not from the first FindCoordinator on, and only in those partitions.
        """
        active = self.view.active_controller
        assert active is not None, "the brokers have registered, so that there is an active controller"
        host = self.driver.hosts[active]
        placed = 0  # each topic begins where the last one ended, so that one broker does not lead everything
        for name, topic in self.scenario.topics.items():
            indices = tuple(range(topic.partitions))
            self.driver.inject(host, CreateTopic(name, indices, topic.replication_factor, self._topic_configs[name], placed))
            placed += topic.partitions
        if self.scenario.consumers:
            count = self.scenario.offsets_partitions
            used = sorted({offsets_partition_of(group.group, count) for group in self.scenario.consumers})
            # Simplified: with fewer brokers than offsets.topic.replication.factor, Kafka could not create it at all.
            factor = min(self._broker_config.offsets_topic_replication_factor, len(self.disks))
            first = placed + (-used[0]) % len(self.disks)  # the first of those that exist goes to the next broker
            self.driver.inject(host, CreateTopic(OFFSETS_TOPIC, tuple(used), factor, self._topic_configs[OFFSETS_TOPIC], first))

    def leads_group(self, group: str) -> bool:
        """Whether the group's coordinator has read in the metadata log that it is that."""
        partition = TopicPartition(OFFSETS_TOPIC, offsets_partition_of(group, self.scenario.offsets_partitions))
        broker_id = self.view.leader(partition)
        broker = None if broker_id is None else self.driver.hosts[broker_name(broker_id)].node
        hosted = broker.replica_manager.hosted.get(partition) if isinstance(broker, Broker) else None
        return hosted is not None and hosted.partition.is_leader

    def commit_beginning(self, group: ConsumerGroup) -> None:
        """Somebody has set the group's offsets before it starts, as kafka-consumer-groups.sh --reset-offsets --to-earliest does."""
        broker_id = self.view.coordinator(group.group)
        assert broker_id is not None, "leads_group() has been asked"
        partitions = [TopicPartition(topic, index) for topic in group.topics for index in range(self.scenario.topics[topic].partitions)]
        offsets = tuple([OffsetAndEpoch(partition, 0) for partition in partitions])
        self.driver.inject(self.driver.hosts[broker_name(broker_id)], OffsetCommitRequest(0, group.group, -1, "", offsets))

    def add_producers(self, zero: float) -> None:
        """Start every producer; its first record is due at `zero`."""
        for producer in self.scenario.producers:
            self.sources[producer.name] = clients.source(producer, self.scenario, zero, self.streams, self.stores)
            self._add(producer.name, lambda name=producer.name: self._launch_producer(name), 0.0)  # type: ignore[misc]  # bound early
            self._launch_producer(producer.name)

    def add_consumers(self, zero: float | None) -> None:
        """Start the groups that begin with the workload (`zero` None: before it), or schedule those that begin later."""
        for group in self.scenario.consumers:
            if (group.start_ms > 0) == (zero is None):
                continue
            self._flags[group.group] = self.stores.flags(group)
            for member in range(group.members):
                desk = clients.desk(group, f"{group.group}-{member}", self._flags[group.group])
                process = self._add(desk.member, lambda desk=desk: self._launch_consumer(desk), 0.0)  # type: ignore[misc]  # bound early
                if zero is None:
                    self.driver.call_at(self.driver.now, process.launch)
                else:
                    process.down_holds = 1  # nothing that a fault does starts it before its time
                    self.driver.call_at(zero + group.start_ms, lambda process=process: self._launch_late(process))  # type: ignore[misc]  # bound early

    @staticmethod
    def _launch_late(process: _Process) -> None:
        """Its time has come. Where a fault holds it down just now, the end of that fault will start it."""
        process.down_holds -= 1
        if not process.down_holds:
            process.launch()

    def _add(self, name: str, launch: Callable[[], None], startup_ms: float) -> _Process:
        host = self.driver.add(name)
        process = self._processes[name] = _Process(host, launch, startup_ms)
        return process

    def _tracer(self, name: str) -> Callable[[object], None] | None:
        return None if self._trace is None else self._trace.of(name, lambda: self.driver.now)

    def _launch_broker(self, broker_id: int) -> None:
        name = broker_name(broker_id)
        host, disk = self.driver.hosts[name], self.disks[broker_id]
        broker = Broker(
            broker_id,
            self._broker_config,
            self._topic_configs,
            disk,
            host.incarnation,
            self.controllers.ids,
            self.streams.uniform(f"{name}/{host.incarnation}"),
            self._tracer(name),
            truncation=GENERATIONS[self.scenario.cluster.truncation],
            behaviours=self._behaviours,
        )
        host.disk_writes = lambda: disk.appends
        host.answer = lambda output, _: self._broker_said(host, output)
        self.driver.start(host, broker, broker.start(self.driver.now))

    def _launch_producer(self, name: str) -> None:
        host, source = self.driver.hosts[name], self.sources[name]
        random = self.streams.uniform(f"{name}/{host.incarnation}")
        settings = self.scenario.producer_settings(name)
        client = Producer(name, settings, tuple(self.disks), self.scenario.producer(name).record_size, random, self._tracer(name))
        application = ProducingApplication(source, client, self.ledger, self.progress)
        self.driver.start(host, application, application.start(self.driver.now))

    def _launch_consumer(self, desk: Desk) -> None:
        host = self.driver.hosts[desk.member]
        random = self.streams.uniform(f"{desk.member}/{host.incarnation}")
        settings = self.scenario.consumer_settings(desk.group)
        topics = self.scenario.consumer(desk.group).topics
        client = Consumer(desk.member, desk.group, settings, topics, tuple(self.disks), random, self._tracer(desk.member))
        application = ConsumingApplication(
            desk, client, self.ledger, self.progress, self.streams.uniform(f"{desk.member}/work/{host.incarnation}")
        )
        self.driver.start(host, application, application.start(self.driver.now))

    # ------------------------------------------------------------------------------------------------ verbs: processes

    def cannot(self, verb: Verb) -> str:
        """Every verb can be done in simulated time; but `$name` may have named a node that has no disk to be slow."""
        diskless = verb.name == "slow_disk" and verb.arguments[0] not in self.view.brokers
        return f"{verb.arguments[0]} has no disk that could be slow" if diskless else ""

    def kill(self, node: str) -> None:
        """SIGKILL."""
        self._hold_down(node)
        self._exit(self._processes[node])

    def power_off(self, node: str) -> None:
        """The power fails: for a broker, what was not flushed is gone, and no kernel says goodbye to its peers."""
        self._hold_down(node)
        self._exit(self._processes[node], power=True)
        for broker_id, disk in self.disks.items():
            if broker_name(broker_id) == node:
                lose_power(disk, self.driver.now)

    def start(self, node: str) -> None:
        """Start the process again once nothing holds it down and a stop under way is over."""
        process = self._processes[node]
        process.down_holds = max(0, process.down_holds - 1)
        if process.down_holds:
            return
        if process.stopping:
            process.on_stop.append(lambda: self._begin_start(process))
        else:
            self._begin_start(process)

    def stop(self, node: str) -> None:
        """SIGTERM: a broker asks the controller's leave first, a client says goodbye, an active controller lets the others elect one."""
        self._hold_down(node)
        process = self._processes[node]
        host = process.host
        if host.status is Status.DOWN or process.stopping:
            return
        incarnation = host.incarnation
        process.stopping = True
        if isinstance(host.node, Broker):
            self.driver.inject(host, BeginControlledShutdown())
            self._later(_CONTROLLED_SHUTDOWN_MS, host, incarnation, lambda: self._shut_down(process))
        elif isinstance(host.node, ProducingApplication | ConsumingApplication):
            self.driver.inject(host, CloseClient())
            self._close_when_quiet(process, self.driver.now + _CLOSE_MS)
        elif isinstance(host.node, QuorumController):
            self.driver.inject(host, ResignLeadership())
            self._exit_when_succeeded(process, self.driver.now + _RAFT_SHUTDOWN_MS)
        else:
            self._exit(process)

    def pause(self, node: str) -> None:
        """SIGSTOP."""
        process = self._processes[node]
        process.pause_holds += 1
        self.driver.pause(process.host)

    def resume(self, node: str) -> None:
        """SIGCONT, once nothing else holds it."""
        process = self._processes[node]
        process.pause_holds = max(0, process.pause_holds - 1)
        if not process.pause_holds:
            self.driver.resume(process.host)

    def slow_disk(self, node: str, write_ms: float) -> None:
        """Every append of this broker takes `write_ms`. The last word wins where two such faults overlap."""
        self.driver.set_disk_speed(self.driver.hosts[node], write_ms)

    def fast_disk(self, node: str) -> None:
        """The disk's own speed: no time at all."""
        self.driver.set_disk_speed(self.driver.hosts[node], 0.0)

    # ------------------------------------------------------------------------------------------------ verbs: links

    def cut(self, a: str, b: str) -> None:
        """Hold back bytes from `a` to `b`."""
        self.network.cut(a, b)

    def join(self, a: str, b: str) -> None:
        """Let them flow."""
        self.network.join(a, b)

    def delay(self, a: str, b: str, latency_ms: float, jitter_ms: float) -> None:
        """Add to the latency from `a` to `b`."""
        self.network.delay(a, b, latency_ms, jitter_ms)

    def undelay(self, a: str, b: str) -> None:
        """Take it away again."""
        self.network.undelay(a, b)

    def reset(self, a: str, b: str) -> None:
        """Break the connections between the two."""
        self.network.reset(a, b)

    def drop_responses(self, a: str, b: str, probability: float) -> None:
        """Swallow answers of `a` to `b`."""
        self.network.drop_responses(a, b, probability)

    def stop_dropping(self, a: str, b: str) -> None:
        """Let them pass."""
        self.network.stop_dropping(a, b)

    # ------------------------------------------------------------------------------------------------ verbs: an administrator's

    def elect(self, partition: str, election: str) -> None:
        """ElectLeaders."""
        self._administrator.ask(Verb("elect", (partition, election)))

    def reassign(self, partition: str, *replicas: int) -> None:
        """AlterPartitionReassignments."""
        self._administrator.ask(Verb("reassign", (partition, *replicas)))

    def alter_config(self, topic: str, name: str, value: str | float) -> None:
        """IncrementalAlterConfigs."""
        self._administrator.ask(Verb("alter_config", (topic, name, value)))

    # ------------------------------------------------------------------------------------------------ ends of processes

    def _hold_down(self, node: str) -> None:
        self._processes[node].down_holds += 1

    def _exit(self, process: _Process, power: bool = False) -> None:
        """The process is gone now. Sockets break, and what an application had half done is written into the ledger."""
        host = process.host
        process.stopping = False
        if host.status is not Status.DOWN:
            if isinstance(host.node, ConsumingApplication | ProducingApplication):
                paused = host.status is Status.PAUSED
                host.node.crashed(host.paused_at if paused else self.driver.now)
            self.network.process_died(host, power)
            self.driver.kill(host)
        waiting, process.on_stop = process.on_stop, []
        for then in waiting:
            then()

    def _begin_start(self, process: _Process) -> None:
        if process.host.status is not Status.DOWN or process.starting:
            return
        process.starting = True
        self.network.powered_on(process.host)

        def up() -> None:
            process.starting = False
            if not process.down_holds and process.host.status is Status.DOWN:
                process.launch()

        self.driver.call_at(self.driver.now + process.startup_ms, up)

    def _broker_said(self, host: Host, output: Output) -> None:
        if isinstance(output, ShutDownComplete):
            process = self._processes[host.name]
            self._later(self.scenario.cluster.shutdown_ms, host, host.incarnation, lambda: self._shut_down(process))

    def _shut_down(self, process: _Process) -> None:
        node = process.host.node
        assert isinstance(node, Broker), "only brokers shut down with the controller's leave"
        node.shut_down(self.driver.now)
        self._exit(process)

    def _close_when_quiet(self, process: _Process, at_most: float) -> None:
        """A client exits when it has nothing on its mind any more, or has waited long enough."""
        host = process.host
        node = host.node
        quiet = node.unresolved == 0 if isinstance(node, ProducingApplication) else getattr(node, "closed", True)
        if quiet or self.driver.now >= at_most:
            self._exit(process)
        else:
            self._later(10.0, host, host.incarnation, lambda: self._close_when_quiet(process, at_most))

    def _exit_when_succeeded(self, process: _Process, at_most: float) -> None:
        """A controller exits once another leads the quorum, or has waited long enough (KafkaRaftClient.maybeCompleteShutdown)."""
        host = process.host
        assert isinstance(host.node, QuorumController), "only a controller has a successor"
        if host.node.has_remote_leader or self.driver.now >= at_most:
            self._exit(process)
        else:
            self._later(10.0, host, host.incarnation, lambda: self._exit_when_succeeded(process, at_most))

    def _later(self, after: float, host: Host, incarnation: int, function: Callable[[], None]) -> None:
        """Unless the process is another one by then."""
        self.driver.call_at(self.driver.now + after, lambda: function() if host.incarnation == incarnation else None)
