"""What real brokers are provided with: a Java, jars, addresses, processes that never outlive us, and the files of a node."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cluster.patience import PATIENCE_S, eventually, gone
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from kafkasim.cluster import jars, processes
from kafkasim.cluster.addresses import Addresses
from kafkasim.cluster.broker_files import (
    CONTROLLER,
    Listener,
    Place,
    format_arguments,
    formatted_like,
    hosts_file,
    new_id,
    node_config,
    to_properties,
)
from kafkasim.cluster.brokers import LocalBrokers, _why
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.links import Links
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def warden() -> Iterator[Warden]:
    made = Warden()
    yield made
    made.close()


# ---------------------------------------------------------------------------------------------------- the warden

FAMILY = "sleep 60 & echo $! $$ > {told}; "  # a grandchild, and who the two are
OWNER = """
import os, sys, time
from pathlib import Path
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden
folder, script, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
warden = Warden()
warden.remove(folder)
if command:
    warden.at_end(command)
family = Process("family", ["sh", "-c", script], warden, folder / "log")
while not (folder / "told").exists() or not (folder / "told").read_text().endswith("\\n"):
    time.sleep(0.01)
if "PAUSED" in script:
    family.pause()
print((folder / "told").read_text().strip(), flush=True)
time.sleep(60)
"""


def owned(tmp_path: Path, script: str, *command: str) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """Somebody who has a warden, a folder and a family of processes: (he, his folder, the family's pids)."""
    folder = tmp_path / "of the run"
    folder.mkdir()
    family = script.format(told=f"'{folder}/told'")
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), family, *command], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, folder, [int(pid) for pid in owner.stdout.readline().split()]


@pytest.mark.parametrize("ending", ["wait", "exit 0", "wait # PAUSED"], ids=["all of them run", "the leader has exited", "they are paused"])
def test_after_a_kill_9_of_us_the_processes_and_the_folder_are_gone(tmp_path: Path, ending: str) -> None:
    owner, folder, family = owned(tmp_path, FAMILY + ending)
    assert len(family) == 2
    assert not gone(family[0])
    owner.kill()
    assert eventually(lambda: all(map(gone, family)) and not folder.exists())
    owner.wait()


def test_a_command_for_the_end_runs_if_we_die(tmp_path: Path) -> None:
    owner, folder, _ = owned(tmp_path, FAMILY + "wait", "touch", str(tmp_path / "ran"))
    owner.kill()
    assert eventually((tmp_path / "ran").exists)
    assert not folder.exists()
    owner.wait()


def test_a_command_for_the_end_does_not_run_if_we_end_in_order(tmp_path: Path, warden: Warden) -> None:
    warden.at_end(["touch", str(tmp_path / "ran")])
    warden.close()
    assert not (tmp_path / "ran").exists()


def test_closing_the_warden_kills_what_is_watched_and_leaves_alone_what_is_forgotten(warden: Warden) -> None:
    watched, forgotten = (subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2))
    for process in (watched, forgotten):
        warden.watch(process.pid)
    warden.forget(forgotten.pid)
    warden.close()
    assert watched.wait(PATIENCE_S) == -signal.SIGKILL
    assert forgotten.poll() is None
    forgotten.kill()
    forgotten.wait()


def test_a_child_holds_no_end_of_the_wardens_pipe(tmp_path: Path, warden: Warden) -> None:
    listing = "import os, sys; print(sorted(int(n) for n in os.listdir('/dev/fd') if os.path.exists(f'/dev/fd/{n}')))"
    child = Process("child", [sys.executable, "-c", listing], warden, tmp_path / "log")
    assert child.wait(PATIENCE_S)
    assert json.loads(child.tail(1)) == [0, 1, 2]


