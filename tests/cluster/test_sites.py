"""Where runs take place, without any Kafka: what is undone on somebody's cluster whatever happens, and what of a cluster is kept."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster.patience import eventually

from kafkasim import Scenario
from kafkasim.cluster import jars, local_site, real_kafka, users_site
from kafkasim.cluster.admin import Described
from kafkasim.cluster.calibrate import Calibration
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import Distribution
from kafkasim.cluster.local_site import LocalSite, Plan
from kafkasim.cluster.real_kafka import RealKafka
from kafkasim.cluster.users_site import UsersSite
from kafkasim.cluster.warden import Warden
from kafkasim.faults import Verb

KAFKA = Distribution(Path("java"), ["javac"], Path("libs"), "4.1.1")
MADE = SimpleNamespace(topics={"orders": "kafkasim-1-orders"}, groups={"billing": "kafkasim-1-billing"})
CALM = Scenario.load("calm")


class FakeAdmin:
    """Somebody's cluster of three brokers, as its administrator's connection shows it."""

    def __init__(self, _bootstrap: str = "kafka:9092") -> None:
        self.there = [1, 2, 3]
        self.up = {1, 2, 3}
        self.topics: dict[str, list[Described]] = {}
        self.config = {"min.insync.replicas": "1", "replica.lag.time.max.ms": "30000", "unclean.leader.election.enable": "false"}
        self.forgotten: list[tuple[list[str], list[str]]] = []
        self.closed = False
        self.failure = ""

    def brokers(self) -> list[int]:
        return self.there

    def answers(self, broker_id: int) -> bool:
        return broker_id in self.up

    def describe(self, topic: str) -> list[Described]:
        return self.topics.get(topic, [])

    def topic_exists(self, topic: str) -> bool:
        return topic in self.topics

    def broker_config(self, _broker_id: int) -> dict[str, str]:
        if self.failure:
            raise ClusterError(self.failure)
        return self.config

    def forget(self, topics: list[str], groups: list[str]) -> None:
        if self.failure:
            raise ClusterError(self.failure)
        self.forgotten.append((topics, groups))

    def close(self) -> None:
        self.closed = True


class FakeWarden:
    """What it was told and not told to leave."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.at_end = self.commands.append
        self.not_at_end = self.commands.remove

    def remove(self, folder: Path) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where the commands write what they were asked."""
    (tmp_path / "told").touch()
    return tmp_path / "told"


def commands_to(told: Path, *verbs: str) -> dict[str, str]:
    return {verb: f"echo {verb} {{node}} {{id}} >> {told}" for verb in verbs or users_site.PROCESS_VERBS}


@pytest.fixture
def theirs(told: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsersSite]:
    monkeypatch.setattr(users_site, "Admin", FakeAdmin)
    monkeypatch.setattr(users_site, "Warden", FakeWarden)
    site = UsersSite("kafka:9092", commands_to(told), lambda: KAFKA)
    yield site
    site.close()


def test_the_options_of_a_backend_are_those_that_make_it_again() -> None:
    assert RealKafka().options == []
    assert RealKafka(kafka_home=Path("/opt/kafka")).options == ["--kafka-home", "/opt/kafka"]
    theirs = RealKafka(bootstrap_server="kafka:9092", commands={"kill": "stop {id}", "start": "go {id}"})
    assert theirs.options == ["--bootstrap-server", "kafka:9092", "--command", "kill=stop {id}", "--command", "start=go {id}"]


# ---------------------------------------------------------------------------------------------------- what is undone


def test_closing_starts_what_is_down_and_resumes_what_is_paused(theirs: Any, told: Path) -> None:
    theirs.processes["broker-1"].kill()
    theirs.processes["broker-2"].pause()
    theirs.processes["broker-3"].terminate()
    theirs.processes["broker-3"].start()
    told.write_text("")
    theirs.close()
    assert told.read_text().splitlines() == ["start broker-1 1", "resume broker-2 2"]
    theirs.close()
    assert len(told.read_text().splitlines()) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterError("the clients died"), OSError(12, "Cannot allocate memory", "java")])
def test_a_run_that_ends_early_leaves_no_broker_down(
    error: BaseException, theirs: Any, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def __init__(self, _scenario: Scenario, _seed: int, site: UsersSite, *_: object) -> None:
            self.site = site

        def all_phases(self) -> None:
            self.site.processes["broker-1"].kill()
            raise error

    monkeypatch.setattr(real_kafka, "Run", Interrupted)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ClusterError
    with RealKafka(bootstrap_server="kafka:9092", commands=commands_to(told)) as backend, pytest.raises(expected):
        backend.run(CALM, 1)
    assert told.read_text().splitlines() == ["kill broker-1 1", "start broker-1 1"]


def test_what_cannot_be_put_back_is_said_and_keeps_nothing_else_down(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_site, "Admin", FakeAdmin)
    monkeypatch.setattr(users_site, "Warden", FakeWarden)
    said: list[str] = []
    commands = commands_to(told) | {"start": f"echo no way; test {{id}} -ne 1 && echo start {{id}} >> {told}"}
    site = UsersSite("kafka:9092", commands, lambda: KAFKA, said.append)
    site.processes["broker-1"].kill()
    site.processes["broker-2"].kill()
    site.close()
    assert told.read_text().splitlines()[-1] == "start 2"
    assert said == [
        f"broker-1 could not be put back: The command for start ({commands['start'].replace('{id}', '1')}) failed with code 1: no way"
    ]


OWNER = """
import sys, time
from kafkasim.cluster import users_site
users_site.Admin = lambda _: __import__("types").SimpleNamespace(brokers=lambda: [1, 2, 3])
told, ending = sys.argv[1:]
commands = {verb: f"echo {verb} {{id}} >> {told}" for verb in users_site.PROCESS_VERBS}
site = users_site.UsersSite("kafka:9092", commands, lambda: None)
site.processes["broker-1"].kill()
site.processes["broker-2"].pause()
if ending == "healed":
    site.processes["broker-1"].start()
    site.processes["broker-2"].resume()
