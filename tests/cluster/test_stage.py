"""The verbs of faults on processes that a test leads: who is down, who is coming back, who ended by himself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster.run_fakes import FakeSite
from confluent_kafka import KafkaError

from kafkasim import Scenario
from kafkasim.cluster.clock import RealClock
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.names import Names
from kafkasim.cluster.site import Site
from kafkasim.cluster.stage import RealCluster
from kafkasim.faults import Verb
from kafkasim.injector import Injector
from kafkasim.ledger import Ledger
from kafkasim.progress import Progress

STOPS_MS = 70.0
SCENARIO = """
cluster: {brokers: 3}
topics: {orders: {partitions: 1}}
producers:
  - {name: shop, topic: orders, records: 10}
faults:
  - {fault: bounce, node: [broker(1), broker(2), broker(3)], at: 0ms}
"""


class Node:
    """A process that takes `STOPS_MS` to stop. `story` is what became of it."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.name = name
        self.last_words = ""
        self._story = story
        self._alive = True
        self._stops_at = float("inf")

    @property
    def alive(self) -> bool:
        if self._alive and time.monotonic() >= self._stops_at:
            self.die()
        return self._alive

    def die(self) -> None:
        self._alive = False
        self._stops_at = float("inf")
        self._story.append(f"{self.name} down")

    def kill(self) -> None:
        if self._alive:
            self.die()

    def terminate(self) -> None:
        self._story.append(f"{self.name} stops")
        self._stops_at = time.monotonic() + STOPS_MS / 1000.0

    def start(self) -> None:
        assert not self._alive
        self._alive = True
        self._story.append(f"{self.name} up")

    def pause(self) -> None:
        self._story.append(f"{self.name} paused")

    def resume(self) -> None:
        self._story.append(f"{self.name} resumed")


class Application(Node):
    """It can say why it ended."""

    def died(self) -> str:
        return self.last_words


class Play:
    """A cluster on a site where everybody is in sync, always, as far as the controller knows."""

    def __init__(self, folder: Path) -> None:
        self.story: list[str] = []
        scenario = Scenario.loads(SCENARIO)
        self.nodes = {name: Node(name, self.story) for name in (*scenario.controller_nodes, *scenario.broker_nodes)}
        self.shop = Application("shop", self.story)
        self.clock = RealClock()
        self.fake = FakeSite(folder, self.nodes)
        site: Site = self.fake
        self.names, ledger = Names(scenario, True), Ledger(backend="cluster", seed=1)
        self.cluster = RealCluster(scenario, site, self.names, ledger, Progress(), self.clock, {"shop": self.shop})

    def until(self, over: Callable[[], bool]) -> None:
        assert self.clock.run(over, self.clock.now + 5000.0, 5.0), self.story


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    made = Play(tmp_path)
    yield made
    made.fake.close()


def test_a_rolling_bounce_stops_a_broker_when_the_last_one_is_up_again(play: Play) -> None:
    injector = Injector(play.cluster, play.clock)
    injector.arm(play.clock.now)
    play.until(lambda: injector.timed_over)
    assert play.story == [f"broker-{number} {what}" for number in (1, 2, 3) for what in ("stops", "down", "up")]


def test_a_broker_that_a_fault_has_is_not_in_sync_whatever_the_controller_knows_yet(play: Play) -> None:
    cluster, view = play.cluster, play.cluster.view
    cluster.stop("broker-1")
    assert play.nodes["broker-1"].alive
    assert not view.in_sync("broker-1")
    cluster.start("broker-1")
    assert not view.in_sync("broker-1")  # it is still on its way down
    play.until(lambda: play.story[-1] == "broker-1 up")
    assert view.in_sync("broker-1")
    cluster.kill("broker-1")
    assert not view.in_sync("broker-1")
    cluster.pause("broker-2")
    assert not view.in_sync("broker-2")
    cluster.resume("broker-2")
    assert view.in_sync("broker-2")


