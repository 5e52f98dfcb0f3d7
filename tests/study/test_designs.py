"""Designs and planning: which points, how many, which are dropped, and what is refused before anything is made."""

import sys

import numpy as np
import pytest

from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.designs import Design, salib_problem, unit_matrix
from kafkasim.study.study import Study
from kafkasim.study.study_file import study_of

ACKS = "producers.shop.config.acks"
IDEMPOTENCE = "producers.shop.config.enable.idempotence"
MIN_ISR = "topics.orders.config.min.insync.replicas"
CUT = "faults.zombie.for"
ZOMBIE = Scenario.load("zombie-leader")


def refusal(vary: list[str], **rest: object) -> str:
    with pytest.raises(ScenarioError) as caught:
        study_of(ZOMBIE, vary, **rest)  # type: ignore[arg-type]
    return str(caught.value)


def changes(study: Study) -> list[tuple[object, ...]]:
    return [tuple(point.changes.values()) for point in study.points]


def test_a_grid_is_every_combination_with_the_last_axis_fastest() -> None:
    study = study_of(ZOMBIE, [f"{ACKS}=1,all", f"{MIN_ISR}=1,2"])
    assert changes(study) == [(1, 1), (1, 2), ("all", 1), ("all", 2)]
    assert [point.index for point in study.points] == [0, 1, 2, 3]


def test_points_are_a_sequence_that_makes_them_when_asked() -> None:
    points = study_of(ZOMBIE, [f"{CUT}=1s..9s/2s"]).points
    assert points[-1].changes == {CUT: "9s"}
    assert [point.index for point in points[1:4:2]] == [1, 3]
    with pytest.raises(IndexError, match="there are 5 points, and none of number 5"):
        points[5]


def test_paths_that_move_together_change_together() -> None:
    study = study_of(ZOMBIE, ["cluster.config.broker.session.timeout.ms&cluster.config.broker.heartbeat.interval.ms=3000&500,9000&2000"])
    assert changes(study) == [(3000, 500), (9000, 2000)]


def test_a_billion_points_are_refused_by_counting() -> None:
    said = refusal([f"{CUT}=1ms..1000ms/1ms", "faults.zombie.at=1ms..1000ms/1ms", "network.latency.ms=1..1000/1"], runs=20)
    assert "the grid has 1 000 000 000 points; with 20 runs each that is 20 000 000 000 runs, and the most is 1 000 000" in said
    assert "--design sobol --points 512" in said


def test_a_constraint_drops_points_and_says_so() -> None:
    study = study_of(ZOMBIE, [f"{ACKS}=1,all", f"{MIN_ISR}=1,2"], where=["acks == all or min.insync.replicas == 1"])
    assert changes(study) == [(1, 1), ("all", 1), ("all", 2)]
    assert [point.index for point in study.points] == [0, 1, 2]
    (dropped,) = study.dropped
    assert dropped.sentence == "acks=1, min.insync.replicas=2: does not meet `acks == all or min.insync.replicas == 1`."
    assert study.notes == ("1 of 4 points do not meet `acks == all or min.insync.replicas == 1`, and are left out.",)


def test_constraints_that_leave_nothing_say_which_dropped_how_many() -> None:
    said = refusal([f"{ACKS}=1,all", f"{MIN_ISR}=1,2"], where=["acks == 1", "acks == all"])
    assert "no point is left: 2 of 4 do not meet `acks == 1`; 2 of 4 do not meet `acks == all`" in said


def test_a_point_that_kafka_would_refuse_is_dropped_with_its_sentence() -> None:
    study = study_of(ZOMBIE, [f"{ACKS}=1,all", f"{IDEMPOTENCE}=true,false"])
    assert changes(study) == [(1, False), ("all", True), ("all", False)]
    assert "acks=1 contradicts enable.idempotence=true" in study.dropped[0].sentence
    assert "1 of 4 points is no valid configuration" in study.notes[0]


def test_a_level_that_is_refused_at_every_point_is_an_error() -> None:
    said = refusal([f"{ACKS}=1,maybe,perhaps", f"{MIN_ISR}=1,2"])
    assert said.splitlines()[0].startswith(f"--vary {ACKS}: the level `maybe` is refused at every point: {ACKS}: acks=maybe is not valid")
    assert "min.insync" not in said


def test_an_unknown_setting_is_said_once_for_all_its_levels() -> None:
    said = refusal(["producers.shop.config.ackz=1,2"])
    assert "the levels `1`, `2` are refused at every point" in said
    assert "did you mean acks?" in said
    assert "\n" not in said


def test_levels_that_are_refused_only_together_leave_nothing() -> None:
    assert "no point is left: 1 of 1 are refused" in refusal(
        ["producers.shop.config.request.timeout.ms=60000", "producers.shop.config.delivery.timeout.ms=40000"]
    )


@pytest.mark.parametrize(
    ("design", "points"), [("random", 10), ("latin-hypercube", 10), ("sobol", 16), ("saltelli", 8 * 4), ("morris", 8 * 3)]
)
def test_a_design_has_as_many_points_as_it_says_and_the_same_ones_each_time(design: str, points: int) -> None:
    samples = {"sobol": 16, "saltelli": 8, "morris": 8}.get(design, 10)
    vary = [f"{ACKS}=1,all", f"{CUT}=1s..9s"]
    first, second = (study_of(ZOMBIE, vary, design=design, points=samples) for _ in range(2))
    assert len(first.points) == points == Design(design, samples).size(first.axes)
    assert changes(first) == changes(second)
    assert changes(first) != changes(study_of(ZOMBIE, vary, design=design, points=samples, design_seed=2))