def test_the_warden_outlives_the_signals_of_a_terminal(tmp_path: Path, warden: Warden) -> None:
    (tmp_path / "folder").mkdir()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # at once: it may not even have begun
        os.kill(warden._process.pid, number)
    warden.remove(tmp_path / "folder")
    time.sleep(0.1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(warden._process.pid, number)
    time.sleep(0.05)
    assert (tmp_path / "folder").exists()
    warden.close()
    assert not (tmp_path / "folder").exists()


# ---------------------------------------------------------------------------------------------------- processes


def test_a_process_with_pipes_answers_and_without_them_writes_to_its_log(tmp_path: Path, warden: Warden) -> None:
    cat = Process("cat", ["sh", "-c", "echo started >&2; cat"], warden, tmp_path / "log", pipes=True)
    cat.stdin.write(b"hello\n")
    cat.stdin.flush()
    assert cat.stdout.readline() == b"hello\n"
    cat.stdin.close()
    assert cat.wait(PATIENCE_S)
    assert (cat.exit_code, cat.tail(1)) == (0, "started")
    echo = Process("echo", ["sh", "-c", "echo one; echo two >&2"], warden, tmp_path / "log")
    assert echo.wait(PATIENCE_S)
    assert echo.tail(2) == "one\ntwo"


def test_a_kill_ends_a_paused_process_with_its_children_and_again_does_nothing(tmp_path: Path, warden: Warden) -> None:
    told = tmp_path / "told"
    family = Process("family", ["sh", "-c", FAMILY.format(told=told) + "wait"], warden, tmp_path / "log")
    assert eventually(lambda: told.exists() and told.read_text().endswith("\n"))
    family.pause()
    assert not family.wait(0.05)
    family.kill()
    family.kill()
    family.pause()
    family.resume()
    family.terminate()
    assert not family.alive
    assert family.exit_code == -signal.SIGKILL
    assert eventually(lambda: all(gone(int(pid)) for pid in told.read_text().split()))


def test_a_paused_process_does_nothing_until_it_is_resumed(tmp_path: Path, warden: Warden) -> None:
    cat = Process("cat", ["cat"], warden, tmp_path / "log", pipes=True)
    cat.pause()
    answered = threading.Event()
    threading.Thread(target=lambda: cat.stdout.readline() and answered.set(), daemon=True).start()
    cat.stdin.write(b"hello\n")
    cat.stdin.flush()
    assert not answered.wait(0.1)
    cat.resume()
    assert answered.wait(PATIENCE_S)
    cat.kill()


def test_a_shutdown_is_a_sigterm_of_the_leader_alone(tmp_path: Path, warden: Warden) -> None:
    script = "trap 'echo in order; exit 3' TERM; sh -c \"trap 'echo struck' TERM; echo up; sleep 0.3\" & wait; wait"
    shell = Process("shell", ["sh", "-c", script], warden, tmp_path / "log")
    assert eventually(lambda: "up" in shell.tail(1))
    shell.terminate()
    assert shell.wait(PATIENCE_S)
    assert (shell.exit_code, shell.tail(9)) == (3, "up\nin order")


def test_the_tail_of_a_log_leaves_out_the_stack_frames(tmp_path: Path, warden: Warden) -> None:
    log = "ERROR no\\nException: x\\n\\tat kafka.Kafka(Kafka.scala)\\n\\t... 3 more\\nCaused by: y\\n"
    talker = Process("talker", ["printf", log], warden, tmp_path / "log")
    assert talker.wait(PATIENCE_S)
    assert talker.tail(2) == "Exception: x\nCaused by: y"


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path, warden: Warden) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        processes.Process("nobody", ["no-such-program"], warden, tmp_path / "log")


# ---------------------------------------------------------------------------------------------------- addresses


def test_clusters_at_once_have_networks_of_their_own() -> None:
    with contextlib.ExitStack() as stack:
        several = [stack.enter_context(contextlib.closing(Addresses())) for _ in range(20)]
        if several[0].loopback_net:
            assert len({addresses.node(1) for addresses in several}) == 20
        assert all(addresses.free_port(addresses.node(1)) for addresses in several)


def test_every_directed_pair_has_an_address_and_every_port_is_given_once() -> None:
    with contextlib.closing(Addresses()) as addresses:
        if addresses.loopback_net:
            assert len({addresses.seen_by(source, target) for source in range(4) for target in range(1, 4)}) == 12
        assert addresses.seen_by(0, 2) == addresses.node(2)
        assert len({addresses.free_port(addresses.node(1)) for _ in range(200)}) == 200


def test_where_there_is_one_loopback_address_everybody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_one(host: str, port: int, kind: object) -> None:
        raise OSError(99, "Cannot assign requested address") if sys.platform == "linux" else OSError(49, "Can't assign requested address")

    monkeypatch.setattr("kafkasim.cluster.addresses._bound", only_one)
    addresses = Addresses()
    assert not addresses.loopback_net
    assert {addresses.node(1), addresses.seen_by(1, 2)} == {"127.0.0.1"}


