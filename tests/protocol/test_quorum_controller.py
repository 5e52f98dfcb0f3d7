"""A quorum of controllers with brokers: who decides, when a broker hears of it, and what becomes of what was never committed."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

from pump import Pump

from kafkasim.protocol.broker import Broker, BrokerDisk
from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import CreateTopic
from kafkasim.protocol.controller_channel import ActiveControllerChannel
from kafkasim.protocol.controller_connections import QuorumObserver
from kafkasim.protocol.controller_trace import BrokerFenced, LeaderElected
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    MetadataFetchRequest,
    MetadataFetchResponse,
    MetadataRecord,
)
from kafkasim.protocol.metadata_log import ControllerDisk
from kafkasim.protocol.node import Close, Connect, Output, Send
from kafkasim.protocol.quorum_controller import ControllerActive, ControllerRenounced, QuorumController, ResignLeadership
from kafkasim.protocol.raft import QuorumStateChanged
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import Alarm

CONTROLLERS = (100, 101, 102)
ORDERS = TopicPartition("orders", 0)
CONFIG = BrokerConfig(broker_session_timeout_ms=3_000, broker_heartbeat_interval_ms=500)


class Cluster(Pump):
    """Controllers 100 to 102 and brokers 1 to 3, unfenced, with the topic orders."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.random = Random(seed)
        self.traced: list[Any] = []
        self.committed: list[MetadataRecord] = []
        self.topics = {"orders": TopicConfig(min_insync_replicas=2)}
        self.disks = {controller: ControllerDisk() for controller in CONTROLLERS}
        self.broker_disks: dict[int, BrokerDisk] = defaultdict(BrokerDisk)
        for controller in CONTROLLERS:
            self.up(controller)
        for broker in (1, 2, 3):
            config, disk, random = CONFIG, self.broker_disks[broker], self.random.random
            self.start(f"broker-{broker}", Broker(broker, config, self.topics, disk, 0, CONTROLLERS, random, self.traced.append))
        self.advance(5_000)
        self.call(f"controller-{self.active()}", CreateTopic("orders", (0,), 3, self.topics["orders"]))
        self.advance(1_000)

    def up(self, controller: int) -> None:
        name = f"controller-{controller}"
        disk, random = self.disks[controller], self.random.random
        node = QuorumController(
            controller, CONTROLLERS, CONFIG, self.topics, disk, random, self.now, self.traced.append, on_commit=self.hear
        )
        self.start(name, node)

    def hear(self, offset: int, record: MetadataRecord) -> None:
        if offset == len(self.committed):
            self.committed.append(record)
        assert self.committed[offset] == record, "what is committed never changes"

    def controller(self, controller: int) -> QuorumController:
        node = self.nodes[f"controller-{controller}"]
        assert isinstance(node, QuorumController)
        return node

    def actives(self) -> list[int]:
        alive = [controller for controller in CONTROLLERS if f"controller-{controller}" in self.nodes]
        return [controller for controller in alive if self.controller(controller).is_active]

    def active(self) -> int:
        for _ in range(100):
            if len(self.actives()) == 1:
                return self.actives()[0]
            self.advance(100)
        raise AssertionError("no controller became active")

    def apart(self, controller: int) -> None:
        """Cut a controller off from the other controllers."""
        self.cut(f"controller-{controller}", *(f"controller-{other}" for other in CONTROLLERS if other != controller))

    def broker(self, broker: int) -> Broker:
        node = self.nodes[f"broker-{broker}"]
        assert isinstance(node, Broker)
        return node

    def leader_seen_by(self, broker: int) -> int:
        return self.broker(broker).replica_manager.hosted[ORDERS].partition.leader

    def traces(self, kind: type) -> list[Any]:
        return [event for event in self.traced if type(event) is kind]


def heartbeat(number: int = 1, broker: int = 9) -> BrokerHeartbeatRequest:
    return BrokerHeartbeatRequest(number, broker, 7, 0, want_fence=False, want_shut_down=False)


def test_one_controller_is_active_and_the_others_answer_not_controller() -> None:
    cluster = Cluster()
    active = cluster.active()
    for controller in CONTROLLERS:
        cluster.request("test", f"controller-{controller}#t", heartbeat(controller))
    errors = {answer.correlation_id: answer.error for answer in cluster.replies("test")}
    assert errors.pop(active) is Error.STALE_BROKER_EPOCH
    assert list(errors.values()) == [Error.NOT_CONTROLLER, Error.NOT_CONTROLLER]


