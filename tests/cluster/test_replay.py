"""A whole run without brokers: the lives of its clients, its one zero, and how it ends."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster import run_fakes
from cluster.patience import PATIENCE_S, eventually
from cluster.run_fakes import FakeSite

from kafkasim import Scenario
from kafkasim.cluster import applications, casting, flag_server, replay
from kafkasim.cluster.applications import Application, Event, last_words
from kafkasim.cluster.casting import Cast
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.processes import Process
from kafkasim.cluster.replay import Run
from kafkasim.cluster.warden import Warden
from kafkasim.ledger import Ledger

TALKS = """
import json, sys, time
say = lambda **event: print(json.dumps(event), flush=True)
spec = json.loads(sys.stdin.readline())
say(e="ready")
go = json.loads(sys.stdin.readline())
say(e="started")
for number in range(go["first"], go["first"] + 1000):
    say(e="sent", last=number + 1)
say(e="asked", last=go["first"] + 1005)
open(spec["said"], "a").write("all")
sys.stdin.read()
"""


@pytest.fixture
def warden() -> Iterator[Warden]:
    made = Warden()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    made = FakeSite(tmp_path)
    yield made
    made.close()


# ---------------------------------------------------------------------------------------------------- lives


class Lives:
    """An application, and a clock that does nothing before it is told to."""

    def __init__(self, warden: Warden, folder: Path, program: str) -> None:
        self.posted: list[Callable[[], object]] = []
        self.events: list[Event] = []
        self.gone: list[int] = []  # where each process was told to begin
        self.handed_over = 0
        command = [sys.executable, "-c", program]
        self.application = Application(
            "shop",
            command,
            lambda: json.dumps({"said": str(folder / "said")}) + "\n",
            self._go,
            self._told,
            self.posted.append,
            warden,
            folder / "shop.log",
        )

    def _go(self) -> Event:
        self.gone.append(self.handed_over)
        return {"first": self.handed_over}

    def _told(self, event: Event, _: object) -> None:
        self.events.append(event)
        if event["e"] == "sent":
            self.handed_over = event["last"]

    def run(self) -> None:
        while self.posted:
            self.posted.pop(0)()

    def until(self, true: Callable[[], object]) -> None:
        assert eventually(lambda: (self.run(), true())[1])


def test_the_next_process_begins_behind_everything_that_the_killed_one_had_told(
    warden: Warden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loads(text: bytes) -> Any:
        time.sleep(0.0001)  # whoever listens lags behind
        return json.loads(text)

    monkeypatch.setattr(applications, "json", SimpleNamespace(loads=loads, dumps=json.dumps))
    lives = Lives(warden, tmp_path, TALKS)
    lives.application.start()
    assert eventually(lambda: (tmp_path / "said").exists() and (tmp_path / "said").read_text() == "all")
    lives.application.kill()  # by a fault that is due: what was posted meanwhile comes after it
    assert lives.handed_over == 1000
    lives.application.start()
    assert lives.gone == [0, 1000]
    assert lives.events[-2:] == [{"e": "asked", "last": 1005}, {"e": "ended"}]
    lives.until(lambda: lives.handed_over == 2000)
    assert lives.events.count({"e": "ended"}) == 1
    assert [event["last"] for event in lives.events if event["e"] == "sent"] == list(range(1, 2001))  # nothing is heard twice
    lives.application.kill()


def test_what_a_dead_process_says_of_itself_is_of_no_interest_and_what_it_did_is(warden: Warden, tmp_path: Path) -> None:
    lives = Lives(warden, tmp_path, TALKS)
    lives.application.start()
    first = lives.application._running
    assert first is not None
    lives.application.kill()
    lives.application.start()
    lives.events.clear()
    lives.application.heard(first, {"e": "started"})
    assert not lives.application.started
    for kind in ("state", "busy", "assigned", "positions", "reached", "callback", "handled", "commit", "sent"):
        lives.application.heard(first, {"e": kind, "last": 0})
    assert [event["e"] for event in lives.events] == ["callback", "handled", "commit", "sent"]
    lives.application.kill()


def test_a_client_that_will_be_brought_down_twice_has_its_next_process_ready_after_each_start(warden: Warden, tmp_path: Path) -> None:
    lives = Lives(warden, tmp_path, TALKS)
    application = lives.application
    application.restarts = 2
    standbys = []
    for _ in range(3):
        application.start()
        standbys.append(application._standby is not None)
        lives.until(lambda: application.ready)
        application.kill()
    assert standbys == [True, True, False]
    application.end()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        ("from kafkasim.cluster.errors import ClusterError\nraise ClusterError('no heart')", "no heart"),
        ("try:\n    1 / 0\nexcept ArithmeticError as e:\n    raise RuntimeError('why') from e", "RuntimeError: why"),
        ("import sys; print('first\\nlast\\n\\n', file=sys.stderr)", "last"),
        ("raise SystemExit(3)", "it said nothing, and its exit status was 3"),
        (
            "import os, sys; print('busy', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)",
            f"signal 9 ended it ({signal.strsignal(9)})",
        ),
    ],
)
def test_the_last_words_of_a_process_are_one_line_that_means_something(warden: Warden, tmp_path: Path, program: str, words: str) -> None:
    process = Process("shop", [sys.executable, "-c", program], warden, tmp_path / "log")
    assert process.wait(PATIENCE_S)
    assert last_words(process) == words


def test_a_standby_that_dies_says_why(warden: Warden, tmp_path: Path) -> None:
    lives = Lives(warden, tmp_path, "raise ValueError('no heart')")
    lives.application.prepare()
    with pytest.raises(ClusterError, match=r"^The client shop could not be started: ValueError: no heart$"):
        assert eventually(lambda: lives.application.ready)


# ---------------------------------------------------------------------------------------------------- whole runs


def scenario_of(name: str = "shop", faults: str = "[]", records: int = 100, size: int = 100, group: str = "") -> Scenario:
    return Scenario.loads(f"""