# ---------------------------------------------------------------------------------------------------- Java and jars


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("echo javac 11.0.2", "is Java 11"),
        ("echo module not found >&2; exit 1", "a JRE without a compiler"),
        ("echo 'Unable to locate a Java Runtime.' >&2; exit 1", "a JRE"),
    ],
)
def test_a_java_that_will_not_do_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, complaint: str
) -> None:
    program(tmp_path / "java", f"#!/bin/sh\n{answer}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ClusterError, match=f"Java 17 or newer .*{complaint}.*openjdk-17-jdk-headless"):
        jars.find_java()


def test_no_java_at_all_is_told_in_the_same_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"Java 17 or newer \(a JDK\) is needed to run real brokers; install it"):
        jars.find_java()


def with_java(folder: Path, monkeypatch: pytest.MonkeyPatch, maven: str = "") -> None:
    program(folder / "bin" / "java", "#!/bin/sh\necho javac 21.0.1\n")
    if maven:
        program(folder / "bin" / "mvn", f"#!/bin/sh\n{maven}\n")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin" if maven else str(folder / "bin"))
    monkeypatch.setenv("HOME", str(folder / "home"))


def test_a_distribution_of_the_users_is_taken_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_java(tmp_path, monkeypatch, "exit 1")
    program(tmp_path / "kafka" / "libs" / "kafka-clients-4.0.0.jar", "")
    made = jars.distribution(tmp_path / "kafka", pytest.fail)
    assert (made.version, made.classpath) == ("4.0.0", f"{tmp_path}/kafka/libs/*")
    assert jars.driver_command(made, tmp_path / "classes", "Driver")[-2:] == [f"{tmp_path}/classes:{tmp_path}/kafka/libs/*", "Driver"]


def test_a_folder_that_is_no_distribution_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_java(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(ClusterError, match=r"is no Kafka distribution: there is no kafka-clients-\*\.jar in"):
        jars.distribution(tmp_path, pytest.fail)


FAKE_MAVEN = """for argument; do case $argument in -DoutputDirectory=*) folder=${argument#*=};; esac; done
echo run >> "$HOME/../runs"; mkdir -p "$folder"; sleep 0.2; touch "$folder/kafka-clients-4.1.1.jar" """


def test_the_jars_are_resolved_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    with_java(tmp_path, monkeypatch, FAKE_MAVEN)
    said: list[str] = []
    first, second = (jars.distribution(None, said.append) for _ in range(2))
    assert first == second
    assert first.version == "4.1.1"
    assert said == ["fetching Kafka 4.1.1 from Maven Central (43 MB, once)"]
    assert (tmp_path / "runs").read_text() == "run\n"


def test_two_who_resolve_at_once_both_have_the_jars_and_leave_nothing_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    with_java(tmp_path, monkeypatch, FAKE_MAVEN)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: jars.cached_jars(tmp_path / "cache", lambda _: None), range(2)))
    assert found == [tmp_path / "cache" / "kafka-4.1.1"] * 2
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    assert [path.relative_to(tmp_path / "cache").as_posix() for path in sorted((tmp_path / "cache").rglob("*"))] == [
        "kafka-4.1.1",
        "kafka-4.1.1/kafka-clients-4.1.1.jar",
    ]


@pytest.mark.parametrize(
    ("maven", "complaint"),
    [
        ("", r"Maven \(`mvn`\) is needed to fetch Kafka 4\.1\.1 once; install it"),
        ("echo '[ERROR] no route to the host -> [Help 1]'; echo '[ERROR] see the manual'; exit 1", r"4\.1\.1: no route to the host$"),
    ],
)
def test_a_failure_to_resolve_is_one_sentence_and_leaves_no_half_of_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maven: str, complaint: str
) -> None:
    with_java(tmp_path, monkeypatch, maven)
    with pytest.raises(ClusterError, match=complaint):
        jars.cached_jars(tmp_path / "cache", lambda _: None)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


# ---------------------------------------------------------------------------------------------------- a node's files


def place(tmp_path: Path, number: int = 1) -> Place:
    listeners = (
        Listener("REPLICATION", ("127.9.0.1", 1000), ("broker-1.kafkasim", 1000)),
        Listener("CLIENT1", ("127.9.0.1", 1001), ("127.0.0.1", 2001)),
    )
    return Place(number, listeners, ("controller-100.kafkasim", 9), tmp_path)


