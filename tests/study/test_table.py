"""The reading side of a study: any order of rows, any of the two files, flat memory, and clear sentences for what is no such file."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kafkasim.export import columns
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.axes import Axis, Point, Span
from kafkasim.study.study import Study
from kafkasim.study.table import read_table, table_of

ACKS, LAG = "producers.shop.config.acks", "faults.zombie.for"
AXES = {"acks": ACKS, "for": LAG}


def row(point: int, run: int, **more: Any) -> dict[str, Any]:
    places = {ACKS: [1, "all"][point % 2], LAG: ["300ms", "3s", "30s"][point // 2]}
    head = {"task": f"{point:x}{run:x}", "version": "1", "point": point, "run": run, "seed": 7 + run}
    return {**head, **places, "acked_lost": 10 * point + run, "loss_rate": run / 10, "violated": run > 0, "command": "kafkasim", **more}


def rows_in_order_of_completion() -> list[dict[str, Any]]:
    rows = [row(point, run) for point in range(6) for run in range(4)]
    np.random.default_rng(3).shuffle(rows)  # type: ignore[arg-type] - a list can be shuffled too
    return rows


def small_study() -> Study:
    acks = Axis((ACKS,), ((1,), ("all",)), "acks")
    lag = Axis((LAG,), (("300ms",), ("3s",), ("30s",)), "for", Span(0.3, 30, "log", "s"))
    points = [Point(index, {LAG: ["300ms", "3s", "30s"][index // 2], ACKS: [1, "all"][index % 2]}) for index in range(6)]
    return Study("s", "", Scenario.load("zombie-leader"), (acks, lag), points, (), 4)


def lines(path: Path, rows: list[dict[str, Any]], end: str = "") -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows) + end, encoding="utf-8")
    return path


def test_rows_in_any_order_come_back_by_point_and_run() -> None:
    table = read_table(rows_in_order_of_completion(), AXES)
    assert table.points == 6
    assert table.runs == (4,) * 6
    assert table.values("acked_lost", 5).tolist() == [50, 51, 52, 53]
    assert table.run_numbers(5).tolist() == [0, 1, 2, 3]


def test_axes_are_numbers_durations_in_ms_or_words() -> None:
    table = read_table(rows_in_order_of_completion(), AXES)
    acks, lag = table.axes
    assert (acks.numeric, acks.values) == (False, ("1", "all") * 3)
    assert (lag.numeric, lag.unit, lag.log) == (True, "ms", True)
    assert lag.values == (300.0, 300.0, 3000.0, 3000.0, 30_000.0, 30_000.0)
    assert lag.written[:2] == ("300ms", "300ms")
    assert table.axis(LAG) is table.axis("for") is lag


@pytest.mark.parametrize(
    ("values", "numeric", "log"),
    [
        ([1, 2, 3], True, False),
        ([1, 10, 100], True, True),
        ([0, 10, 100], True, False),  # a logarithm of 0 there is not
        ([True, False], False, False),
        ([100, "3s"], False, False),
        (["none", "zipf(3, 1)"], False, False),
    ],
)
def test_what_an_axis_is_follows_from_its_values(values: list[Any], numeric: bool, log: bool) -> None:
    axis = table_of({"x": values}, []).axes[0]
    assert (axis.numeric, axis.log) == (numeric, log)


def test_the_two_files_of_a_sweep_give_the_same_table(tmp_path: Path) -> None:
    rows = [row(point, run, **{"latency_ms.p99": None if run else 2.5}) for point in range(6) for run in range(4)]
    csv = tmp_path / "results.csv"
    cells = [["" if one[name] is None else str(one[name]) for name in columns(rows)] for one in rows]
    csv.write_text("\n".join([",".join(columns(rows)), *(",".join(line) for line in cells)]) + "\n", encoding="utf-8")
    one, other = read_table(lines(tmp_path / "results.jsonl", rows), AXES), read_table(csv, AXES)
    assert one.axes == other.axes
    assert one.keys == other.keys
    assert one.event("violated", 3).tolist() == other.event("violated", 3).tolist() == [False, True, True, True]
    assert np.array_equal(one.values("latency_ms.p99", 2), other.values("latency_ms.p99", 2), equal_nan=True)


def test_with_the_study_points_without_rows_have_their_place_too() -> None:
    table = read_table([row(4, 0), row(1, 0)], small_study())
    assert table.runs == (0, 1, 0, 0, 1, 0)
    assert table.axis("for").values[5] == 30_000
    assert table.axis("for").log
    assert table.values("loss_rate", 0).tolist() == []


def test_without_the_study_the_place_of_a_point_without_rows_is_not_known() -> None:
    lag = read_table([row(2, 0), row(0, 0)], AXES).axis("for")
    assert lag.numeric
    assert np.isnan(lag.values[1])
    assert lag.levels == (300.0, 3000.0)


def test_only_what_is_asked_for_is_kept_and_what_some_rows_lack_is_nan() -> None:
    rows = [row(0, 0), row(0, 1, **{"groups.billing.lost": 3}), row(0, 2)]
    table = read_table(rows, AXES, ["groups.*.lost", "acked_lost"])
    assert table.keys == ("acked_lost", "groups.billing.lost")
    assert np.array_equal(table.values("groups.billing.lost", 0), [np.nan, 3, np.nan], equal_nan=True)
    assert table.event("groups.billing.lost > 0", 0).tolist() == [False, True, False]
    assert table.event("acked_lost", 0).tolist() == [False, True, True]


def test_of_two_rows_of_one_run_the_first_counts() -> None:
    assert read_table([row(0, 0), row(0, 0, acked_lost=99)], AXES).values("acked_lost", 0).tolist() == [0]


def test_a_line_that_a_kill_has_cut_short_is_left_out_and_a_broken_one_is_named(tmp_path: Path) -> None:
    whole = lines(tmp_path / "results.jsonl", [row(0, 0), row(0, 1)], end='{"point": 0, "ru')
    assert read_table(whole, AXES).runs == (2,)
    whole.write_text('{"point": 0, "ru\n' + whole.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"results.jsonl:1: this line is no row of a study"):
        read_table(whole, AXES)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"acked_lost": 1}], "has a `point` and a `run`"),
        ([{**row(0, 0), "point": 6}], "row of point 6, and the study has 6 points: these are another study's"),
        ([row(0, 0, acked_lost="many")], "`acked_lost` is to be a number, and a row has the text 'many'"),
    ],
)
def test_rows_that_cannot_be_of_this_study_are_refused(rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        read_table(rows, small_study(), ["acked_lost"])


def test_a_wrong_name_is_answered_with_the_nearest_right_one() -> None:
    table = read_table(rows_in_order_of_completion(), AXES)
    with pytest.raises(ScenarioError, match=r"no number `aked_lost`; did you mean `acked_lost`\?"):
        table.values("aked_lost", 0)
    with pytest.raises(ScenarioError, match=r"no event `los_rate`; did you mean `loss_rate`\?"):
        table.event("los_rate", 0)
    with pytest.raises(ScenarioError, match=r"no axis `akcs`; did you mean `acks`\?"):
        table.axis("akcs")
    with pytest.raises(ScenarioError, match="no point 6; the study has 6"):
        table.values("loss_rate", 6)
    with pytest.raises(ScenarioError, match=r"no column `producers.shop.config.ack`; did you mean `producers.shop.config.acks`\?"):
        read_table([row(0, 0)], {"acks": "producers.shop.config.ack"})


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nothing.jsonl: No such file or directory"):
        read_table(tmp_path / "nothing.jsonl", AXES)


def test_memory_is_eight_bytes_a_number_and_not_a_row_kept_whole() -> None:
    def many() -> Iterator[dict[str, Any]]:
        padding = {f"text{index}": "x" * 50 for index in range(20)}
        return (row(number % 6, number // 6, **padding) for number in range(12_000))

    tracemalloc.start()
    table = read_table(many(), AXES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    numbers = 12_000 * (len(table.keys) + 2)
    assert peak < 6 * 8 * numbers  # growing and sorting hold it a few times over; whole rows would be some 100 times as much
