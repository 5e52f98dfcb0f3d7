"""Constraints: what they mean over axes and over the rest of a scenario, and what is refused."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.axes import Axis
from kafkasim.study.constraints import MeaninglessError, bind
from kafkasim.study.expressions import Expression, plain
from kafkasim.study.vary import axes_in, parse_vary

ZOMBIE = Scenario.load("zombie-leader")
AXES = axes_in(
    [
        parse_vary("producers.shop.config.acks=1,all"),
        parse_vary("faults.zombie.for=1s,3s,5s,7s,9s"),
        parse_vary("topics.orders.config.min.insync.replicas=1,2"),
    ],
    ZOMBIE,
)


def met(text: str, axes: tuple[Axis, ...] = AXES, scenario: Scenario = ZOMBIE) -> list[tuple[Any, ...]]:
    """The points of the grid that meet the constraint, as tuples of values."""
    (constraint,) = bind([text], ["where.0"], axes, scenario)
    found = []
    for levels in itertools.product(*(axis.levels for axis in axes)):
        changes: Mapping[str, Any] = {
            path: value for axis, level in zip(axes, levels, strict=True) for path, value in zip(axis.paths, level, strict=True)
        }
        if constraint.holds(changes, partial(scenario.with_, changes)):
            found.append(tuple(level[0] for level in levels))
    return found


def refusal(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        bind([text], ["five.yaml:9: where.0"], AXES, ZOMBIE)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("five.yaml:9: where.0: the constraint")
    return said


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("acks == all or min.insync.replicas == 1", 15),
        ("not (acks == all or min.insync.replicas == 1)", 5),
        ("acks == 1 and zombie.for > 2s", 8),
        ("2s < for <= 7s", 12),
        ("faults.zombie.for >= 3000ms", 16),
        ("acks in (0, 1)", 10),
        ("acks not in (all)", 10),
        ("min.insync.replicas * 2 - 1 >= 3", 10),
        ("-min.insync.replicas < -1", 10),
        ("zombie.for / 1s + min.insync.replicas == 4", 2),
        ("acks != 'all'", 10),
    ],
)
def test_a_constraint_keeps_the_points_that_meet_it(text: str, count: int) -> None:
    assert len(met(text)) == count


def test_and_binds_stronger_than_or() -> None:
    assert met("acks == all or acks == 1 and for == 1s") == met("acks == all or (acks == 1 and for == 1s)")


def test_what_is_not_varied_has_the_scenarios_value() -> None:
    assert len(met("retries == 3 and kafka == '4.1' and one-way == false")) == 20
    assert met("producers.shop.rate > 500") == []


def test_a_default_of_kafkas_is_that_of_the_point() -> None:
    assert {point[0] for point in met("enable.idempotence == true")} == {"all"}


def test_an_axis_goes_before_another_path_that_ends_alike() -> None:
    (axis,) = axes_in([parse_vary("consumers.billing.config.request.timeout.ms=1000,50000")], ZOMBIE)
    assert met("request.timeout.ms > 2000", (axis,)) == [(50000,)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("acks = all", "cannot be read at `=` (character 6); did you mean `==`?"),
        ("acks == all && for > 1s", "cannot be read at `&&` (character 13); did you mean `and`?"),
        ("acks ==", "something is missing at the end, after `==` (character 6)"),
        ("acks == 1)", "cannot be read at `)` (character 10)"),
        ("acks is 1", "cannot be read at `is` (character 6)"),
        ("len(acks) == 1", "and nothing else"),
        ("acks ** 2 == 1", "cannot be read at `*`"),
        ("acks + 1", "compares nothing"),
        ("1 < 2", "names nothing that is varied"),
        ("akcs == all", "names `akcs` (character 1), which is nothing in this scenario; did you mean `acks`?"),
        ("acks == al", "`al` (character 9), which is neither a path nor a level of acks; did you mean `all`?"),
        (
            "acks == 1 and zombie.fro > 2s",
            "names `zombie.fro` (character 15), which is nothing in this scenario; did you mean `zombie.for`?",
        ),
        ("for > all", "names `all`"),
        ("zombie.for > 2", "a duration, with 2, which has no unit; write 2s or 2ms"),
        ("request.timeout.ms > 2000", "write more of it"),
    ],
)
def test_a_bad_constraint_is_one_clear_sentence_with_its_place(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_a_word_beside_less_than_is_refused_where_it_occurs() -> None:
    (constraint,) = bind(["acks < 2"], ["where.0"], AXES, ZOMBIE)
    with pytest.raises(MeaninglessError, match="the constraint `acks < 2` has `all` beside `<` at some points") as caught:
        constraint.holds({"producers.shop.config.acks": "all"}, lambda: ZOMBIE)
    assert caught.value.problem.where == "where.0"


def test_dividing_by_zero_is_a_sentence() -> None:
    (constraint,) = bind(["for / 0 > 1"], ["where.0"], AXES, ZOMBIE)
    with pytest.raises(MeaninglessError, match="divides by 0"):
        constraint.holds({"faults.zombie.for": "1s"}, lambda: ZOMBIE)


def test_nothing_of_python_gets_through() -> None:
    for text in (
        "__import__('os') == 1",
        "(lambda: acks)() == 1",
        "acks.real == [1]",
        "{acks} == 1",
        "acks if acks else acks",
        "f'{acks}' == 1",
    ):
        with pytest.raises(ValueError, match=r"cannot be read"):
            Expression(text)


def test_values_compare_as_what_they_mean() -> None:
    assert [plain(value) for value in ("3s", "300", "true", "all", "nan", 7, None)] == [3000.0, 300.0, True, "all", "nan", 7, None]