def test_a_broker_is_answered_only_when_what_was_written_for_it_is_committed() -> None:
    cluster = Cluster()
    active = cluster.active()
    cluster.apart(active)
    epoch = cluster.broker(1)._lifecycle.broker_epoch
    shrink = AlterPartitionRequest(1, 1, epoch, ((ORDERS, 0, 0, ((1, -1), (2, -1))),))
    cluster.request("test", f"controller-{active}#t", shrink)
    assert cluster.replies("test") == []
    cluster.heal()
    (answer,) = cluster.replies("test")
    assert answer.error is Error.NONE
    assert answer.partitions[0][4] == (1, 2)


def test_what_a_deposed_controller_did_not_get_committed_never_was_and_who_waits_for_it_is_refused() -> None:
    cluster = Cluster()
    old = cluster.active()
    cluster.apart(old)
    epoch = cluster.broker(1)._lifecycle.broker_epoch
    shrink = AlterPartitionRequest(1, 1, epoch, ((ORDERS, 0, 0, ((1, -1),)),))
    cluster.request("test", f"controller-{old}#t", shrink)
    cluster.advance(3_600)
    assert [answer.error for answer in cluster.replies("test")] == [Error.NOT_CONTROLLER]
    assert cluster.traces(ControllerRenounced) == [ControllerRenounced(old, 1, lost=1)]
    cluster.heal()
    cluster.advance(5_000)
    assert cluster.active() != old
    for disk in cluster.disks.values():
        assert [record for _, record in disk.log.entries] == cluster.committed
    assert cluster.broker(1).replica_manager.hosted[ORDERS].partition.isr == (1, 2, 3)


def test_brokers_follow_the_new_active_controller_and_nobody_is_fenced_for_the_time_without_one() -> None:
    cluster = Cluster()
    cluster.crash(f"controller-{cluster.active()}")
    cluster.advance(12_000)
    assert len(cluster.actives()) == 1
    assert cluster.traces(BrokerFenced) == []
    assert all(f"controller-{cluster.active()}#heartbeat" == cluster.broker(broker)._heartbeat_channel.peer for broker in (1, 2, 3))


def test_a_broker_that_died_with_the_controller_is_missed_a_whole_session_after_the_new_one_began() -> None:
    cluster = Cluster()
    cluster.crash(f"controller-{cluster.active()}")
    cluster.crash("broker-1")
    crashed = cluster.now
    cluster.active()
    began = cluster.now
    assert began - crashed > 1_000
    cluster.advance(2_900)
    assert cluster.traces(BrokerFenced) == []
    cluster.advance(600)
    assert [fenced.broker_id for fenced in cluster.traces(BrokerFenced)] == [1]
    assert cluster.traces(LeaderElected)[-1].leader == 2
    assert cluster.leader_seen_by(3) == 2


def test_of_three_controllers_one_alone_decides_nothing() -> None:
    cluster = Cluster()
    alone, *dead = CONTROLLERS
    for controller in dead:
        cluster.crash(f"controller-{controller}")
    cluster.crash("broker-1")
    cluster.advance(20_000)
    assert cluster.actives() == []
    assert cluster.leader_seen_by(2) == 1  # nobody has told it
    cluster.up(dead[0])
    cluster.advance(12_000)
    assert cluster.active() in (alone, dead[0])
    assert cluster.leader_seen_by(2) == 2


def test_an_active_controller_that_is_stopped_hands_over_at_once() -> None:
    cluster = Cluster()
    old = cluster.active()
    cluster.call(f"controller-{old}", ResignLeadership())
    cluster.advance(50)
    assert cluster.actives() != [old]
    assert len(cluster.actives()) == 1
    assert cluster.controller(old).has_remote_leader


def test_a_fail_over_reads_like_this() -> None:
    cluster = Cluster()
    cluster.traced.clear()
    assert cluster.active() == 102
    cluster.crash("controller-102")
    cluster.crash("broker-1")
    cluster.advance(9_000)
    assert [story(event) for event in cluster.traced if type(event) in TOLD] == [
        # Without a latency both miss the leader in the same instant, each grants the other's pre-vote, and then each votes for itself.
        "100 is prospective, epoch 1",
        "101 is prospective, epoch 1",
        "100 is candidate, epoch 2",
        "101 is candidate, epoch 2",
        # So nobody wins epoch 2. The election timeouts are drawn by lot: the first to end it has the other's vote.
        "101 is prospective, epoch 2",
        "101 is candidate, epoch 3",
        "100 is unattached, epoch 3",
        "101 is leader, epoch 3",
        "100 is follower, epoch 3",
        "101 is active, epoch 3",
        # Only now the session of the dead broker begins to run out.
        "broker 1 is fenced",
        "broker 2 leads orders-0, epoch 1",
    ]