print(flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("ending", "afterwards"), [("struck", ["resume 2", "start 1"]), ("healed", [])])
def test_after_a_kill_9_of_us_the_warden_puts_back_what_is_not_back_yet(ending: str, afterwards: list[str], tmp_path: Path) -> None:
    # The commands name their file as the user does: from his own folder.
    command = [sys.executable, "-c", OWNER, "told", ending]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        (tmp_path / "told").write_text("")
        owner.kill()
    assert eventually(lambda: len((tmp_path / "told").read_text().splitlines()) >= len(afterwards))
    if not afterwards:
        time.sleep(0.5)
    assert sorted((tmp_path / "told").read_text().splitlines()) == afterwards


def test_a_command_that_was_taken_back_is_not_run_at_the_end(tmp_path: Path) -> None:
    warden = Warden()
    for name in ("once", "twice", "twice", "never"):
        warden.at_end(["/bin/sh", "-c", f"echo {name} >> {tmp_path}/ran"])
    for name in ("twice", "never", "unheard-of"):
        warden.not_at_end(["/bin/sh", "-c", f"echo {name} >> {tmp_path}/ran"])
    warden._pipe.close()  # as if we had died
    warden.close()
    assert sorted((tmp_path / "ran").read_text().split()) == ["once", "twice"]


def test_a_broker_that_a_command_leaves_in_the_background_holds_nobody_up(theirs: Any) -> None:
    theirs._commands["start"] = "sleep 60 & echo started"
    theirs.processes["broker-1"].kill()
    began = time.monotonic()
    theirs.processes["broker-1"].start()
    assert time.monotonic() - began < 30.0


def test_a_paused_broker_that_is_killed_is_not_resumed(theirs: Any, told: Path) -> None:
    broker = theirs.processes["broker-1"]
    broker.pause()
    broker.kill()
    broker.resume()
    broker.pause()
    broker.start()
    assert [line.split()[0] for line in told.read_text().splitlines()] == ["pause", "kill", "start"]
    assert theirs.warden.commands == []


# ---------------------------------------------------------------------------------------------------- our topics


def test_the_warden_knows_the_topics_from_before_they_are_made_until_they_are_gone(theirs: Any) -> None:
    told = theirs.warden.commands
    for _ in range(3):
        theirs.remember(MADE)
        assert [command[-3:] for command in told] == [["kafkasim-1-orders", "--", "kafkasim-1-billing"]]
        theirs.forget(MADE)
        assert told == []
    theirs.remember(MADE)
    theirs.heal()
    assert told == []
    assert theirs.admin.forgotten == [(["kafkasim-1-orders"], ["kafkasim-1-billing"])] * 4


def test_what_a_failed_run_could_not_take_away_is_taken_away_at_the_end(theirs: Any) -> None:
    theirs.remember(MADE)
    theirs.close()
    assert theirs.admin.forgotten == [(["kafkasim-1-orders"], ["kafkasim-1-billing"])]
    assert theirs.admin.closed


