"""The pictures of a study: each kind, what is drawn where, what is refused, and that nothing is cut off or lies on anything else."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kafkasim.intervals import Interval, bootstrap_mean, wilson
from kafkasim.plots import draw, draw_effects, save
from kafkasim.plots.heights import FLOOR
from kafkasim.plots.measure import measure_of
from kafkasim.plots.sensitivity import draw_sensitivity
from kafkasim.plots.style import LOST, PALETTE, ramp
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.pareto import undominated
from kafkasim.study.sensitivity import MorrisEffect, SobolIndex
from kafkasim.study.table import StudyTable
from tests.study.pictures import cut_off, grid, listed, overlapping, row, title_of, words_of

CUT = ["1s", "2s", "4s", "6s", "8s"]
ACKS = ["0", "1", "all"]


def cut_by_acks(runs: int = 8) -> StudyTable:
    return grid(
        {"faults.zombie.for": CUT, "acks": ACKS},
        runs,
        lambda at, dice: row(
            0.0 if at["acks"] == "all" else 0.1 * max(float(at["faults.zombie.for"][:-1]) - 3, 0) * dice.uniform(0.8, 1.2),
            {"0": 2.0, "1": 5.0, "all": 900.0}[at["acks"]] * dice.uniform(0.9, 1.1),
            {"0": 400.0, "1": 300.0, "all": 120.0}[at["acks"]],
        ),
    )


def five_axes(points: int = 60, runs: int = 3) -> StudyTable:
    dice = np.random.default_rng(7)
    places = [
        {
            "acks": ACKS[dice.integers(3)],
            "min.insync.replicas": int(dice.integers(1, 4)),
            "replica.lag.time.max.ms": int(10 ** dice.uniform(3, 4.5)),
            "faults.zombie.for": f"{dice.uniform(0.5, 12):.2f}s",
            "request.timeout.ms": int(dice.integers(1000, 30_000)),
        }
        for _ in range(points)
    ]
    return listed(
        places, runs, lambda at, chance: row(0.0 if at["acks"] == "all" else 0.3 * chance.uniform(), 5 + 900 * (at["acks"] == "all"))
    )


def long_words() -> StudyTable:
    names = [f"range,roundrobin,cooperative-sticky and assignor {number}" for number in range(12)]
    axes = {
        "consumers.billing.config.partition.assignment.strategy": names,
        "producers.the-shop-of-berlin.config.compression.type": ["zstd", "none"],
    }
    return grid(axes, 4, lambda at, dice: row(dice.uniform() if at[next(iter(axes))] != names[3] else 0.0, 5 + dice.uniform()))


EXTREMES: dict[str, Callable[[], StudyTable]] = {
    "one point": lambda: grid({"acks": ["all"]}, 1, lambda _at, _dice: row(0.1)),
    "one run": lambda: grid({"faults.z.for": CUT, "acks": ACKS}, 1, lambda _at, dice: row(dice.uniform())),
    "nothing lost": lambda: grid({"faults.z.for": CUT, "acks": ACKS}, 20, lambda _at, _dice: row()),
    "all lost": lambda: grid({"faults.z.for": CUT, "acks": ACKS}, 20, lambda _at, _dice: row(1.0)),
    "nothing acked with acks=all": lambda: grid(
        {"faults.z.for": CUT, "acks": ACKS}, 4, lambda at, _dice: row(0.0, None if at["acks"] == "all" else 7.0 + len(at["acks"]), 0.0)
    ),
    "two hundred values": lambda: grid({"linger.ms": list(range(200))}, 2, lambda at, _dice: row(at["linger.ms"] / 300)),
    "long words": long_words,
    "cut by acks": cut_by_acks,
    "five axes": five_axes,
    "eight axes": lambda: grid(
        {f"cluster.config.some.long.setting.number{i}.ms": [i, i + 1000] for i in range(8)},
        1,
        lambda _at, dice: row(max(dice.normal(), 0) / 9),
    ),
}
FITS = [
    (name, kind)
    for name, kind in itertools.product(EXTREMES, ("auto", "curve", "heatmap", "trade_off", "small_multiples", "parallel"))
    if kind in ("auto", "curve", "trade_off") or name not in ("one point", "two hundred values")
]


@pytest.mark.parametrize(("name", "kind"), FITS)
def test_nothing_is_cut_off_and_no_two_texts_lie_on_each_other(name: str, kind: str) -> None:
    figure = draw(EXTREMES[name](), kind, about="zombie-leader")
    assert cut_off(figure) == []
    assert overlapping(figure) == []


def test_a_text_over_the_edge_and_two_texts_in_one_place_would_be_seen() -> None:
    figure = Figure()
    figure.text(0.99, 0.5, "over the edge")
    figure.text(0.95, 0.5, "in its place")
    assert cut_off(figure)
    assert overlapping(figure)


@pytest.mark.parametrize("kind", ["curve", "heatmap", "trade_off", "small_multiples", "parallel"])
def test_equal_studies_give_equal_files_without_a_date(kind: str, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        save(draw(cut_by_acks(), kind), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()


def test_another_study_gives_another_file(tmp_path: Path) -> None:
    save(draw(cut_by_acks(8)), tmp_path / "a.svg")
    save(draw(cut_by_acks(9)), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() != (tmp_path / "b.svg").read_bytes()


# ---------------------------------------------------------------------------------------------------- from data to marks


def band_of(figure: Figure) -> np.ndarray:
    """(x, low, high) of the first band, by x."""
    band = next(c for c in figure.axes[0].collections if c.get_gid() == "band")
    places = band.get_paths()[0].vertices
    return np.array([(x, places[places[:, 0] == x, 1].min(), places[places[:, 0] == x, 1].max()) for x in np.unique(places[:, 0])])


def test_the_band_of_a_number_is_its_bootstrap_interval() -> None:
    table = grid({"faults.zombie.for": CUT}, 10, lambda _at, dice: row(dice.uniform(0.2, 0.5), dice.uniform(3, 9)))
    intervals = [bootstrap_mean(table.values("latency_ms.p99", point).tolist()) for point in range(5)]
    wanted = [(x, i.low, i.high) for x, i in zip([1, 2, 4, 6, 8], intervals, strict=True)]
    assert np.allclose(band_of(draw(table, "curve", "latency_ms.p99")), wanted)


def test_the_band_of_an_event_is_wilsons_and_where_it_never_came_the_rule_of_three() -> None:
    table = grid(
        {"faults.zombie.for": ["1s", "2s", "3s"]}, 20, lambda at, dice: row(float(at["faults.zombie.for"] != "1s" and dice.uniform() < 0.6))
    )
    hits = [int((table.values("loss_rate", point) > 0).sum()) for point in range(3)]
    assert hits[0] == 0
    wanted = [(x, 100 * wilson(n, 20).low, 100 * wilson(n, 20).high) for x, n in zip([1, 2, 3], hits, strict=True)]
    assert np.allclose(band_of(draw(table, "curve", "loss")), wanted)
    assert wanted[0][2] == pytest.approx(15, abs=0.1)


def test_each_run_is_a_dot_at_its_value() -> None:
    table = cut_by_acks(6)
    dots = [c.get_offsets()[:, 1] for c in draw(table, "curve").axes[0].collections if isinstance(c, PathCollection)]
    wanted = sorted(100 * value for point in range(table.points) for value in table.values("silent_loss_rate", point))
    assert np.allclose(np.sort(np.concatenate(dots)), wanted)


def test_a_line_without_any_loss_is_hollow_and_named_at_its_end() -> None:
    figure = draw(cut_by_acks(), "curve")
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and line.get_color() == PALETTE[2]]
    assert [len(line.get_xdata()) for line in hollow] == [5]
    assert [text.get_color() for text in figure.axes[0].texts if text.get_text() == "all"] == [PALETTE[2]]


def test_a_mark_over_several_points_is_the_mean_of_each_seed_over_them_and_the_picture_says_so() -> None:
    table = cut_by_acks(8)
    figure = draw(table, "curve", axes=["faults.zombie.for"])
    figure_of_x = draw(table, "heatmap", axes=["faults.zombie.for", "acks"])
    assert "each mark is the mean over" not in words_of(figure_of_x)
    assert "each mark is the mean over" not in words_of(figure)  # a second axis gives the lines
    three = grid(
        {"linger.ms": [1, 2, 3], "acks": ACKS, "retries": [0, 9]}, 6, lambda at, dice: row(dice.uniform() * (at["retries"] + 1) / 10)
    )
    curve = draw(three, "curve", axes=["linger.ms", "acks"])
    assert "each mark is the mean over retries (2 values)" in words_of(curve)
    runs = (three.values("silent_loss_rate", 0) + three.values("silent_loss_rate", 1)) / 2
    interval = bootstrap_mean(runs.tolist())
    assert np.allclose(band_of(curve)[0], (1, 100 * interval.low, 100 * interval.high))


def test_durations_are_shown_in_seconds_and_a_ratio_scale_is_logarithmic() -> None:
    curve = draw(grid({"replica.lag.time.max.ms": [100, 1000, 10_000]}, 2, lambda _at, _dice: row(0.1)), "curve").axes[0]
    assert curve.get_xscale() == "log"
    assert "faults.zombie.for, s" in words_of(draw(cut_by_acks(), "curve"))


def test_a_cell_shows_its_mean_and_its_runs_none_is_white_and_what_was_not_looked_at_is_hatched() -> None:
    points = [{"linger.ms": a, "retries": b} for a, b in itertools.product([1, 2, 3], [0, 5]) if (a, b) != (3, 5)]
    figure = draw(listed(points, 4, lambda at, _dice: row(0.1 * (at["linger.ms"] - 1))), "heatmap", axes=["linger.ms", "retries"])
    boxes = {(box.get_x() + 0.5, box.get_y() + 0.5): box for box in figure.axes[0].patches if isinstance(box, Rectangle)}
    assert boxes[2, 1].get_hatch()
    assert not boxes[2, 0].get_hatch()
    assert to_hex(boxes[0, 0].get_facecolor()) == "#ffffff"
    assert to_hex(boxes[1, 0].get_facecolor()) != "#ffffff"
    assert [text.get_text() for text in figure.axes[0].texts if "run" in text.get_text()] == ["4 runs"] * 5
    assert [text.get_text() for text in figure.axes[0].texts if "run" not in text.get_text()] == ["0", "10", "20", "0", "10", "retries"]
    assert "Hatched: not looked at." in words_of(figure)


def test_the_front_is_what_nothing_beats_and_its_points_are_named_by_their_settings() -> None:
    table = grid(
        {"acks": ACKS, "linger.ms": [0, 5]},
        4,
        lambda at, _dice: row(
            {"0": 0.3, "1": 0.1, "all": 0.0}[at["acks"]], {"0": 2, "1": 5, "all": 50}[at["acks"]] + at["linger.ms"], 100 + at["linger.ms"]
        ),
    )
    costs = np.array([[table.values(key, point).mean() for key in ("silent_loss_rate", "latency_ms.p99")] for point in range(6)])
    assert np.flatnonzero(undominated(costs)).tolist() == [0, 2, 4]
    figure = draw(table, "trade_off")
    front = next(line for line in figure.axes[0].lines if line.get_gid() == "front")
    assert np.allclose(front.get_xdata(), [2, 5, 50])
    assert (
        title_of(figure)
        == "Without silent loss, p99 is at least 50 ms and throughput at most 105 of 105 records/s; at 2 ms, silent loss is 30 % of records"
    )
    rows = {round(text.get_position()[1], 4): [] for text in figure.texts}
    for text in figure.texts:
        rows[round(text.get_position()[1], 4)].append(text.get_text())
    assert ["1", "all", "0", "none", "50", "100"] in rows.values()
    assert ["4", "0", "0", "30", "2", "100"] in rows.values()


def test_nobody_chooses_how_long_a_fault_lasts_so_a_setting_is_the_mean_over_it() -> None:
    figure = draw(cut_by_acks(), "trade_off")
    assert "each mark is the mean over faults.zombie.for (5 values)" in words_of(figure)
    dots = sum(len(c.get_offsets()) for c in figure.axes[0].collections if isinstance(c, PathCollection))
    assert dots == 3


def test_a_dot_without_loss_lies_on_the_floor_and_every_other_above_it() -> None:
    axis = draw(cut_by_acks(), "trade_off").axes[0]
    heights = sorted(float(y) for c in axis.collections if isinstance(c, PathCollection) for y in c.get_offsets()[:, 1])
    assert heights[0] < FLOOR
    assert heights[1] > FLOOR


def test_panels_share_their_scales_and_there_are_as_many_as_combinations() -> None:
    table = grid({"linger.ms": [1, 2, 3, 4, 5], "acks": ACKS, "retries": [0, 9]}, 2, lambda _at, dice: row(dice.uniform()))
    figure = draw(table)
    assert len(figure.axes) == 6
    assert len({axis.get_ylim() for axis in figure.axes}) == len({axis.get_xlim() for axis in figure.axes}) == 1


def test_a_panel_says_that_it_was_not_looked_at_or_has_no_value() -> None:
    points = [{"linger.ms": a, "acks": b, "retries": c} for a, b, c in itertools.product([1, 2], ACKS, [0, 9]) if (b, c) != ("1", 9)]
    table = listed(points, 2, lambda at, _dice: row(0.1, None if at["acks"] == "all" else 5.0))
    words = words_of(draw(table, "small_multiples", "latency_ms.p99")).split(" | ")
    assert (words.count("not looked at"), words.count("no value")) == (1, 2)


def test_more_levels_than_panels_are_said() -> None:
    table = grid({"linger.ms": [1, 2, 3], "client.id": [f"c{i}" for i in range(7)]}, 1, lambda _at, dice: row(dice.uniform()))
    assert "2 more levels of client.id are not shown" in words_of(draw(table, "small_multiples", axes=["linger.ms", "client.id"]))


@pytest.mark.parametrize(("share", "on_top"), [(0.1, PALETTE[0]), (0.9, LOST)])
def test_of_many_lines_the_rarer_colour_lies_on_top(share: float, on_top: str) -> None:
    points = [{"linger.ms": i, "retries": i % 7, "acks": ACKS[i % 3]} for i in range(100)]
    figure = draw(listed(points, 1, lambda at, _dice: row(0.0 if at["linger.ms"] < 100 * share else 0.5)), "parallel")
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and len(c.get_segments()[0]) == 4]
    top = max(lines, key=lambda c: c.get_zorder())
    blue = to_hex(top.get_colors()[0][:3]) == PALETTE[0]
    assert blue is (on_top == PALETTE[0])
    assert len(top.get_segments()) == 10


# ------------------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (
            {1: 0, 2: 0, 4: 0.1, 6: 0.2, 8: 0.9},
            "No silent loss up to faults.zombie.for = 2 s; elsewhere up to 90 % of records, at faults.zombie.for = 8 s",
        ),
        (
            {1: 0, 2: 0.1, 4: 0.3, 6: 0.5, 8: 0.7},
            "No silent loss up to faults.zombie.for = 1 s; beyond, it grows by about 10 % of records for each second",
        ),
        (
            {1: 0.3, 2: 0.1, 4: 0, 6: 0, 8: 0},
            "No silent loss from faults.zombie.for = 4 s on; elsewhere up to 30 % of records, at faults.zombie.for = 1 s",
        ),
        (
            {1: 0, 2: 0.1, 4: 0, 6: 0.2, 8: 0},
            "Silent loss goes from 0 % of records at faults.zombie.for = 1 s to 20 % of records at faults.zombie.for = 6 s",
        ),
        ({1: 0, 2: 0, 4: 0, 6: 0, 8: 0}, "No silent loss in any run, whatever the settings"),
        ({1: 1, 2: 1, 4: 1, 6: 1, 8: 1}, "Silent loss is 100 % of records at each of 5 points"),
    ],
)
def test_the_title_says_what_the_data_says(loss: dict[int, float], sentence: str) -> None:
    table = grid({"faults.zombie.for": CUT}, 3, lambda at, _dice: row(loss[int(at["faults.zombie.for"][:-1])]))
    assert title_of(draw(table, "curve", "silent_loss_rate")) == sentence


def test_the_title_names_the_line_that_loses_nothing() -> None:
    assert title_of(draw(cut_by_acks(), "curve")).startswith("No silent loss in any run with acks = all; up to ")


def test_a_title_of_ones_own_is_kept() -> None:
    assert title_of(draw(cut_by_acks(), title="Mind the gap")) == "Mind the gap"


def test_without_a_measure_the_picture_shows_what_matters() -> None:
    axes = {"linger.ms": [1, 2]}
    assert "lost in silence" in words_of(draw(grid(axes, 2, lambda _at, _dice: row(0.1))))
    assert "second effects" in words_of(draw(grid(axes, 2, lambda _at, _dice: row(0.0, duplication=0.1))))
    assert "p99" in words_of(draw(grid(axes, 2, lambda _at, _dice: row())))


@pytest.mark.parametrize(
    ("axes", "panels"),
    [
        ({"linger.ms": [1, 2, 3]}, 1),
        ({"linger.ms": [1, 2, 3], "acks": ACKS}, 1),
        ({"linger.ms": list(range(8)), "retries": list(range(8))}, 2),  # a map and its colours
        ({"linger.ms": [1, 2, 3], "acks": ACKS, "retries": [1, 2]}, 6),
        ({"linger.ms": [1, 2], "acks": ACKS, "retries": [1, 2], "a": [1, 2], "b": [1, 2]}, 1),
    ],
)
def test_the_kind_fits_the_axes(axes: dict[str, list[object]], panels: int) -> None:
    assert len(draw(grid(axes, 1, lambda _at, dice: row(dice.uniform()))).axes) == panels


# ----------------------------------------------------------------------------------------------------------- sensitivity


def around(value: float, reach: float) -> Interval:
    return Interval(value, value - reach, value + reach)


def test_the_bars_of_sobol_are_the_indices_weightiest_on_top() -> None:
    indices = [
        SobolIndex("acks", around(0.1, 0.02), around(0.2, 0.02)),
        SobolIndex("faults.zombie.for", around(0.6, 0.05), around(0.7, 0.05)),
    ]
    figure = draw_sensitivity(indices, measure_of(cut_by_acks(), None), "", ["zombie-leader"])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["faults.zombie.for", "acks"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([70, 20, 60, 10])
    assert title_of(figure) == "faults.zombie.for matters most for silent loss: 60 % of the variance by itself, 70 % with the others"
    assert cut_off(figure) == overlapping(figure) == []


def test_axes_whose_intervals_meet_are_not_put_in_an_order() -> None:
    indices = [SobolIndex(name, around(0.3, 0.1), around(0.4, 0.1)) for name in ("acks", "linger.ms")]
    assert "leave their order open" in title_of(draw_sensitivity(indices, measure_of(cut_by_acks(), None), "", []))


def test_the_effects_of_morris_are_drawn_in_the_unit_of_the_measure() -> None:
    effects = [MorrisEffect("acks", around(0.2, 0.05), -0.2, 0.01, 10), MorrisEffect("linger.ms", around(0.01, 0.01), 0.0, 0.03, 10)]
    figure = draw_effects(effects, cut_by_acks(), "silent_loss_rate", about="zombie-leader")
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([20, 1])
    assert "20 lowers it" in words_of(figure)
    assert "both ways" in words_of(figure)
    assert cut_off(figure) == overlapping(figure) == []


# -------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"kind": "heatmpa"}, "the picture: `heatmpa` is no kind of picture; did you mean `heatmap`?"),
        ({"measure": "silent_los"}, "the picture: `silent_los` is no number or event of these runs; did you mean `silent_loss`?"),
        (
            {"measure": "latency_ms.p98"},
            "the picture: `latency_ms.p98` is no number or event of these runs; did you mean `latency_ms.p99`?",
        ),
        ({"axes": ["ack"]}, "the study has no axis `ack`; did you mean `acks`?"),
    ],
)
def test_a_misspelled_word_is_answered_with_the_nearest(asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        draw(cut_by_acks(), **asked)  # type: ignore[arg-type]  # what a user gives
    assert str(refused.value) == sentence


@pytest.mark.parametrize("kind", ["heatmap", "small_multiples", "parallel"])
def test_a_picture_of_several_axes_is_refused_for_one(kind: str) -> None:
    with pytest.raises(ScenarioError, match=f"`{kind}` needs at least 2 axes that vary, and this study varies acks only; draw a `curve`"):
        draw(grid({"acks": ACKS}, 1, lambda _at, _dice: row()), kind)


def test_a_trade_off_without_any_ack_is_refused() -> None:
    with pytest.raises(ScenarioError, match="nothing was acked anywhere"):
        draw(grid({"acks": ACKS}, 1, lambda _at, _dice: row(0.0, None)), "trade_off")


def test_no_runs_no_picture() -> None:
    with pytest.raises(ScenarioError, match="there is nothing to draw"):
        draw(listed([{"acks": 1}], 0, lambda _at, _dice: row()))


# --------------------------------------------------------------------------------------------------------------- colours

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as seen without red or without green receptors.
SIGHT = {
    "everybody": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
}


def lab(colour: object, sight: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen."""
    rgb = np.array(to_rgb(colour))  # type: ignore[arg-type]  # any colour of matplotlib
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(SIGHT[sight] @ linear, 0, 1)
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = to_xyz @ seen / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: object, other: object, sight: str) -> float:
    return float(np.linalg.norm(lab(one, sight) - lab(other, sight)))


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_of_lines_stay_apart_for_every_eye(sight: str) -> None:
    assert min(difference(a, b, sight) for a, b in itertools.combinations(PALETTE, 2)) > 14
    assert min(difference(colour, "white", sight) for colour in PALETTE) > 30


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("family", ["loss", "duplication", "other"])
def test_a_ramp_grows_darker_for_every_eye_and_its_lightest_is_not_white(family: str, sight: str) -> None:
    lightness = [lab(ramp(family)(step), sight)[0] for step in np.linspace(0, 1, 20)]
    assert all(np.diff(lightness) < -1)
    assert difference(ramp(family)(0.0), "white", sight) > 9


@pytest.mark.parametrize("sight", SIGHT)
def test_points_without_loss_stand_out_from_points_with_loss_for_every_eye(sight: str) -> None:
    assert min(difference(PALETTE[0], ramp("loss")(step), sight) for step in np.linspace(0, 1, 20)) > 20


def test_red_and_green_would_be_found_too_near() -> None:
    assert difference("#c0504d", "#7d8a3c", "deuteranopia") < 20 < difference("#c0504d", "#7d8a3c", "everybody")
