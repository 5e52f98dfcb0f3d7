"""One run to be made: what its id depends on, and what its row says."""

import shlex
from pathlib import Path

import pytest
from study.small_studies import ACKS, LENGTH, small_study

from kafkasim import Scenario, run
from kafkasim.scenario_file import parse_assignment
from kafkasim.study import task
from kafkasim.study.axes import Point
from kafkasim.study.task import axis_paths, cell, command_of, row_of, task_of
from kafkasim.study.work import Chunk, Piece, make


def test_the_id_of_a_task_is_the_same_whenever_it_is_asked_for():
    one, again = small_study(), small_study()
    assert task_of(one.scenario, one.points[2], 3) == task_of(again.scenario, again.points[2], 3)
    assert len(task_of(one.scenario, one.points[2], 3).id) == 32


def test_tasks_of_other_points_seeds_changes_scenarios_and_versions_have_other_ids(monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    ids = [task_of(study.scenario, point, number).id for point in study.points for number in range(3)]
    point = study.points[0]
    changed = Point(0, {**point.changes, LENGTH: "0.040s"})  # behaves alike, but its row says something else
    assert study.scenario.with_(changed.changes).scenario_id == study.scenario.with_(point.changes).scenario_id
    ids.append(task_of(study.scenario, changed, 0).id)
    ids.append(task_of(small_study(acks=(1,)).scenario, Point(0, {}), 0).id)
    monkeypatch.setattr(task, "version", lambda: "0.1.0+other")
    ids.append(task_of(study.scenario, point, 0).id)
    assert len(set(ids)) == len(ids) == 15


def test_the_short_id_of_a_scenario_is_the_beginning_of_its_whole_digest():
    scenario = Scenario.load("zombie-leader")
    assert scenario.scenario_id == scenario.behaviour_digest[:12]
    assert len(scenario.behaviour_digest) == 64


def test_the_version_changes_with_the_code_that_makes_rows_and_not_with_pictures_or_line_ends(tmp_path: Path):
    def digest(files: dict[str, bytes]) -> str:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(text)
        return task.sources_digest(tmp_path)

    first = digest({"report.py": b"a\n", "plots/bands.py": b"b\n", "study/collect.py": b"c\n"})
    assert digest({"plots/bands.py": b"other\n", "study/collect.py": b"other\n", "report.py": b"a\r\n"}) == first
    assert digest({"report.py": b"other\n"}) != first
    assert all(digest({name: b""}) != first for name in ("progress.py", "protocol/broker.py", "study/task.py", "truth.py"))


def test_the_version_names_the_package_and_its_sources():
    number, plus, digits = task.version().partition("+")
    assert (bool(number), plus, len(digits)) == (True, "+", 10)


def test_a_row_says_who_it_is_then_what_was_varied_then_what_came_of_it_then_how_to_repeat_it():
    study = small_study()
    chosen = task_of(study.scenario, study.points[3], 2)
    row = row_of(chosen, run(study.scenario.with_(chosen.point.changes), chosen.seed), axis_paths(study))
    columns = list(row)
    assert columns[:7] == ["task", "version", "point", "run", "seed", ACKS, LENGTH]
    assert (row["task"], row["point"], row["run"], row["seed"], row[ACKS], row[LENGTH]) == (chosen.id, 3, 2, 3, 1, "50ms")
    assert {"scenario_id", "backend", "kafka", "sent", "acked_lost", "groups.billing.lost", "latency_ms.p99", "violated"} < set(columns)
    assert columns[-1] == "command"
    assert row["sent"] == 40


def test_the_command_of_a_row_repeats_it():
    study = small_study()
    piece = Piece(study.points[1], (4,))
    (row,) = make(Chunk(task.version(), study.scenario, axis_paths(study), (piece,))).rows
    words = shlex.split(str(row["command"]))
    assert words[:2] == ["kafkasim", "run"]
    assert words[3:5] == ["--seed", "5"]
    assert words[5::2] == ["--set"] * 4
    repeated = run(Scenario.load(words[2]).with_(dict(parse_assignment(word) for word in words[6::2])), int(words[4]))
    assert repeated.flat().items() <= row.items()
    assert row["command"] == repeated.command == command_of(study.scenario, study.points[1].changes, 5)


def test_lists_and_mappings_are_compact_json_and_everything_else_stands_as_written():
    assert [cell(value) for value in ("3s", 1, 0.5, True, None)] == ["3s", 1, 0.5, True, None]
    assert cell([1, "a"]) == '[1,"a"]'
    assert cell({"latency.ms": 3}) == '{"latency.ms":3}'


def test_a_path_that_is_also_a_column_of_the_report_keeps_the_value_as_written():
    study = small_study()
    chosen = task_of(study.scenario, Point(0, {"kafka": "3.6"}), 0)
    row = row_of(chosen, run(study.scenario.with_({"kafka": "3.6"})), ("kafka",))
    assert list(row).index("kafka") == 5
    assert row["kafka"] == "3.6"


def test_a_chunk_for_another_version_is_not_made():
    study = small_study()
    made = make(Chunk("0.0.9+0123456789", study.scenario, (), (Piece(study.points[0], (0,)),)))
    assert made.rows == ()
    assert made.version == task.version()


def test_a_run_that_fails_is_told_with_its_command_and_the_rows_before_it_are_kept(monkeypatch: pytest.MonkeyPatch):
    from kafkasim.study import work

    def run_or_break(scenario: Scenario, seed: int) -> object:
        assert seed != 3, "seeds of three are not to be had"
        return run(scenario, seed)

    monkeypatch.setattr(work, "run_once", run_or_break)
    study = small_study()
    made = make(Chunk(task.version(), study.scenario, axis_paths(study), (Piece(study.points[0], (0, 1, 2, 3)),)))
    assert [row["run"] for row in made.rows] == [0, 1]
    assert made.failed is not None
    assert (made.failed.point, made.failed.run) == (0, 2)
    assert made.failed.sentence.startswith("AssertionError: seeds of three are not to be had")
    assert made.failed.command == command_of(study.scenario, study.points[0].changes, 3)
    assert "run_or_break" in made.failed.traceback
