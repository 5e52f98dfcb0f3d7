"""TCP between hosts, with toy nodes: what is held back, what is lost, what breaks."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Output, Send
from kafkasim.randomness import Streams
from kafkasim.simulator.driver import Driver, Status
from kafkasim.simulator.kernel_timers import fires_at, syn_timeouts
from kafkasim.simulator.network import Network


class Toy:
    """Writes down what it hears; answers "ping" with "pong"; does what it is told by an injected list of outputs."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, object, str]] = []
        self.deadline: float | None = None
        self.woken: list[float] = []

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        if isinstance(event, list):
            return event
        self.heard.append((now, event, source))
        return [Send(source, "pong")] if event == "ping" else []

    def next_deadline(self) -> float | None:
        return self.deadline

    def wake(self, now: float) -> list[Output]:
        self.woken.append(now)
        self.deadline = None
        return []

    @property
    def events(self) -> list[object]:
        return [event for _, event, _ in self.heard]


class World:
    def __init__(self, latency: float = 1.0, jitter: float = 0.0) -> None:
        self.driver = Driver()
        self.network = Network(self.driver, Streams(1), lambda _, __: (latency, jitter))
        self.toys = {}
        for name in ("a", "b"):
            self.toys[name] = Toy()
            self.driver.add(name)
            self.driver.start(self.driver.hosts[name], self.toys[name], [])

    def tell(self, name: str, *outputs: Output) -> None:
        self.driver.inject(self.driver.hosts[name], list(outputs))

    def run(self, ms: float) -> None:
        end = self.driver.now + ms
        self.driver.run(lambda: False, end, ms)

    def connected(self) -> World:
        self.tell("a", Connect("b"))
        self.run(5)
        assert self.toys["a"].events == [Connected("b")]
        self.toys["a"].heard.clear()
        return self


def test_a_request_and_its_answer_take_one_latency_each() -> None:
    world = World(latency=1.0).connected()
    world.tell("a", Send("b", "ping"))
    asked = world.driver.now
    world.run(10)
    assert world.toys["b"].heard == [(asked + 1.0, "ping", "a")]
    assert world.toys["a"].heard == [(asked + 2.0, "pong", "b")]


def test_a_partition_holds_bytes_back_and_loses_none() -> None:
    world = World().connected()
    world.network.cut("a", "b")
    world.tell("a", Send("b", "one"), Send("b", "two"))
    world.run(100)
    assert world.toys["b"].events == []
    world.network.join("a", "b")
    world.run(5)
    assert world.toys["b"].events == ["one", "two"]


def test_overlapping_partitions_heal_only_with_the_last() -> None:
    world = World().connected()
    world.network.cut("a", "b")
    world.network.cut("a", "b")
    world.network.join("a", "b")
    world.tell("a", Send("b", "one"))
    world.run(10)
    assert world.toys["b"].events == []
    world.network.join("a", "b")
    world.run(10)
    assert world.toys["b"].events == ["one"]


def test_a_one_way_cut_lets_the_request_arrive_and_holds_the_answer() -> None:
    world = World().connected()
    world.network.cut("b", "a")
    world.tell("a", Send("b", "ping"))
    world.run(10)
    assert world.toys["b"].events == ["ping"]
    assert world.toys["a"].events == []


def test_bytes_of_a_connection_keep_their_order_whatever_the_jitter() -> None:
    world = World(latency=1.0, jitter=1.0).connected()
    world.tell("a", *(Send("b", number) for number in range(200)))
    world.run(50)
    assert world.toys["b"].events == list(range(200))


def test_after_close_what_was_written_arrives_and_what_would_come_back_does_not() -> None:
    world = World().connected()
    world.tell("a", Send("b", "ping"), Close("b"))
    world.run(10)
    assert world.toys["b"].events == ["ping", Disconnected("a")]
    assert world.toys["a"].events == []


def test_a_killed_process_resets_its_connections() -> None:
    world = World().connected()
    host = world.driver.hosts["b"]
    world.network.process_died(host)
    world.driver.kill(host)
    world.run(10)
    assert world.toys["a"].events == [Disconnected("b")]


def test_after_a_power_failure_nobody_says_anything_until_the_machine_is_back_and_resets() -> None:
    world = World().connected()
    host = world.driver.hosts["b"]
    world.network.process_died(host, power=True)
    world.driver.kill(host)
    world.tell("a", Send("b", "ping"))
    world.run(1000)
    assert world.toys["a"].events == []
    world.network.powered_on(host)
    world.driver.start(host, Toy(), [])
    world.tell("a", Send("b", "ping"))
    world.run(10)
    assert world.toys["a"].events == [Disconnected("b")]