def test_each_slice_of_a_latin_hypercube_has_one_point() -> None:
    unit = unit_matrix(study_of(ZOMBIE, [f"{CUT}=1s..9s", "network.latency.ms=0..10"], design="latin-hypercube", points=20))
    assert unit.shape == (20, 2)
    assert np.array_equal(np.sort(np.floor(unit * 20), axis=0), np.tile(np.arange(20.0)[:, None], 2))


def test_levels_divide_an_edge_evenly() -> None:
    values = [values[0] for values in changes(study_of(ZOMBIE, [f"{MIN_ISR}=1,2,3", f"{CUT}=1s..9s"], design="sobol", points=256))]
    assert all(80 <= values.count(level) <= 90 for level in (1, 2, 3))


def test_a_sobol_sequence_is_rounded_up_to_a_power_of_two_and_says_so() -> None:
    study = study_of(ZOMBIE, [f"{CUT}=1s..9s"], design="sobol", points=20)
    assert len(study.points) == 32
    assert "a Sobol' sequence is even at powers of two, so 20 became 32." in study.notes


def test_equal_points_of_a_sample_are_kept_and_said() -> None:
    study = study_of(ZOMBIE, [f"{ACKS}=1,all"], design="random", points=9)
    assert len(study.points) == 9
    assert "7 of 9 points are equal to an earlier one; they are run like all others." in study.notes


def test_a_saltelli_sample_is_read_by_salibs_own_analysis() -> None:
    from SALib.analyze import sobol

    study = study_of(ZOMBIE, ["network.latency.ms=0..1", "network.jitter.ms=0..1", f"{CUT}=1s..9s"], design="saltelli", points=256)
    unit = unit_matrix(study)
    outcome = unit[:, 0] + 2 * unit[:, 1]
    found = sobol.analyze(salib_problem(study.axes), outcome, calc_second_order=False, seed=1)
    assert np.allclose(found["S1"], [0.2, 0.8, 0], atol=0.05)


def test_a_morris_trajectory_changes_one_axis_at_a_time() -> None:
    study = study_of(ZOMBIE, ["network.latency.ms=0..10", f"{ACKS}=1,all", f"{CUT}=1s..9s"], design="morris", points=5)
    unit = unit_matrix(study).reshape(5, 4, 3)
    assert ((np.diff(unit, axis=1) != 0).sum(axis=2) == 1).all()


def test_the_unit_matrix_of_a_grid_has_the_middle_of_each_level() -> None:
    assert unit_matrix(study_of(ZOMBIE, [f"{ACKS}=1,all", f"{MIN_ISR}=1"])).tolist() == [[0.25, 0.5], [0.75, 0.5]]


def test_a_design_that_needs_all_its_points_refuses_to_lose_one() -> None:
    said = refusal([f"{ACKS}=1,all", f"{CUT}=1s..9s"], design="saltelli", points=8, where=["acks == 1"])
    assert "saltelli needs all of its 32 points, and 16 cannot be: acks=all" in said


def test_what_has_one_level_cannot_be_screened() -> None:
    assert "acks: morris needs at least two levels of each axis." in refusal([f"{ACKS}=1", f"{CUT}=1s..9s"], design="morris", points=4)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ({"design": "sobl", "points": 8}, "`sobl` is not a design; did you mean `sobol`?"),
        ({"design": "sobol"}, "`sobol` needs a number of points"),
        ({"points": 8}, "a grid has as many points as its levels make"),
        ({"design": "random", "points": 0}, "`0` is not a number of points"),
        ({"design": "morris", "points": 1}, "morris takes a whole number from 2 on"),
        ({"design": "random", "points": 5, "design_seed": -1}, "`-1` is not a seed"),
        ({"runs": 0}, "--runs: `0` is not a number of runs of a point"),
        ({"until": ["failing(los) >= 2"]}, "--until: `los` is nothing that a run measures; did you mean `loss`?"),
        ({"until": ["failing(loss) <= 2"]}, "failing takes >="),
        ({"until": ["failing(loss) >= 0.5"]}, "a whole number from 1 on"),
        ({"until": ["width(loss) <= 0"]}, "an interval is wider than 0"),
        ({"until": ["until it is done"]}, "is no rule to stop by"),
        ({"measures": ["silent_loss_rat"]}, "did you mean `silent_loss_rate`?"),
        ({"where": ["acks < 2"]}, "--where: the constraint `acks < 2` has `all` beside `<`"),
    ],
)
def test_a_bad_option_is_one_clear_sentence(rest: dict[str, object], sentence: str) -> None:
    said = refusal([f"{ACKS}=1,all"], **rest)
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize(("design", "library"), [("sobol", "scipy.stats"), ("morris", "SALib.sample")])
def test_what_needs_the_extra_says_so_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, design: str, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert "needs the extra `sweep`: pip install 'kafkasim[sweep]'" in refusal([f"{CUT}=1s..9s"], design=design, points=8)


def test_nothing_to_vary_is_an_error() -> None:
    assert "varies nothing" in refusal([])
