"""Both backends side by side: what a comparison keeps of how it came about, what may be simulated again, and the workers that do it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cluster.patience import eventually, gone

from kafkasim import Scenario, validator
from kafkasim.backend import Tick
from kafkasim.cluster.calibrate import Calibration
from kafkasim.ledger import Ledger
from kafkasim.runner import run
from kafkasim.scenario import ScenarioError
from kafkasim.simulator.simulation import Simulator
from kafkasim.trace import Trace
from kafkasim.validation_records import Recorded
from kafkasim.validator import simulate, simulate_again, validate

LESSON = Scenario.load("calm").with_({"producers.shop.records": 50})
YAML = """
name: lesson
topics: {orders: {}}
producers: [{name: shop, topic: orders, records: 50}]
"""


class FakeKafka:
    """A simulator that poses as real brokers."""

    name = "cluster"
    client_versions: Mapping[str, str] = {"java": "4.1.1"}
    options = ("--bootstrap-server", "kafka:9092")
    versions: Mapping[str, str] = {"java": "17"}

    def __init__(self) -> None:
        self.ran: list[Scenario] = []

    def calibration(self, scenario: Scenario) -> Calibration:
        return Calibration(0.8, 0.2, 1.2, 900.0, 700.0, scenario.cluster.brokers)

    def run(self, scenario: Scenario, seed: int, trace: Trace | None = None, tick: Tick | None = None) -> Ledger:
        self.ran.append(scenario)
        return Simulator().run(scenario, seed, trace, tick)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> list[Scenario]:
    """The seeds one after another, in this process; the scenarios that were simulated."""
    simulated: list[Scenario] = []

    def here(scenario: Scenario, seeds: int, _tick: Tick | None = None) -> list[Any]:
        simulated.append(scenario)
        return [run(scenario, seed) for seed in range(1, seeds + 1)]

    monkeypatch.setattr(validator, "simulate", here)
    return simulated


def recorded(scenario: Scenario) -> Recorded:
    kafka: Any = FakeKafka()
    return validate(scenario, kafka, runs=2, seeds=2)


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario in a file of the folder we are in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lesson.yaml").write_text(YAML)
    return tmp_path / "lesson.yaml"


# ---------------------------------------------------------------------------------------------------- what is kept


def test_changes_are_part_of_the_record_and_of_the_command_and_are_made_again(lesson: Path, one_process: list[Scenario]) -> None:
    record = recorded(Scenario.load("lesson.yaml").with_({"producers.shop.config.acks": 1, "producers.shop.records": 40}))
    assert record.changes == ("--set producers.shop.config.acks=1", "--set producers.shop.records=40")
    assert record.commands == (
        f"kafkasim validate lesson.yaml {' '.join(record.changes)} --bootstrap-server kafka:9092 --runs 2 --seeds 2",
    )
    again = simulate_again(Recorded.read(record.write(lesson.parent)), seeds=3)
    assert one_process[-1].producer_settings("shop").acks == 1
    assert again.simulated.numbers["sent"] == (40, 40)
    assert again.simulated.seeds == "1..3"
    assert again.scenario_id == record.scenario_id
    assert again.real == record.real
    assert again.commands == (f"kafkasim validate lesson.yaml {' '.join(record.changes)} --runs 2 --seeds 3",)


def test_a_scenario_that_is_another_one_now_is_not_laid_beside_the_real_runs(lesson: Path, one_process: list[Scenario]) -> None:
    record = recorded(Scenario.load("lesson.yaml"))
    lesson.write_text(YAML + "expect: {acked_lost: 0}\ntitle: expectations and titles do not count\n")
    assert simulate_again(record, seeds=2).real == record.real
    lesson.write_text(YAML.replace("records: 50", "records: 51"))
    with pytest.raises(ScenarioError) as caught:
        simulate_again(record, seeds=2)
    assert str(caught.value) == (
        "lesson: the scenario is not the one that was really run any more; "
        "record it again: kafkasim validate lesson.yaml --runs 2 --record DIR"
    )
    lesson.write_text(YAML.replace("topics:", "cluster: {brokers: 2}\ntopics:").replace("{}", "{replication.factor: 2}"))
    with pytest.raises(ScenarioError, match=r"^lesson: the scenario has not all the places any more .* record it again: kafkasim validate"):
        simulate_again(record, seeds=2)
    assert len(one_process) == 2, "nothing is simulated of what is refused"


def test_a_parameter_that_is_modelled_since_does_not_make_another_scenario_and_a_record_without_the_means_to_tell_is_refused(
    lesson: Path, one_process: list[Scenario]
) -> None:
    record = recorded(Scenario.load("lesson.yaml")).model_copy(update={"scenario_id": "of another day"})
    assert simulate_again(record, seeds=2).scenario_id == one_process[-1].scenario_id
    with pytest.raises(ScenarioError, match="record it again"):
        simulate_again(record.model_copy(update={"given": ""}), seeds=2)


def test_a_record_from_before_what_was_given_was_kept_is_told_by_its_id(lesson: Path, one_process: list[Scenario]) -> None:
    record = recorded(Scenario.load("lesson.yaml")).model_copy(update={"given": "", "called": ""})
    with pytest.raises(ScenarioError, match="lesson"):  # by its name, and no scenario is shipped under it
        simulate_again(record, seeds=2)
    assert simulate_again(record.model_copy(update={"called": "lesson.yaml"}), seeds=2).simulated.seeds == "1..2"


def test_what_a_properties_file_said_is_not_recorded_and_so_not_simulated_again(lesson: Path, one_process: list[Scenario]) -> None:
    record = recorded(Scenario.load("lesson.yaml").overlay("producer", {"acks": "1"}, "producer.properties"))
    with pytest.raises(
        ScenarioError, match=r"^lesson: it was run with --producer-config producer\.properties, and what that file said is not"
    ):
        simulate_again(record)


def test_links_of_its_own_are_left_out_on_both_sides_and_that_is_said(lesson: Path, one_process: list[Scenario]) -> None:
    lesson.write_text(YAML + "network: {links: {shop>broker-1: {latency.ms: 50}, broker-2>broker-1: {latency.ms: 50, jitter.ms: 9}}}\n")
    kafka: Any = FakeKafka()
    record = validate(Scenario.load("lesson.yaml"), kafka, runs=1, seeds=2)
    for scenario in (*kafka.ran, *one_process):
        assert "shop>broker-1" not in scenario.network.links
        assert scenario.network.between("broker-2", "broker-1") == (0.6, scenario.network.jitter_ms)
    said = "The scenario's own network.links were left out: real links are as fast as they are."
    assert record.comparison().notes == (said,)
    assert simulate_again(record, seeds=2).comparison().notes == (said,)
    assert recorded(Scenario.loads(YAML)).notes == ()


# ---------------------------------------------------------------------------------------------------- the workers

OWNER = """
import multiprocessing, signal, sys, time
from pathlib import Path
from kafkasim import Scenario
from kafkasim.cluster.warden import Warden
from kafkasim.validator import simulate
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs tests in the background may have told us to ignore it
warden = Warden()
warden.remove(Path(sys.argv[1]))
scenario = Scenario.load("calm").with_({"producers.shop.records": int(sys.argv[2])})
print("begins", flush=True)
try:
    for report in simulate(scenario, 500):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def owner(tmp_path: Path, records: int) -> subprocess.Popen[str]:
    """Somebody with a warden who simulates in a session of his own, so that a Ctrl-C is for him and his workers alone."""
    (tmp_path / "his").mkdir()
    command = [sys.executable, "-c", OWNER, str(tmp_path / "his"), str(records)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_after_a_kill_9_no_worker_is_left_and_none_keeps_the_warden_waiting(tmp_path: Path) -> None:
    with owner(tmp_path, 20) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begins\n"
        workers = [int(pid) for pid in killed.stdout.readline().split()]
        assert workers
        assert not any(map(gone, workers))
        killed.kill()
    assert eventually(lambda: all(map(gone, workers)))
    assert eventually(lambda: not (tmp_path / "his").exists())


@pytest.mark.parametrize("after_s", [0.1, 2.0], ids=["while they start", "while they work"])
def test_a_ctrl_c_ends_the_workers_at_once_and_without_a_word_of_theirs(tmp_path: Path, after_s: float) -> None:
    with owner(tmp_path, 3_000_000) as interrupted:
        assert interrupted.stdout is not None
        assert interrupted.stdout.readline() == "begins\n"
        time.sleep(after_s)
        os.killpg(interrupted.pid, signal.SIGINT)
        began = time.monotonic()
        said, complaints = interrupted.communicate(timeout=60)
    assert (said, complaints) == ("interrupted\n", "")
    assert time.monotonic() - began < 30.0  # a seed takes minutes


def test_the_seeds_come_in_order_and_are_those_of_one_process() -> None:
    reports = list(simulate(LESSON, 3))
    assert [report.seed for report in reports] == [1, 2, 3]
    assert reports[1].to_dict() == run(LESSON, 2).to_dict()
