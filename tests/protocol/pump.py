"""A network without latency, played by hand: it moves what machines output to those it is for, until nothing moves any more.

    pump = Pump()
    pump.start("broker-1", broker)           a machine; what it outputs is delivered at once
    pump.request("shop", "broker-1", r)      a client that is no machine; what it gets back lies in pump.inbox["shop"]
    pump.advance(500)                        time passes; machines are woken when they want to be
    pump.crash("broker-2")                   its connections break
    pump.cut("broker-1", "broker-2")         bytes are held back both ways, until pump.heal(...)
    pump.outputs["shop"]                     what a machine told its application or driver (Outcome, ShutDownComplete ...)
    pump.events                              deliveries and wake-ups so far: what a simulation would pay for

`Cluster` is a Pump with a controller and brokers.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from kafkasim.protocol.broker import Broker, BrokerDisk
from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import Controller, CreateTopic
from kafkasim.protocol.messages import ProduceRequest
from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Send
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.profiles import KAFKA_4_1, Profile
from kafkasim.protocol.records import RecordBatch, TopicPartition
from kafkasim.protocol.replication_control import ControllerState
from kafkasim.protocol.truncation_policy import GENERATIONS


class Wire:
    """One TCP connection. `peer` is the server as the client calls it, `source` the client as the server does."""

    def __init__(self, client: str, peer: str) -> None:
        self.client = client
        self.peer = peer
        self.server, separator, channel = peer.partition("#")
        self.source = f"{client}{separator}{channel}"
        self.open = True


class Pump:
    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.nodes: dict[str, Any] = {}
        self.outputs: dict[str, list[object]] = defaultdict(list)
        self.inbox: dict[str, list[object]] = defaultdict(list)
        self.on_deliver: Callable[[str, object, str], None] | None = None
        self._by_client: dict[tuple[str, str], Wire] = {}
        self._by_server: dict[tuple[str, str], Wire] = {}
        self._queue: deque[tuple[str, str, object, Wire | None]] = deque()  # from, to, event, connection
        self._cut: set[frozenset[str]] = set()
        self._held: deque[tuple[str, str, object, Wire | None]] = deque()

    # ---------------------------------------------------------------------------------------------- what a test does

    def start(self, name: str, node: Any) -> None:
        self.nodes[name] = node
        self._take(name, node.start(self.now))
        self.pump()

    def call(self, name: str, event: object) -> None:
        """An application or a driver tells a machine something."""
        self._take(name, self.nodes[name].receive(event, "", self.now))
        self.pump()

    def request(self, client: str, peer: str, *messages: object) -> None:
        """A client that is no machine writes to its connection, which is made if need be."""
        if (client, peer) not in self._by_client:
            self._connect(client, peer)
        for message in messages:
            self._take(client, [Send(peer, message)])
        self.pump()

    def close(self, client: str, peer: str) -> None:
        self._take(client, [Close(peer)])
        self.pump()

    def replies(self, client: str) -> list[Any]:
        """What came back to a client since the last look, Connected aside."""
        messages = [message for message in self.inbox[client] if not isinstance(message, Connected)]
        self.inbox[client].clear()
        return messages

    def advance(self, milliseconds: float) -> None:
        end = self.now + milliseconds
        while True:
            deadlines = [node.next_deadline() for node in self.nodes.values()]
            due = min((deadline for deadline in deadlines if deadline is not None), default=end + 1)
            if due > end:
                break
            self.now = max(self.now, due)
            for name, node in list(self.nodes.items()):
                deadline = node.next_deadline()
                if deadline is not None and deadline <= self.now:
                    self.events += 1
                    self._take(name, node.wake(self.now))
            self.pump()
        self.now = end

    def disconnect(self, client: str, peer: str) -> None:
        """A connection is reset: both ends lose it."""
        wire = self._by_client[client, peer]
        self._break(wire)
        self._queue.append((client, wire.server, Disconnected(wire.source), None))
        self._queue.append((wire.server, client, Disconnected(peer), None))
        self.pump()

    def crash(self, name: str) -> None:
        del self.nodes[name]
        for wire in [wire for wire in self._by_client.values() if name in (wire.client, wire.server)]:
            self._break(wire)
            if wire.client == name:
                self._queue.append((name, wire.server, Disconnected(wire.source), None))
            else:
                self._queue.append((name, wire.client, Disconnected(wire.peer), None))
        self.pump()

    def cut(self, one: str, *others: str) -> None:
        for other in others:
            self._cut.add(frozenset((one, other)))

    def heal(self) -> None:
        self._cut.clear()
        held, self._held = self._held, deque()
        self._queue.extend(held)
        self.pump()

    def pump(self) -> None:
        """Deliver, in order, until nothing moves."""
        while self._queue:
            origin, target, event, wire = self._queue.popleft()
            if frozenset((origin, target)) in self._cut:
                self._held.append((origin, target, event, wire))
                continue
            if wire is not None and target == wire.client and not wire.open:
                continue  # the client closed: what comes back is not read
            if isinstance(event, Connect):
                assert wire is not None
                self._accept(wire)
                continue
            self._deliver(target, event, origin if wire is None else wire.peer if target == wire.client else wire.source)

    # ---------------------------------------------------------------------------------------------- helpers

    def _deliver(self, target: str, event: object, source: str) -> None:
        self.events += 1
        if self.on_deliver is not None:
            self.on_deliver(target, event, source)
        node = self.nodes.get(target)
        if node is not None:
            self._take(target, node.receive(event, source, self.now))
        else:
            self.inbox[target].append(event)

    def _take(self, name: str, outputs: list[object]) -> None:
        for output in outputs:
            match output:
                case Connect(peer):
                    self._connect(name, peer)
                case Send(peer, message):
                    wire = self._by_client.get((name, peer)) or self._by_server.get((name, peer))
                    if wire is not None:
                        self._queue.append((name, wire.server if wire.client == name else wire.client, message, wire))
                case Close(peer):
                    self._close(name, peer)
                case _:
                    self.outputs[name].append(output)

    def _connect(self, client: str, peer: str) -> None:
        wire = self._by_client[client, peer] = Wire(client, peer)
        self._queue.append((client, wire.server, Connect(peer), wire))

    def _accept(self, wire: Wire) -> None:
        server = self.nodes.get(wire.server)
        if server is None or not getattr(server, "accepts_connections", True):
            self._break(wire)
            self._queue.append((wire.server, wire.client, Disconnected(wire.peer), None))
        elif wire.open:
            self._by_server[wire.server, wire.source] = wire
            self._queue.append((wire.server, wire.client, Connected(wire.peer), wire))

    def _close(self, name: str, peer: str) -> None:
        wire = self._by_client.get((name, peer)) or self._by_server.get((name, peer))
        if wire is None:
            return
        self._break(wire)
        if wire.client == name:  # behind what was already written
            self._queue.append((name, wire.server, Disconnected(wire.source), None))
        else:
            self._queue.append((name, wire.client, Disconnected(wire.peer), None))

    def _break(self, wire: Wire) -> None:
        wire.open = False
        for ends, end in ((self._by_client, (wire.client, wire.peer)), (self._by_server, (wire.server, wire.source))):
            if ends.get(end) is wire:
                del ends[end]


class Cluster(Pump):
    """A controller and brokers 1 to `brokers`, started and unfenced. `topic` is created with all its partitions."""

    def __init__(
        self,
        brokers: int = 3,
        config: BrokerConfig | None = None,
        truncation: str = "kip595",
        profile: Profile = KAFKA_4_1,
        eligible_leader_replicas: bool = True,
    ) -> None:
        super().__init__()
        self.truncation = GENERATIONS[truncation]
        self.config = config or BrokerConfig()
        self.behaviours = profile.behaviours
        self.traced: list[object] = []
        self.state = ControllerState(eligible_leader_replicas and self.behaviours.eligible_leader_replicas_version == 1)
        self.disks: dict[int, BrokerDisk] = defaultdict(BrokerDisk)
        self.incarnations: dict[int, int] = defaultdict(int)
        self.start_controller()
        for broker_id in range(1, brokers + 1):
            self.start_broker(broker_id)

    def start_controller(self) -> None:
        self.start("controller-100", Controller(100, self.config, self.state, self.traced.append, behaviours=self.behaviours))

    def start_broker(self, broker_id: int) -> None:
        self.incarnations[broker_id] += 1
        broker = Broker(
            broker_id,
            self.config,
            self.state.topic_configs,
            self.disks[broker_id],
            self.incarnations[broker_id],
            (100,),
            lambda: 0.5,
            self.traced.append,
            truncation=self.truncation,
            behaviours=self.behaviours,
        )
        self.start(f"broker-{broker_id}", broker)

    def create_topic(self, topic: str, partitions: int = 1, replication_factor: int = 3, **config: Any) -> None:
        self.call("controller-100", CreateTopic(topic, tuple(range(partitions)), replication_factor, TopicConfig(**config)))

    def broker(self, broker_id: int) -> Broker:
        broker = self.nodes[f"broker-{broker_id}"]
        assert isinstance(broker, Broker)
        return broker

    def partition(self, broker_id: int, topic: str = "orders", index: int = 0) -> Partition:
        return self.broker(broker_id).replica_manager.hosted[TopicPartition(topic, index)].partition

    def numbers(self, broker_id: int) -> list[int]:
        """The records of orders-0 on a broker's disk, whether it is up or not."""
        return [number for log_batch in self.disks[broker_id].logs[ORDERS].batches for number in log_batch.batch.numbers]

    def traces(self, kind: type) -> list[Any]:
        return [event for event in self.traced if type(event) is kind]


ORDERS = TopicPartition("orders", 0)


def batch(first: int = 0, count: int = 1, size: int = 200, producer_id: int = -1, sequence: int = -1) -> RecordBatch:
    epoch = 0 if producer_id >= 0 else -1
    return RecordBatch("shop", range(first, first + count), size, 0.0, producer_id, epoch, sequence)


def produce(correlation_id: int = 1, acks: int = -1, first: int = 0, count: int = 1, timeout_ms: float = 30_000) -> ProduceRequest:
    return ProduceRequest(correlation_id, acks, timeout_ms, ((ORDERS, batch(first, count)),))