def test_a_topic_that_somebody_else_has_is_refused_and_never_taken_away(theirs: Any) -> None:
    theirs.admin.topics["kafkasim-1-orders"] = [Described((1,), (1,), 1)]
    with pytest.raises(ClusterError, match="has a topic kafkasim-1-orders already"):
        theirs.remember(MADE)
    theirs.close()
    assert theirs.admin.forgotten == []


# ---------------------------------------------------------------------------------------------------- what can be done, and what is so


@pytest.mark.parametrize(
    ("given", "verb", "node", "reason"),
    [
        (["kill", "start"], "kill", "broker-1", ""),
        (["kill"], "kill", "broker-1", "no command was given for start (--command start=…), without which broker-1 would not come back"),
        (["stop"], "stop", "broker-1", "no command was given for start (--command start=…), without which broker-1 would not come back"),
        (
            ["pause"],
            "pause",
            "broker-1",
            "no command was given for resume (--command resume=…), without which broker-1 would not come back",
        ),
        (["start"], "kill", "broker-1", "no command was given for kill (--command kill=…)"),
        (["kill", "start"], "kill", "broker-9", "the cluster at kafka:9092 has no broker-9"),
    ],
)
def test_a_broker_is_struck_only_where_it_can_be_put_back(
    given: list[str], verb: str, node: str, reason: str, theirs: Any, told: Path
) -> None:
    site = UsersSite("kafka:9092", commands_to(told, *given), lambda: KAFKA)
    site.close()
    assert site.cannot(Verb(verb, (node,))) == reason


def test_a_broker_is_in_sync_when_we_hold_it_no_more_it_answers_and_is_in_every_isr(theirs: Any) -> None:
    admin: Any = theirs.admin
    admin.topics["orders"] = [Described((1, 2), (1, 2), 1)]
    theirs.partition("orders", 0)
    assert theirs.in_sync("broker-1")
    theirs.processes["broker-1"].pause()
    assert not theirs.in_sync("broker-1")
    theirs.processes["broker-1"].resume()
    theirs.processes["broker-1"].kill()
    assert not theirs.in_sync("broker-1")
    admin.up = {2, 3}  # the old registration is still listed, and the new process has not come up
    theirs.processes["broker-1"].start()
    assert not theirs.in_sync("broker-1")
    admin.up, admin.topics["orders"] = {1, 2, 3}, [Described((1, 2), (2,), 2)]
    theirs._answered.clear()
    theirs._described["orders-0"] = (0.0, theirs._described["orders-0"][1])
    assert not theirs.in_sync("broker-1")
    assert theirs.in_sync("broker-2")


def test_what_was_known_of_a_broker_before_it_was_struck_is_asked_again(theirs: Any) -> None:
    assert theirs.in_sync("broker-1")
    theirs.processes["broker-1"].kill()
    theirs.admin.up = {2, 3}
    theirs.processes["broker-1"].start()
    assert not theirs.in_sync("broker-1")


def test_a_cluster_that_lost_a_broker_is_not_healed(theirs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_site, "_HEAL_S", 0.0)
    theirs.admin.there = [1, 3]
    with pytest.raises(ClusterError, match="Of the cluster at kafka:9092 broker-2 did not come back"):
        theirs.heal()


def test_what_the_scenario_asks_of_brokers_and_the_cluster_does_not_have_is_a_sentence_each(theirs: Any) -> None:
    config = {"min.insync.replicas": 2, "replica.lag.time.max.ms": "30000", "unclean.leader.election.enable": False, "log.dirs": "/x"}
    asked = CALM.with_({f"cluster.config.{key}": value for key, value in config.items()})
    assert theirs.differences(asked) == ["cluster.config.min.insync.replicas is 2 in the scenario and 1 on the cluster"]
    assert theirs.differences(CALM) == []
    features = CALM.with_({"cluster.features.eligible.leader.replicas.version": 0})
    assert theirs.differences(features) == ["whether the cluster has the scenario's cluster.features is not looked at"]
    theirs.admin.failure = "it is forbidden"
    assert theirs.differences(asked) == ["whether the cluster has the scenario's cluster.config could not be found out: it is forbidden"]


# ---------------------------------------------------------------------------------------------------- brokers of our own


@pytest.mark.parametrize(("clients", "others", "serves"), [(1, 3, True), (1, 4, False), (5, 5, True), (5, 6, False)])
def test_a_cluster_serves_as_many_clients_as_it_has_listeners(clients: int, others: int, serves: bool) -> None:
    made, other = Plan(CALM), Plan(CALM)
    made.clients, other.clients = clients, others
    assert made.serves(other) is serves