TOLD = (QuorumStateChanged, ControllerActive, BrokerFenced, LeaderElected)


def story(event: Any) -> str:
    match event:
        case QuorumStateChanged():
            return f"{event.controller_id} is {event.role}, epoch {event.epoch}"
        case ControllerActive():
            return f"{event.controller_id} is active, epoch {event.epoch}"
        case BrokerFenced():
            return f"broker {event.broker_id} is fenced"
        case _:
            return f"broker {event.leader} leads {event.partition}, epoch {event.leader_epoch}"


# ---------------------------------------------------------------------------------------------------- a broker's side


class Side:
    """A broker's observer of the quorum, by hand. The dice say one half: of two that are ready the second."""

    def __init__(self) -> None:
        self.outbox: list[Output] = []
        self.observer = QuorumObserver(1, CONTROLLERS, CONFIG, self.outbox, Alarm(), lambda: 0.5)
        self.observer.fetch(0, 0.0)

    def asked(self) -> list[str]:
        """Whom it wanted to connect to or wrote to."""
        peers = [output.peer for output in self.outbox if isinstance(output, Send | Connect)]
        self.outbox.clear()
        return peers

    def connect(self, peer: str, now: float) -> int:
        """The connection stands, and the fetch is written; its correlation id."""
        self.observer.channels[peer].connected(now)
        (sent,) = [output for output in self.outbox if isinstance(output, Send)]
        self.outbox.clear()
        assert isinstance(sent.message, MetadataFetchRequest)
        return sent.message.correlation_id


def test_an_observer_asks_any_voter_and_then_the_leader_that_it_is_told_of() -> None:
    side = Side()
    assert side.asked() == ["controller-101#metadata"]
    number = side.connect("controller-101#metadata", 1.0)
    refusal = MetadataFetchResponse(number, 0, (), Error.NOT_LEADER_OR_FOLLOWER, 102, 4)
    assert not side.observer.takes(refusal, "controller-101#metadata", 2.0)
    assert side.asked() == ["controller-102#metadata"]
    assert side.observer.active_controller() == "controller-102"


def test_an_observer_does_not_believe_a_lower_epoch_than_it_has_seen() -> None:
    side = Side()
    number = side.connect(side.asked()[0], 1.0)
    side.observer.epoch, side.observer.leader_id = 5, 100
    stale = MetadataFetchResponse(number, 0, (), Error.NONE, 101, 4)
    assert not side.observer.takes(stale, "controller-101#metadata", 2.0)
    assert side.observer.active_controller() == "controller-100"
    assert side.asked() == ["controller-100#metadata"]


def test_a_request_that_not_controller_refuses_goes_to_whoever_is_active_by_then() -> None:
    outbox: list[Output] = []
    active: list[str | None] = ["controller-100"]
    channel = ActiveControllerChannel("alter", lambda: active[0], 1_000.0, 9_000.0, outbox, Alarm(), lambda: 0.5)
    channel.send("request", 0.0)
    channel.connected(1.0)
    active[0] = "controller-101"
    channel.not_the_controller(2.0)
    channel.connected(3.0)
    expected: list[Output] = [Connect("controller-100#alter"), Send("controller-100#alter", "request"), Close("controller-100#alter")]
    expected += [Connect("controller-101#alter"), Send("controller-101#alter", "request")]
    assert [(type(output), output) for output in outbox] == [(type(output), output) for output in expected]


def test_while_nobody_is_known_to_be_active_a_request_waits_and_looks_every_tenth_of_a_second() -> None:
    outbox: list[Output] = []
    active: list[str | None] = [None]
    channel = ActiveControllerChannel("alter", lambda: active[0], 1_000.0, 9_000.0, outbox, Alarm(), lambda: 0.5)
    channel.send("request", 0.0)
    assert channel.next_deadline() == 100.0
    channel.wake(100.0)
    assert outbox == []
    active[0] = "controller-102"
    channel.wake(200.0)
    assert [type(output) for output in outbox] == [Connect]
    assert channel.peer == "controller-102#alter"


def test_a_heartbeat_response_of_not_controller_changes_nothing_at_the_broker() -> None:
    cluster = Cluster()
    lifecycle = cluster.broker(1)._lifecycle
    before = lifecycle.state
    cluster.broker(1).receive(
        BrokerHeartbeatResponse(999, Error.NOT_CONTROLLER, is_fenced=True, should_shut_down=False), "controller-100#heartbeat", cluster.now
    )
    assert lifecycle.state is before