def test_a_scenarios_configuration_is_kept_except_for_where_things_are(tmp_path: Path) -> None:
    config = {"log.dirs": "/elsewhere", "log.dir": "/elsewhere", "listeners": "X://:1", "num.io.threads": 7, "replica.lag.time.max.ms": 5}
    made = node_config(place(tmp_path), config, 3, 1)
    assert (made["num.io.threads"], made["replica.lag.time.max.ms"], made["log.dirs"]) == (7, 5, tmp_path)
    assert "log.dir" not in made
    properties = to_properties(made).splitlines()
    assert "listeners=REPLICATION://127.9.0.1:1000,CLIENT1://127.9.0.1:1001" in properties
    assert "advertised.listeners=REPLICATION://broker-1.kafkasim:1000,CLIENT1://127.0.0.1:2001" in properties
    assert "controller.quorum.voters=100@controller-100.kafkasim:9" in properties
    assert "auto.create.topics.enable=false" in properties


def test_internal_topics_have_no_more_replicas_than_there_are_brokers(tmp_path: Path) -> None:
    factors = ("offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr")
    found = [
        [node_config(place(tmp_path), config, brokers, 1)[key] for key in factors]
        for brokers, config in [(1, {}), (5, {}), (3, {factors[0]: 2})]
    ]
    assert found == [[1, 1, 1], [3, 3, 2], [2, 3, 2]]


def test_only_a_broker_names_its_inter_broker_listener(tmp_path: Path) -> None:
    assert node_config(place(tmp_path), {}, 1, 1)["inter.broker.listener.name"] == "REPLICATION"
    assert "inter.broker.listener.name" not in node_config(place(tmp_path, CONTROLLER), {}, 1, 1)


def test_properties_are_escaped_as_java_reads_them() -> None:
    assert to_properties({"a": "C:\\x", "b": "é\n😀", "c": True, "d": ["x", 1]}) == "a=C:\\\\x\nb=\\u00e9\\n\\ud83d\\ude00\nc=true\nd=x,1\n"


def test_a_hosts_file_has_an_address_and_a_name_on_each_line() -> None:
    assert hosts_file({"broker-2.kafkasim": "127.9.1.2", "localhost": "127.0.0.1"}) == "127.9.1.2 broker-2.kafkasim\n127.0.0.1 localhost\n"


def test_a_cluster_is_formatted_with_the_features_that_the_scenario_asks_for() -> None:
    tool, wanted, cluster_id, *rest = format_arguments(Path("server.properties"), {"eligible.leader.replicas.version": 0})
    assert (tool, wanted, len(cluster_id)) == ("format", "-t", 22)
    assert rest == ["-c", "server.properties", "--feature", "eligible.leader.replicas.version=0"]
    assert format_arguments(Path("server.properties"), {})[3:] == ["-c", "server.properties"]


def test_a_brokers_meta_properties_are_the_controllers_but_for_its_identity() -> None:
    made = formatted_like("#Tue\nnode.id=100\ndirectory.id=abc\nversion=1\ncluster.id=xyz\n", 2).splitlines()
    assert (made[0], made[2], made[3]) == ("node.id=2", "version=1", "cluster.id=xyz")
    assert made[1].startswith("directory.id=")
    assert len(made[1].removeprefix("directory.id=")) == 22
    assert not any(new_id().startswith("-") for _ in range(500))


# ---------------------------------------------------------------------------------------------------- real brokers


class Home:
    """What a cluster needs around it."""

    def __init__(self, folder: Path, warden: Warden) -> None:
        self.distribution = jars.distribution(None, lambda _: None)
        self.addresses, self.links, self.warden, self.folder = Addresses(), Links(), warden, folder

    def brokers(self, config: dict[str, object]) -> LocalBrokers:
        return LocalBrokers(self.distribution, self.addresses, self.links, self.warden, self.folder, 3, 2, config)


@pytest.fixture
def home(tmp_path: Path, warden: Warden) -> Iterator[Home]:
    made = Home(tmp_path, warden)
    yield made
    made.links.close()
    made.addresses.close()


FAST: dict[str, object] = {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500, "replica.lag.time.max.ms": 2000}