cluster: {{brokers: 3}}
topics: {{orders: {{partitions: 1}}}}
producers:
  - {{name: {name}, topic: orders, records: {records}, rate: 500, record.size: {size}, client: librdkafka}}
consumers: [{group}]
faults: {faults}
""")


def run_of(scenario: Scenario, site: FakeSite, tick: Callable[[float, str], None] | None = None) -> tuple[Run, Ledger]:
    ledger = Ledger(backend="cluster", seed=1)
    return Run(scenario, 1, site, ledger, None, tick), ledger


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that obey the test, and no long waits."""
    monkeypatch.setattr(casting, "_COMMANDS", {"producing": (sys.executable, run_fakes.__file__, "producing")})
    monkeypatch.setattr(replay, "_SETTLE_MS", 50.0)
    monkeypatch.setattr(replay, "_QUIET_MS", 100.0)
    monkeypatch.setattr(replay, "_LOOK_MS", 10.0)


@pytest.mark.usefixtures("quick")
def test_zero_is_chosen_once_everybody_is_ready_and_is_one_for_all(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    at_zero: list[tuple[bool, bool]] = []
    begin = Cast.begin

    def watched(cast: Cast, zero: float) -> None:
        application = cast.applications["shop"]
        at_zero.append((application.started, application._standby is not None and application._standby.ready))
        begin(cast, zero)

    monkeypatch.setattr(Cast, "begin", watched)
    run, ledger = run_of(scenario_of(faults="[{fault: crash, node: producer(shop), at: 100ms, for: 10ms}]"), site)
    run.all_phases()
    assert at_zero == [(True, True)]
    assert ledger.drained
    assert [entry.numbers for entry in ledger.sent] == [range(100)]
    assert sorted(number for entry in ledger.callbacks for number in entry.numbers)[-1] == 99
    late = [entry.at - 2.0 * entry.numbers[0] for entry in ledger.callbacks]
    assert min(late) >= 0.0
    assert late[0] < run_fakes.SLOW_S * 1000.0  # else zero was chosen before the client was there
    assert site.calls == ["remember", "forget"]


@pytest.mark.usefixtures("quick")
def test_a_run_that_is_over_is_not_undone_by_topics_that_do_not_go(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.refuses_to_forget = True
    run, ledger = run_of(scenario_of(), site)
    for phase in ("_warm_up", "_workload_and_drain"):
        monkeypatch.setattr(run, phase, lambda: None)
    run.all_phases()
    assert ledger.notes == ["after the run: nothing answers"]


@pytest.mark.usefixtures("quick")
def test_a_client_that_dies_in_the_workload_ends_the_run_with_its_last_words(site: FakeSite) -> None:
    deadline = time.monotonic() + 20.0

    def tick(_share: float, _phase: str) -> None:
        assert time.monotonic() < deadline

    run, _ = run_of(scenario_of(name="dying"), site, tick)
    with pytest.raises(ClusterError, match=r"^The client dying ended by itself: The Java producer cannot go on: it has no heart$"):
        run.all_phases()
    assert list(site.folder.iterdir()) == []


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("first", [KeyboardInterrupt(), ClusterError("the first of them")])
def test_what_ended_a_run_is_told_whatever_leaving_comes_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: bool, first: BaseException
) -> None:
    site = FakeSite(tmp_path, placed=placed)
    site.admin.refusal = first
    site.refuses_to_forget = True
    monkeypatch.setattr(Cast, "leave", _fails)
    run, _ = run_of(scenario_of(), site)
    with pytest.raises(type(first)) as raised:
        run.all_phases()
    assert raised.value is first
    assert site.calls == ["remember"]  # the site is about to be closed, and sees to the rest
    assert list(tmp_path.iterdir()) == []
    site.close()


def _fails(*_: Any) -> None:
    raise ClusterError("the second of them")


def test_somebody_elses_topic_of_our_name_is_left_alone(tmp_path: Path) -> None:
    site = FakeSite(tmp_path, placed=False)
    site.admin.there, site.admin.refusal = ["orders"], ClusterError("it is there")
    run, _ = run_of(scenario_of(), site)
    with pytest.raises(ClusterError, match="and it is not ours"):
        run.all_phases()
    assert site.calls == []
    site.close()


@pytest.mark.parametrize(("stopped", "behind"), [((), True), ((0,), True), ((0, 1), False)])
def test_a_group_is_excused_from_reading_on_when_all_its_members_have_stopped(site: FakeSite, stopped: Sequence[int], behind: bool) -> None:
    run, _ = run_of(scenario_of(group="{group: billing, topics: [orders], members: 2}"), site)
    site.admin.ends = [8]
    run._cast.members["billing-0"].positions = {"orders-0": 5}
    for number in stopped:
        run._cast.members[f"billing-{number}"].stopped = "NoOffsetForPartition"
    assert run._group_behind() == ("group billing has not read orders-0 to its end" if behind else "")


def test_a_position_of_a_member_that_has_stopped_does_not_hide_that_of_who_reads_on(site: FakeSite) -> None:
    run, _ = run_of(scenario_of(group="{group: billing, topics: [orders], members: 2}"), site)
    site.admin.ends = [8]
    run._cast.members["billing-0"].positions = {"orders-0": 8}
    run._cast.members["billing-1"].positions = {"orders-0": 5}
    run._cast.members["billing-1"].stopped = "NoOffsetForPartition"
    assert run._group_behind() == ""


# ---------------------------------------------------------------------------------------------------- the cast


@pytest.mark.parametrize(
    ("faults", "restarts"),
    [
        ("[]", 0),
        ("[{fault: crash, node: producer(shop), at: 1s, for: 1s}]", 1),
        ("[{fault: crash, node: clients, at: 1s, for: 1s}, {fault: shutdown, node: producer(shop), at: 3s, for: 1s}]", 2),
        ("[{fault: pause, node: producer(shop), at: 1s, for: 1s, as: it}, {fault: crash, node: $it, at: 3s, for: 1s}]", 1),
        ("[{fault: crash, node: consumer(billing-0), at: 1s, for: 1s}]", 0),
    ],
)
def test_a_client_has_a_standby_for_each_fault_that_may_bring_it_down(site: FakeSite, faults: str, restarts: int) -> None:
    run, _ = run_of(scenario_of(faults=faults, group="{group: billing, topics: [orders]}"), site)
    assert run._cast.applications["shop"].restarts == restarts


def test_a_scenario_is_checked_before_any_broker_runs_and_all_complaints_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = "{group: billing, topics: [orders], dedup: redis}"
    monkeypatch.setattr(flag_server.shutil, "which", lambda _: None)
    with pytest.raises(ClusterError) as raised:
        casting.check(scenario_of(records=70_000, size=2, group=redis))
    assert str(raised.value).splitlines() == [
        "producers.shop: record.size 2 is too small to tell record 69999 of producer 0 from all others.",
        "`dedup: redis` needs a Redis: install redis-server, or name one with `dedup.url`.",
    ]
    casting.check(scenario_of(group=redis.replace("redis}", "redis, dedup.url: 'redis://localhost:6379/0'}")))
    monkeypatch.undo()
    casting.check(scenario_of(records=65_536, size=2))


def test_real_brokers_get_one_controller_and_a_quorum_is_refused_before_any_runs() -> None:
    scenario = scenario_of()
    quorum = scenario.model_copy(update={"cluster": scenario.cluster.model_copy(update={"controllers": 3})})
    with pytest.raises(ClusterError, match=r"cluster\.controllers: 3 run in the simulator only; real brokers get one controller\."):
        casting.check(quorum)


def test_real_brokers_are_of_todays_generation_and_another_one_is_refused_in_one_sentence() -> None:
    with pytest.raises(ClusterError) as raised:
        casting.check(scenario_of().with_({"cluster.truncation": "kip101"}))
    assert str(raised.value) == "cluster.truncation: real brokers of today know kip595 only; kip101 can be run in the simulator."


def test_real_brokers_are_of_one_version_and_another_profile_is_refused_before_any_runs() -> None:
    with pytest.raises(ClusterError, match=r"^kafka: 3\.6: real brokers are run as 4\.1\.1 only\.$"):
        casting.check(scenario_of().with_({"kafka": "3.6"}))
