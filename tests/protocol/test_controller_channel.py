"""A broker's connections to the controller, played by hand: a clock that is a number, a controller that is a word."""

from __future__ import annotations

from math import inf

from pump import Cluster

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.controller_channel import ControllerChannel, RaftChannel
from kafkasim.protocol.messages import MetadataFetchRequest
from kafkasim.protocol.node import Close, Connect, Output, Send
from kafkasim.protocol.scheduled_tasks import Alarm


def told(output: Output) -> str:
    """As a word: outputs are tuples, and Close("c") == Connect("c")."""
    return f"send {output.message}" if isinstance(output, Send) else type(output).__name__.lower()


class World:
    """One channel; `until` wakes it whenever it wants to be woken."""

    def __init__(self, request_timeout_ms: float = 30_000.0, patience_ms: float = inf, raft: bool = False) -> None:
        self.now = 0.0
        self.given_up: list[float] = []
        self.outbox: list[Output] = []
        self.alarm = Alarm()
        if raft:
            self.channel: ControllerChannel = RaftChannel("c", request_timeout_ms, self.outbox, self.alarm, lambda: 0.5)
        else:
            self.channel = ControllerChannel("c", request_timeout_ms, patience_ms, self.outbox, self.alarm, lambda: 0.5)

    def send(self, request: str) -> None:
        self.channel.send(request, self.now)

    def connected(self) -> World:
        self.channel.connected(self.now)
        return self

    def refused(self) -> None:
        self.channel.disconnected(self.now)

    def until(self, end: float) -> list[tuple[float, str]]:
        """What is said by then, and when."""
        said = self._said()
        while (deadline := self.channel.next_deadline()) <= end:
            assert self.alarm.deadline <= deadline, "the broker is woken too late"
            self.now = deadline
            self.alarm.deadline = inf
            if self.channel.wake(self.now):
                self.given_up.append(self.now)
            self.alarm.set(self.channel.next_deadline())  # as Broker.wake does
            said += self._said()
        self.now = end
        return said

    def _said(self) -> list[tuple[float, str]]:
        said = [(self.now, told(output)) for output in self.outbox]
        self.outbox.clear()
        return said


def attempts(world: World, until: float) -> list[float]:
    """When it connects, being refused at once every time."""
    times = []
    while True:
        times += [at for at, output in world.until(world.now) if output == "connect"]
        world.refused()
        if world.outbox:
            continue
        due = world.channel.next_deadline()
        if due > until:
            return times
        world.until(due - 0.001)
        world.now = due
        world.channel.wake(due)


def test_a_request_waits_for_the_connection_and_is_sent_on_it() -> None:
    world = World()
    world.send("one")
    assert world.until(300.0) == [(0.0, "connect")]
    assert world.connected().until(300.0) == [(300.0, "send one")]
    world.channel.answered()
    world.send("two")
    assert world.until(300.0) == [(300.0, "send two")]


def test_a_request_out_of_time_takes_its_connection_with_it_and_is_sent_again_on_the_next() -> None:
    world = World(request_timeout_ms=2_000.0)
    world.send("one")
    world.until(300.0)
    world.connected()
    assert world.until(2_350.0) == [(300.0, "send one"), (2_300.0, "close"), (2_350.0, "connect")]  # timed from when it was sent
    assert world.connected().until(2_400.0) == [(2_350.0, "send one")]


def test_a_request_that_waits_for_a_connection_leaves_the_attempt_to_connect_alone() -> None:
    world = World(request_timeout_ms=2_000.0)
    world.send("one")
    assert world.until(9_999.0) == [(0.0, "connect")]
    assert world.connected().until(9_999.0) == [(9_999.0, "send one")]


def test_setting_up_a_connection_may_take_10_s_then_20_then_30_and_10_again_after_one_that_stood() -> None:
    world = World()
    world.send("one")
    said = world.until(100_000.0)
    closed = [at for at, output in said if output == "close"]
    begun = [at for at, output in said if output == "connect"]
    assert [end - start for start, end in zip(begun, closed, strict=False)] == [10_000.0, 20_000.0, 30_000.0, 30_000.0]
    assert [start - end for start, end in zip(begun[1:], closed, strict=True)] == [50.0] * 4
    world.connected().refused()
    said = world.until(120_000.0)
    assert [output for _, output in said] == ["send one", "connect", "close", "connect"]
    assert said[2][0] - said[1][0] == 10_000.0