@pytest.mark.kafka
def test_our_java_clients_compile(tmp_path: Path) -> None:
    classes = jars.compile_drivers(jars.distribution(None, lambda _: None), tmp_path / "classes")
    sources = Path(jars.__file__).parent / "drivers"
    assert {path.stem for path in sources.glob("*.java")} <= {path.stem for path in classes.glob("*.class")}


@pytest.mark.kafka
@pytest.mark.slow
def test_real_brokers_replicate_through_their_proxies_and_come_back_after_a_kill(home: Home) -> None:
    brokers = home.brokers(FAST)
    try:
        brokers.start()
        admin = AdminClient({"bootstrap.servers": brokers.admin_bootstrap})
        admin.create_topics([NewTopic("orders", 1, 3)])["orders"].result(60.0)
        assert eventually(lambda: len(isr(admin)) == 3)
        producer = Producer({"bootstrap.servers": brokers.bootstrap("client-2"), "acks": "all", "log_level": 0})
        errors = [produced(producer)]
        leader = admin.list_topics("orders", 5.0).topics["orders"].partitions[0].leader
        follower = next(number for number in (1, 2, 3) if number != leader)
        home.links.cut(f"broker-{follower}", f"broker-{leader}")
        errors.append(produced(producer))
        assert eventually(lambda: follower not in isr(admin))  # whichever broker answers may not have heard yet
        home.links.join(f"broker-{follower}", f"broker-{leader}")
        assert eventually(lambda: len(isr(admin)) == 3)
        brokers.kill(f"broker-{leader}")
        errors.append(produced(producer))
        brokers.start_node(f"broker-{leader}")
        assert eventually(lambda: len(isr(admin)) == 3)
        brokers.terminate(f"broker-{leader}")
        brokers.start_node(f"broker-{leader}")  # waits for the shutdown
        assert eventually(lambda: len(isr(admin)) == 3)
        assert errors == [None, None, None]
        assert list(brokers.metadata_log.glob("*.log"))
        pids = [brokers.process(name).pid for name in ("controller-100", "broker-1", "broker-2", "broker-3")]
    finally:
        brokers.close()
    assert all(map(gone, pids))


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (["INFO up", "ERROR no", "x.Exception: why"], "it ended; the end of its log:\nINFO up\nERROR no\nx.Exception: why"),
        (
            ["INFO up", "10:00 ERROR no", "x.Exception: why", *(f"INFO down {step}" for step in range(20)), "ERROR again"],
            "it ended; the first error in its log, and its end:\n10:00 ERROR no\nx.Exception: why\nINFO down 0\nINFO down 1\n…\n"
            + "\n".join([*(f"INFO down {step}" for step in range(11, 20)), "ERROR again"]),
        ),
        (
            ["ERROR no", "Caused by: org.apache.kafka.common.config.ConfigException: Invalid value x", *(["INFO down"] * 20)],
            "Kafka does not accept `cluster: config:`: Invalid value x",
        ),
    ],
    ids=["a short log", "a long shutdown", "a refused value"],
)
def test_a_node_that_ends_is_quoted_with_what_ended_it(tmp_path: Path, warden: Warden, log: list[str], why: str) -> None:
    node = Process("broker-1", ["printf", "%s\n", *log], warden, tmp_path / "log")
    assert node.wait(PATIENCE_S)
    assert _why("it ended", node) == why


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"broker.session.timeout.ms": "x"}, "does not accept .* Invalid value x for configuration broker.session.timeout.ms"),
        ({"metric.reporters": "no.such.Reporter"}, r"(?s)^(broker-\d|controller-100) ended while .*no\.such\.Reporter"),
    ],
)
def test_a_configuration_that_kafka_refuses_is_told_within_seconds(home: Home, config: dict[str, object], complaint: str) -> None:
    brokers = home.brokers(config)
    began = time.monotonic()
    try:
        with pytest.raises(ClusterError, match=complaint):
            brokers.start()
    finally:
        brokers.close()
    assert time.monotonic() - began < PATIENCE_S


def isr(admin: AdminClient) -> list[int]:
    partition = admin.list_topics("orders", 5.0).topics["orders"].partitions.get(0)
    return list(partition.isrs) if partition else []


def produced(producer: Producer) -> object:
    """The error of one record with acks=all, or None."""
    found: list[object] = ["no callback"]
    producer.produce("orders", b"value", on_delivery=lambda error, _: found.insert(0, error))
    producer.flush(PATIENCE_S)
    return found[0]