def test_a_dead_process_refuses_connections_and_a_paused_one_takes_them() -> None:
    world = World()
    world.driver.pause(world.driver.hosts["b"])
    world.tell("a", Connect("b"))
    world.run(10)
    assert world.toys["a"].events == [Connected("b")]
    world.driver.kill(world.driver.hosts["b"])
    world.tell("a", Connect("b#2"))
    world.run(10)
    assert world.toys["a"].events[-1] == Disconnected("b#2")


def test_a_paused_process_reads_in_order_once_it_goes_on() -> None:
    world = World().connected()
    world.driver.pause(world.driver.hosts["b"])
    world.tell("a", Send("b", "one"), Send("b", "two"), Close("b"))
    world.run(50)
    assert world.toys["b"].events == []
    world.driver.resume(world.driver.hosts["b"])
    assert world.toys["b"].events == ["one", "two", Disconnected("a")]


def test_a_dropped_answer_resets_the_connection_after_the_request_had_its_effect() -> None:
    world = World().connected()
    world.network.drop_responses("b", "a", 1.0)
    world.tell("a", Send("b", "ping"))
    world.run(10)
    assert world.toys["b"].events[0] == "ping"
    assert world.toys["a"].events == [Disconnected("b")]


def test_reset_tells_both_ends_once() -> None:
    world = World().connected()
    world.network.reset("b", "a")
    world.run(10)
    assert world.toys["a"].events == [Disconnected("b")]
    assert world.toys["b"].events == [Disconnected("a")]


def test_a_slow_disk_delays_the_answer_and_everything_behind_it() -> None:
    world = World(latency=1.0).connected()
    host = world.driver.hosts["b"]
    writes = [0]

    def count() -> int:
        writes[0] += 1
        return writes[0]

    host.disk_writes = count
    world.driver.set_disk_speed(host, 50.0)
    world.tell("a", Send("b", "ping"), Send("b", "ping"))
    asked = world.driver.now
    world.run(200)
    assert [round(at - asked) for at, event, _ in world.toys["a"].heard if event == "pong"] == [52, 102]


def test_one_wake_up_a_host_is_armed_and_a_later_deadline_adds_none() -> None:
    world = World()
    toy, host = world.toys["a"], world.driver.hosts["a"]
    toy.deadline = 100.0
    world.driver.arm(host, world.driver.now)
    toy.deadline = 200.0
    world.driver.arm(host, world.driver.now)
    assert host.pending_wakes == [100.0]
    world.run(300)
    assert toy.woken == [200.0]


def test_a_killed_process_is_not_woken() -> None:
    world = World()
    toy, host = world.toys["a"], world.driver.hosts["a"]
    toy.deadline = 10.0
    world.driver.arm(host, world.driver.now)
    world.driver.kill(host)
    world.run(50)
    assert toy.woken == []
    assert host.status is Status.DOWN


def test_nobody_answers_a_connection_to_a_machine_without_power() -> None:
    world = World()
    host = world.driver.hosts["b"]
    world.network.process_died(host, power=True)
    world.driver.kill(host)
    world.tell("a", Connect("b"))
    world.run(1000)
    assert world.toys["a"].events == []


def connecting(*, cut: tuple[tuple[str, str], ...], begun: float, healed: float, **network: float) -> World:
    """`a` connects to `b` at `begun`, these ways being cut from 0 to `healed`. A minute of it, by the end of which all is decided."""
    world = World(**network)
    for way in cut:
        world.network.cut(*way)
    world.run(begun)
    world.tell("a", Connect("b"))
    world.run(healed - begun)
    for way in cut:
        world.network.join(*way)
    world.run(60_000)
    return world


TO_B, TO_A = ("a", "b"), ("b", "a")


def test_who_connects_during_a_cut_is_connected_when_the_kernel_sends_its_syn_again() -> None:
    for cut in ((TO_B, TO_A), (TO_B,), (TO_A,)):  # a handshake needs both ways
        world = connecting(cut=cut, begun=300.0, healed=2000.0, latency=1.0)
        assert world.toys["a"].heard == [(2338.0, Connected("b"), "b")], cut  # sent at 300, 1312 and 2336


def test_after_a_cut_shorter_than_a_second_the_first_syn_sent_again_gets_through() -> None:
    for cut in ((TO_B, TO_A), (TO_B,), (TO_A,)):
        world = connecting(cut=cut, begun=300.0, healed=500.0, latency=1.0)
        assert world.toys["a"].heard == [(1314.0, Connected("b"), "b")], cut


def test_the_longer_a_cut_the_later_the_next_syn_until_connect_fails() -> None:
    begun = 300.0
    *sent, given_up = syn_timeouts(begun)
    for before, after in pairwise(sent):
        world = connecting(cut=(TO_B,), begun=begun, healed=before + 1.0, latency=1.0)
        assert world.toys["a"].heard == [(after + 2.0, Connected("b"), "b")], before
    world = connecting(cut=(TO_B,), begun=begun, healed=sent[-1] + 1.0)
    world.run(10_000)
    assert world.toys["a"].heard == [(given_up, Disconnected("b"), "b")]