def test_a_connection_that_nothing_waits_for_is_not_made_again() -> None:
    world = World(request_timeout_ms=4_500.0, patience_ms=4_500.0)
    world.send("one")
    assert world.until(60_000.0) == [(0.0, "connect"), (10_000.0, "close")]
    assert world.given_up == [4_500.0]
    assert world.channel.next_deadline() == inf


def test_a_request_given_up_for_want_of_a_connection_leaves_the_attempt_to_connect_to_the_next() -> None:
    world = World(request_timeout_ms=4_500.0, patience_ms=4_500.0)
    world.send("one")
    assert world.until(4_600.0) == [(0.0, "connect")]
    assert world.given_up == [4_500.0]
    world.send("two")
    world.until(5_000.0)
    assert world.connected().until(9_000.0) == [(5_000.0, "send two")]


def test_patience_does_not_end_an_attempt_but_an_attempt_that_ends_after_it_is_the_last() -> None:
    world = World(request_timeout_ms=4_500.0, patience_ms=4_500.0)
    world.send("one")
    world.until(3_000.0)
    world.connected()
    assert world.until(60_000.0) == [(3_000.0, "send one"), (7_500.0, "close")]
    assert world.given_up == [7_500.0]
    world.send("two")
    world.until(60_000.0)
    world.connected().until(63_000.0)
    world.refused()  # the connection breaks, with 1.5 s of patience left
    world.until(63_050.0)
    world.connected().until(64_600.0)
    world.refused()
    world.until(64_600.0)
    assert world.given_up == [7_500.0, 64_600.0]


def test_the_channels_of_heartbeats_and_isrs_wait_50_ms_before_each_attempt_to_connect() -> None:
    world = World()
    world.send("one")
    assert attempts(world, 400.0) == [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0]


def test_the_raft_client_turns_to_a_bootstrap_server_at_once_and_then_waits_longer_and_longer() -> None:
    world = World(raft=True)
    world.send("fetch")
    assert attempts(world, 2_000.0) == [0.0, 0.0, 50.0, 150.0, 350.0, 750.0, 1_250.0, 1_750.0]
    world.channel.connected(world.now)
    world.channel.answered()
    world.send("fetch")
    world.until(world.now)
    world.refused()
    assert [told(output) for output in world.outbox] == ["connect"]


def test_an_answer_ends_everything_but_the_connection() -> None:
    world = World(request_timeout_ms=2_000.0, patience_ms=2_000.0)
    world.send("one")
    world.connected().channel.answered()
    assert world.until(60_000.0) == [(0.0, "connect"), (0.0, "send one")]
    assert world.given_up == []


def metadata_fetches(pump: Cluster) -> list[tuple[float, int]]:
    """Records when the controller will get a fetch of the metadata log, and from where on."""
    fetches: list[tuple[float, int]] = []

    def watch(target: str, event: object, source: str) -> None:
        if target == "controller-100" and isinstance(event, MetadataFetchRequest):
            fetches.append((pump.now, event.fetch_offset))

    pump.on_deliver = watch
    return fetches


def test_an_idle_broker_fetches_the_metadata_log_every_500_ms_on_one_connection() -> None:
    pump = Cluster(brokers=1)
    fetches = metadata_fetches(pump)
    end = pump.state.log_end_offset
    pump.advance(3_000)
    assert fetches == [(500.0 * n, end) for n in range(1, 7)]


def said_to_fetch_metadata(pump: Cluster) -> list[tuple[float, type]]:
    """Records when broker 1 will do what with its connection for the metadata log."""
    said: list[tuple[float, type]] = []
    take = pump._take

    def watch(name: str, outputs: list[object]) -> None:
        mine = [output for output in outputs if name == "broker-1" and getattr(output, "peer", "").endswith("#metadata")]
        said.extend((pump.now, type(output)) for output in mine)
        take(name, outputs)

    pump._take = watch  # type: ignore[method-assign]  # a test's wire tap
    return said


def test_a_broker_gives_a_fetch_of_the_metadata_log_up_after_controller_quorum_request_timeout_ms() -> None:
    for timeout_ms in (2_000, 700):
        pump = Cluster(brokers=1, config=BrokerConfig(controller_quorum_request_timeout_ms=timeout_ms))
        pump.advance(1_000)
        pump.cut("broker-1", "controller-100")
        said = said_to_fetch_metadata(pump)
        pump.advance(timeout_ms + 10_000.0)
        anew = 1_000.0 + timeout_ms
        assert said == [(anew, Close), (anew, Connect), (anew + 10_000.0, Close)]  # a connection has 10 s, whatever a request has
