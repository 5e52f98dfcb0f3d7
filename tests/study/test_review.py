"""What a stranger found: each of these went wrong once."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from study.small_studies import finished, small_study

from kafkasim import Scenario, sweep
from kafkasim.cli_options import lay_over
from kafkasim.intervals import Interval
from kafkasim.plots import check_kind
from kafkasim.plots.measure import measure_of
from kafkasim.plots.sensitivity import draw_sensitivity
from kafkasim.runner import run
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.executors import serial
from kafkasim.study.results import ROWS, STUDY, Results
from kafkasim.study.sensitivity import SobolIndex
from kafkasim.study.study import RUNS, Study
from kafkasim.study.study_file import load_study, study_of
from kafkasim.study.summary import summarise_study
from kafkasim.study.table import read_table, table_of
from kafkasim.study.task import Row, command_of
from kafkasim.study_page import headline

INLINE = """
study: inline
scenario:
  topics: {orders: {partitions: 1, replication.factor: 3}}
  producers: [{name: shop, topic: orders, records: 20, rate: 200}]
axes: {producers.shop.config.acks: [1, all]}
"""


def repeated(command: str) -> Scenario:
    """The scenario of a printed command, as the command line makes it."""
    words = shlex.split(command)
    assert words[:2] == ["kafkasim", "run"]
    sets = [after for word, after in pairwise(words) if word == "--set"]
    return lay_over(Scenario.load(words[2]), sets, {})


@pytest.mark.parametrize("name", ["five-settings", "safety-and-price", "zombie-window"])
def test_the_commands_of_the_shipped_studies_repeat_their_runs(name: str) -> None:
    study = load_study(name)
    for point in (study.points[0], study.points[len(study.points) - 1]):
        there = study.scenario.with_(point.changes)
        assert repeated(command_of(study.scenario, point.changes, 1)).behaviour_digest == there.behaviour_digest


def test_a_change_leads_into_what_an_earlier_one_has_put_there() -> None:
    faults: list[dict[str, object]] = [
        {"at": "1s", "fault": "slow-disk", "write.ms": 5, "node": "broker(1)"},
        {"at": "1s", "fault": "crash", "node": "broker(2)"},
    ]
    faults[1]["as"] = "zombie"  # the first fault of this scenario is called so, and here it is the second
    changed = Scenario.load("zombie-leader").with_({"expect": {}, "faults": faults, "faults.zombie.for": "2s"})
    assert [fault.for_ms for fault in changed.faults] == [None, 2000.0]
    assert "for" not in faults[1], "what was given stays as it was"


def test_the_last_word_stands_last() -> None:
    acks = "producers.shop.config.acks"
    words = [f"{acks}=1", "producers.shop.config={linger.ms: 3}", f"{acks}=0"]
    assert dict(lay_over(Scenario.load("calm"), words, {}).producer("shop").config) == {"linger.ms": 3, "acks": 0}


def test_a_run_of_an_inline_scenario_is_repeated_from_the_studys_file(tmp_path: Path) -> None:
    path = tmp_path / "in line.yaml"
    path.write_text(INLINE)
    row = sweep(path, runs=1, executor=serial()).rows[-1]
    again = run(repeated(str(row["command"])), int(row["seed"] or 0))
    assert (again.scenario_id, again.flat()["latency_ms.p99"]) == (row["scenario_id"], row["latency_ms.p99"])


def test_a_study_file_that_does_not_say_how_many_runs_has_as_many_as_the_help_says(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(INLINE)
    assert load_study(tmp_path / "study.yaml").runs == RUNS == 20


def a_study(design: str = "grid") -> Study:
    axes = {"producers.shop.config.linger.ms": "1..4/1", "producers.shop.records": "10..40/10"}
    return study_of("calm", axes, runs=2, design=design, points=None if design == "grid" else 2)


@pytest.mark.parametrize("design", ["saltelli", "morris"])
@pytest.mark.parametrize("outcome", [7.0, None])
def test_where_no_axis_can_be_told_from_another_the_rest_is_said_all_the_same(design: str, outcome: float | None) -> None:
    study = a_study(design)
    plain = {"sent": 1, "acked": 1, "loss_rate": 0.0, "silent_loss_rate": 0.0, "duplication_rate": 0.0, "violated": False}
    plain |= {"throughput": 1.0, "unavailable_ms": 0.0}
    rows: list[Row] = [
        {"point": point, "run": each, **plain, "latency_ms.p99": None if outcome is None else outcome + each}
        for point in range(len(study.points))
        for each in range(2)
    ]
    summary = summarise_study(study, read_table(rows, study))
    assert (summary.sobol, summary.morris) == ((), ())
    if outcome is None:
        assert headline(summary).startswith(f"At {len(study.points)} of {len(study.points)} points no run lost records in silence")
        assert "nothing was acknowledged" in headline(summary)


def test_a_level_that_takes_the_key_away_is_called_default() -> None:
    study = study_of("calm", {"topics.orders.config.retention.ms": [None, 60000]}, runs=1)
    assert read_table((), study).axes[0].levels == ("default", "60000")


def test_a_picture_that_will_not_fit_is_refused_before_anything_runs() -> None:
    one = table_of({"acks": [1, 2]}, ())
    for kind in ("heatmap", "small-multiples", "parallel"):
        with pytest.raises(ScenarioError, match="at least 2 axes"):
            check_kind(kind, one, "grid")
    with pytest.raises(ScenarioError, match="saltelli or morris"):
        check_kind("sensitivity", one, "grid")
    check_kind("sensitivity", one, "morris")
    check_kind("curve", one, "grid")


def test_what_a_study_cannot_be_told_is_refused_and_not_forgotten() -> None:
    with pytest.raises(ScenarioError, match="axes of its own"):
        sweep("zombie-window", {"producers.shop.records": [1]})
    with pytest.raises(ScenarioError, match="it needs a design"):
        sweep("zombie-window", points=5)
    with pytest.raises(ScenarioError, match="whole study already"):
        sweep(a_study(), runs=5)


def test_ctrl_c_while_the_workers_begin_prints_no_traceback(tmp_path: Path) -> None:
    for tenths in (5, 6, 7):
        command = [sys.executable, "-m", "kafkasim", "sweep", "zombie-window", "--runs", "500", "--jobs", "2", "--out", str(tenths)]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True, cwd=tmp_path
        )
        time.sleep(tenths / 10)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert "Traceback" not in said


def test_ctrl_c_twice_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kafkasim", "sweep", "zombie-window", "--runs", "500", "--jobs", "2", "--quiet", "--out", "kept"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True, cwd=tmp_path)
    while not (rows := tmp_path / "kept/results.jsonl").exists() or not rows.stat().st_size:
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.04)
    said = process.communicate(timeout=60)[1]
    assert process.returncode in {130, -signal.SIGINT}  # the second may come when Python itself is ending
    assert "this goes on: kafkasim sweep zombie-window" in said


def test_a_part_without_points_is_refused(tmp_path: Path) -> None:
    vary = ["--vary", "producers.shop.records=10,20", "--runs", "1", "--part", "3/3", "--out", "kept", "--json", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "kafkasim", "sweep", "calm", *vary], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (2, "kafkasim: --part 3/3: the study has 2 points, so this part has none\n")
    assert json.dumps([entry.name for entry in tmp_path.iterdir()]) == "[]"


def test_a_journal_that_holds_rows_twice_is_merged_without_its_doubles(tmp_path: Path) -> None:
    study = small_study(points=2, runs=3)
    finished(study, tmp_path / "whole")
    (tmp_path / "doubled").mkdir()
    for name, times in ((ROWS, 2), (STUDY, 1)):
        (tmp_path / "doubled" / name).write_bytes((tmp_path / "whole" / name).read_bytes() * times)
    with Results.open(tmp_path / "new", study) as results:
        assert results.merge(tmp_path / "doubled") == 6
    assert (tmp_path / "new" / ROWS).read_bytes() == (tmp_path / "whole" / ROWS).read_bytes()


def test_a_title_names_nobody_where_the_intervals_leave_everything_open() -> None:
    wide = Interval(0.4, -0.2, 1.0)
    study = a_study("saltelli")
    row = {"loss_rate": 0.1, "silent_loss_rate": 0.1, "duplication_rate": 0.0, "latency_ms.p99": 1.0}
    table = read_table([{"point": point, "run": 0, **row} for point in range(len(study.points))], study)
    title = (
        draw_sensitivity([SobolIndex("a", wide, wide), SobolIndex("b", wide, wide)], measure_of(table, None), "", []).texts[0].get_text()
    )
    assert " ".join(title.split()) == "The intervals leave open which axis matters most for silent loss"