def test_a_cluster_with_other_features_does_not_serve() -> None:
    without = Plan(CALM.with_({"cluster.features.eligible.leader.replicas.version": 0}))
    assert without.features == {"eligible.leader.replicas.version": 0}
    assert not Plan(CALM).serves(without)
    assert not without.serves(Plan(CALM))
    assert Plan(CALM).serves(Plan(CALM.with_({"cluster.features.eligible.leader.replicas.version": 1})))


def test_of_scenarios_that_can_share_a_cluster_the_one_with_the_most_clients_comes_first() -> None:
    few, more, most = (CALM.with_({"consumers.billing.members": members, "topics.orders.partitions": 12}) for members in (1, 4, 11))
    order = sorted([few, most, more, CALM.with_({"cluster.brokers": 4})], key=RealKafka().cluster_of)
    assert [scenario.consumers[0].members for scenario in order[:3]] == [11, 4, 1]


def test_a_site_that_cannot_start_gives_its_network_back(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Addresses:
        def close(self) -> None:
            closed.append("addresses")

    def refuse(*_: object) -> None:
        raise ClusterError("no brokers today")

    monkeypatch.setattr(local_site, "compile_drivers", lambda *_: Path())
    monkeypatch.setattr(local_site, "Addresses", Addresses)
    monkeypatch.setattr(local_site, "LocalBrokers", refuse)
    with pytest.raises(ClusterError, match="no brokers today"):
        LocalSite(KAFKA, Plan(CALM), lambda _: None)
    assert closed == ["addresses"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "note: x\n/tmp/x/ProducerDriver.java:7: error: cannot find symbol\n symbol: Y",
            r"ProducerDriver\.java:7: error: cannot find symbol",
        ),
        ("", "javac said nothing"),
    ],
)
def test_a_kafka_that_our_clients_do_not_compile_with_is_one_sentence(said: str, why: str, tmp_path: Path) -> None:
    other = Distribution(Path("java"), ["sh", "-c", f"printf '{said}' >&2; exit 1", "javac"], tmp_path, "2.8.0")
    with pytest.raises(ClusterError, match=rf"^Kafka 2\.8\.0 in .* is too old or too new for our Java clients: {why}$"):
        jars.compile_drivers(other, tmp_path / "classes")


# ---------------------------------------------------------------------------------------------------- the backend


class FakeSite:
    """A site on which every run is good."""

    def __init__(self, heal: BaseException | None = None) -> None:
        self.heals = heal
        self.closed = False
        self.versions: dict[str, str] = {}

    def differences(self, _scenario: Scenario) -> list[str]:
        return ["cluster.config.x is 1 in the scenario and 2 on the cluster"]

    def heal(self) -> None:
        if self.heals is not None:
            raise self.heals

    def close(self) -> None:
        self.closed = True


def backend_on(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> RealKafka:
    backend = RealKafka()
    backend._site = site
    monkeypatch.setattr(RealKafka, "site", lambda self, _: self._site)
    monkeypatch.setattr(real_kafka, "Run", lambda *_: SimpleNamespace(all_phases=lambda: None))
    monkeypatch.setattr(real_kafka, "calibrate", lambda _, brokers: Calibration(1.0, 0.1, 0.5, None, None, brokers))
    return backend


def test_a_good_run_stays_good_if_its_cluster_does_not_recover(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite(ClusterError("broker-2 did not come back"))
    ledger = backend_on(site, monkeypatch).run(CALM, 7)
    assert (ledger.seed, site.closed) == (7, True)
    assert ledger.notes == [
        "cluster.config.x is 1 in the scenario and 2 on the cluster",
        "after the run the cluster did not recover, and was given up: broker-2 did not come back",
    ]


def test_a_ctrl_c_while_a_cluster_recovers_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        backend_on(site, monkeypatch).run(CALM, 7)
    assert site.closed


def test_a_calibration_is_kept_for_its_number_of_brokers_and_goes_with_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_on(FakeSite(), monkeypatch)
    three = backend.calibration(CALM)
    assert backend.calibration(CALM) is three
    assert backend.calibration(CALM.with_({"cluster.brokers": 5})).brokers == 5
    backend.close()
    assert backend.calibration(CALM) is not three


def test_a_calibration_that_fails_ends_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite()
    backend = backend_on(site, monkeypatch)

    def fail(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(real_kafka, "calibrate", fail)
    with pytest.raises(ClusterError, match=r"^This machine does not let real brokers run: Resource temporarily unavailable\.$"):
        backend.calibration(CALM)
    assert site.closed