def test_a_process_that_two_faults_have_comes_back_with_the_last_of_them(play: Play) -> None:
    play.cluster.kill("broker-1")
    play.cluster.stop("broker-1")
    play.cluster.start("broker-1")
    assert not play.cluster.all_up
    play.cluster.start("broker-1")
    assert play.cluster.all_up
    assert play.story == ["broker-1 down", "broker-1 up"]


def test_a_kill_in_the_middle_of_a_stop_holds_it_down_though_it_was_to_be_started(play: Play) -> None:
    play.cluster.stop("broker-1")
    play.cluster.start("broker-1")
    play.cluster.kill("broker-1")
    play.until(lambda: not play.nodes["broker-1"].alive)
    assert play.story == ["broker-1 stops", "broker-1 down"]
    play.cluster.start("broker-1")
    assert play.story[-1] == "broker-1 up"


def test_a_broker_that_ends_by_itself_ends_the_run(play: Play) -> None:
    play.cluster.check()
    play.nodes["broker-2"].die()
    with pytest.raises(ClusterError, match=r"^broker-2 ended by itself\.$"):
        play.cluster.check()


def test_a_client_that_ends_by_itself_ends_the_run_with_its_last_words(play: Play) -> None:
    play.shop.die()
    play.cluster.check()  # it was never started: nothing says that it should run
    play.shop.last_words = "no heart"
    with pytest.raises(ClusterError, match=r"^The client shop ended by itself: no heart$"):
        play.cluster.check()


def test_what_a_fault_ended_has_not_ended_by_itself(play: Play) -> None:
    play.shop.last_words = "no heart"
    play.cluster.kill("shop")
    play.cluster.check()
    play.cluster.stop("broker-1")
    play.cluster.check()
    play.until(lambda: not play.nodes["broker-1"].alive)
    play.cluster.check()


def test_a_client_joins_in_at_its_time_unless_a_fault_has_it_down_or_has_started_it(play: Play) -> None:
    play.cluster.join_in("shop")
    play.cluster.kill("shop")
    play.cluster.join_in("shop")
    assert play.story == ["shop down"]
    play.cluster.start("shop")
    play.cluster.join_in("shop")
    assert play.story == ["shop down", "shop up"]


def test_links_of_clients_are_those_of_their_slots(play: Play) -> None:
    play.cluster.cut("shop", "broker-1")
    assert play.fake.calls == [str(Verb("cut", ("client-1", "broker-1")))]


def test_an_administrator_asks_by_the_real_names(play: Play) -> None:
    topic = play.names.topics["orders"]
    for verb in (
        Verb("elect", ("orders-0", "unclean")),
        Verb("reassign", ("orders-0", 3, 1)),
        Verb("reassign", ("orders-0",)),
        Verb("alter_config", ("orders", "unclean.leader.election.enable", True)),
        Verb("alter_config", ("orders", "min.insync.replicas", 2)),
    ):
        assert play.cluster.cannot(verb) == ""
        getattr(play.cluster, verb.name)(*verb.arguments)
        play.cluster.wait_for_answers(5.0)
    assert play.fake.admin.asked == [
        ("elect", "unclean", (topic, 0)),
        ("reassign", topic, 0, 3, 1),
        ("reassign", topic, 0),
        ("alter", topic, "unclean.leader.election.enable", "true"),
        ("alter", topic, "min.insync.replicas", "2"),
    ]
    assert play.cluster.ledger.notes == []


@pytest.mark.parametrize(
    ("objection", "note"),
    [
        (KafkaError(KafkaError.ELECTION_NOT_NEEDED), "the preferred election of orders-0 did not take place: ELECTION_NOT_NEEDED"),
        (ClusterError("Nobody answers."), "the preferred election of orders-0 did not take place: Nobody answers"),
    ],
)
def test_what_an_administrator_is_refused_is_a_note_of_the_run(play: Play, objection: KafkaError | ClusterError, note: str) -> None:
    play.fake.admin.objection = objection
    play.cluster.elect("orders-0", "preferred")
    play.cluster.wait_for_answers(5.0)
    assert play.cluster.ledger.notes == [note]