def test_the_timers_of_the_kernel_are_late_by_up_to_a_slot_of_the_timer_wheel() -> None:
    assert {fires_at(now, 1000) - now for now in range(0, 4000, 4)} == {1004, 1008, 1012, 1016, 1020, 1024, 1028, 1032}
    assert {fires_at(now, 2000) - now for now in range(0, 4000, 4)} == {2004, 2008, 2012, 2016, 2020, 2024, 2028, 2032}
    assert max(fires_at(now, 4000) - now for now in range(4000)) == 4256
    assert {fires_at(now, 4) - now for now in range(0, 4000, 4)} == {8}


def test_a_syn_is_sent_again_when_a_kernel_was_seen_to_send_it() -> None:
    # Captured on Linux 6.18 with CONFIG_HZ=250, in ms from the first: late by the phase of the wheel once, then in its rhythm.
    seen = [1007, 2031, 3055, 4079, 5104, 7119]
    assert [at - 17.0 for at in islice(syn_timeouts(17.0), 6)] == pytest.approx(seen, abs=1.0)


def test_an_answer_to_a_syn_that_was_under_way_when_the_cut_began_is_lost() -> None:
    world = World(latency=1.0)
    world.tell("a", Connect("b"))
    world.run(0.5)
    world.network.cut("b", "a")
    world.run(99.5)
    world.network.join("b", "a")
    world.run(2000)
    assert world.toys["a"].heard == [(1026.0, Connected("b"), "b")]


def test_a_syn_that_waits_out_a_delay_is_not_sent_again() -> None:
    world = connecting(cut=(), begun=0.0, healed=0.0, latency=1500.0)
    assert world.toys["a"].heard == [(3000.0, Connected("b"), "b")]


def test_a_refusal_is_lost_in_a_cut_too_and_the_next_syn_gets_another() -> None:
    world = World(latency=1.0)
    world.driver.kill(world.driver.hosts["b"])
    world.network.cut("b", "a")
    world.tell("a", Connect("b"))
    world.run(1500)
    world.network.join("b", "a")
    world.run(2000)
    assert world.toys["a"].heard == [(2050.0, Disconnected("b"), "b")]


def test_who_closes_an_attempt_sends_no_syn_any_more() -> None:
    for way in (TO_B, TO_A):
        world = World()
        world.network.cut(*way)
        world.tell("a", Connect("b"))
        world.run(500)
        world.tell("a", Close("b"))
        world.run(100)
        world.network.join(*way)
        world.run(5000)
        assert world.toys["a"].events == world.toys["b"].events == [], way
        assert world.driver.hosts["a"].pipes == world.driver.hosts["b"].pipes == {}, way


def test_an_attempt_begun_anew_has_a_schedule_of_its_own() -> None:
    world = World(latency=1.0)
    world.network.cut("a", "b")
    world.tell("a", Connect("b"))
    world.run(500)
    world.tell("a", Close("b"), Connect("b"))
    world.run(100)
    world.network.join("a", "b")
    world.run(800)
    assert world.driver.hosts["b"].pipes == {}  # the first attempt's next was due at 1024
    world.run(5000)
    assert world.toys["a"].heard == [(1506.0, Connected("b"), "b")]


def test_a_process_that_died_sends_no_syn_any_more() -> None:
    world = World()
    host = world.driver.hosts["a"]
    world.network.cut("a", "b")
    world.tell("a", Connect("b"))
    world.network.process_died(host)
    world.driver.kill(host)
    world.network.join("a", "b")
    world.run(5000)
    assert world.driver.hosts["b"].pipes == {}


def test_bytes_of_a_connection_that_stands_are_not_lost_with_the_syns() -> None:
    world = World(latency=1.0).connected()
    world.network.cut("a", "b")
    world.tell("a", Send("b", "one"), Connect("b#2"))
    world.run(100)
    world.network.join("a", "b")
    healed = world.driver.now
    world.run(2000)
    assert world.toys["b"].heard == [(healed + 1.0, "one", "a")]
    assert world.toys["a"].events == [Connected("b#2")]


def test_a_machine_that_gets_its_power_back_answers_the_next_syn() -> None:
    world = World(latency=1.0)
    host = world.driver.hosts["b"]
    world.network.process_died(host, power=True)
    world.driver.kill(host)
    world.tell("a", Connect("b"))
    world.run(1500)
    world.network.powered_on(host)
    world.run(1000)
    assert world.toys["a"].heard == [(2050.0, Disconnected("b"), "b")]  # there is power, and no process yet
