"""Axes as people write them: levels, ranges, what moves together, labels; and what is refused."""

import pytest

from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.study.axes import Span
from kafkasim.study.ranges import inside, parse_levels, split_outside
from kafkasim.study.vary import axes_in, draft_of, parse_vary, zipped_draft

ACKS = "producers.shop.config.acks"
MIN_ISR = "topics.orders.config.min.insync.replicas"


@pytest.fixture(scope="module")
def zombie() -> Scenario:
    return Scenario.load("zombie-leader")


def refusal(scenario: Scenario, *texts: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        axes_in([parse_vary(text) for text in texts], scenario)
    return str(caught.value)


def labels(scenario: Scenario, *texts: str) -> list[str]:
    return [axis.label for axis in axes_in([parse_vary(text) for text in texts], scenario)]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("1,all", [1, "all"]),
        ("true, null", [True, None]),
        ("0..100/10", [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        ("0..100/30", [0, 30, 60, 90]),
        ("1s..9s/2s", ["1s", "3s", "5s", "7s", "9s"]),
        ("1s..9s/2", ["1s", "3s", "5s", "7s", "9s"]),
        ("0..9s/3s", ["0s", "3s", "6s", "9s"]),
        ("500..30000x5", [500, 7875, 15250, 22625, 30000]),
        ("log:500..30000x5", [500, 1392, 3873, 10779, 30000]),
        ("log:100ms..10sx5", ["100ms", "316ms", "1s", "3162ms", "10s"]),
        ("log:1..3x9", [1, 2, 3]),
        ("0..10x5", [0, 2.5, 5, 7.5, 10]),
        ("0..1x5", [0, 0.25, 0.5, 0.75, 1]),
        ("0..0.3/0.1", [0, 0.1, 0.2, 0.3]),
        ("0,10..50/10,200", [0, 10, 20, 30, 40, 50, 200]),
        ("leader(orders-0),broker(1)", ["leader(orders-0)", "broker(1)"]),
        ("[1,2],[3,4]", [[1, 2], [3, 4]]),
        ('"a,b",c', ["a,b", "c"]),
    ],
)
def test_levels_are_read_as_written(text: str, levels: list[object]) -> None:
    assert parse_levels(text)[0] == levels


def test_commas_in_brackets_and_quotes_do_not_separate() -> None:
    assert split_outside("node(a,b),{x: [1,2]},'c,d'", ",") == ["node(a,b)", "{x: [1,2]}", "'c,d'"]


def test_a_range_alone_has_a_span_and_one_among_values_has_none() -> None:
    assert parse_levels("log:100ms..10sx5")[1] == Span(100, 10_000, "log", "ms", True)
    assert parse_levels("0..1x5")[1] == Span(0, 1)
    assert parse_levels("5,10..20/5")[1] is None


def test_a_place_inside_a_span_is_a_value_as_the_scenario_writes_it() -> None:
    assert [inside(Span(100, 10_000, "log", "ms", True), u) for u in (0, 0.5, 1)] == ["100ms", "1s", "10s"]
    assert inside(Span(0, 1), 1 / 3) == 0.333333


def test_whole_numbers_of_a_linear_span_have_equal_shares() -> None:
    values = [inside(Span(1, 3, whole=True), (index + 0.5) / 300) for index in range(300)]
    assert [values.count(number) for number in (1, 2, 3)] == [100, 100, 100]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no levels"),
        ("1,,2", "a comma with nothing beside it"),
        ("9..1/2", "the low end comes first"),
        ("5..5x3", "one value, not a range"),
        ("log:0..10x5", "a logarithmic range starts above 0"),
        ("log:1..10/2", "has no steps; write log:1..10xN"),
        ("0..10/0", "a step is above 0"),
        ("0..10", "does not say which levels; write 0..10/STEP or 0..10xN"),
        ("1s..9/1", "the high end has no unit"),
        ("0..10/1s", "the step has a unit of time, and the range has none"),
        ("0..10xmany", "`many` is not a number of levels"),
        ("0..10/small", "`small` is not a step"),
        ("1..5x1", "at least 2 levels"),
        ("0..1000000000/1", "an axis has at most 100000"),
        ("1..1e400x3", "`1e400` is no end of a range"),
        ("5..x3", "is not a range; one is written"),
    ],
)
def test_a_bad_range_is_one_clear_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse_levels(text)
    assert sentence in str(caught.value)


def test_a_label_is_the_shortest_end_of_the_path_that_is_clear(zombie: Scenario) -> None:
    assert labels(zombie, f"{ACKS}=1,all", f"{MIN_ISR}=1,2", "faults.0.for=1s,2s", "network.latency.ms=1,2", "cluster.brokers=3,5") == [
        "acks",
        "min.insync.replicas",
        "zombie.for",
        "latency.ms",
        "brokers",
    ]


def test_labels_that_would_be_equal_say_whose_they_are(zombie: Scenario) -> None:
    key = "config.request.timeout.ms=1000,2000"
    assert labels(zombie, f"producers.shop.{key}", f"consumers.billing.{key}") == ["shop.request.timeout.ms", "billing.request.timeout.ms"]


def test_a_path_is_written_with_the_names_of_what_it_goes_through(zombie: Scenario) -> None:
    (axis,) = axes_in([parse_vary("faults.0.for=1s,2s")], zombie)
    assert axis.paths == ("faults.zombie.for",)


def test_paths_that_move_together_are_one_axis(zombie: Scenario) -> None:
    session, heartbeat = "cluster.config.broker.session.timeout.ms", "cluster.config.broker.heartbeat.interval.ms"
    (written,) = axes_in([parse_vary(f"{session}&{heartbeat}=3000&500,9000&2000")], zombie)
    (listed,) = axes_in([zipped_draft("zipped.0", {session: [3000, 9000], heartbeat: [500, 2000]})], zombie)
    assert written == listed
    assert written.levels == ((3000, 500), (9000, 2000))
    assert written.label == "broker.session.timeout.ms"


def test_paths_that_move_together_have_equally_many_values() -> None:
    with pytest.raises(ScenarioError, match="a has 1, b has 2"):
        zipped_draft("zipped.0", {"a": [1], "b": [1, 2]})
    with pytest.raises(ScenarioError, match="`3` gives 1 values to 2 paths"):
        parse_vary("a&b=1&2,3")


def test_a_mapping_is_a_range() -> None:
    draft = draft_of("axes.x", "x", {"from": 500, "to": 30000, "points": 5, "scale": "log"})
    assert draft.levels == ((500,), (1392,), (3873,), (10779,), (30000,))
    with pytest.raises(ScenarioError, match=r"axes\.x: unknown key `too`; did you mean `to`\?"):
        draft_of("axes.x", "x", {"from": 1, "too": 2})


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["acks"], "is no axis; one is written PATH=VALUES"),
        (["producers.shop.acks=1,all"], "there is no `producers.shop.acks`; did you mean `producers.shop.config.acks`?"),
        (["acks=1,all"], "did you mean `producers.shop.config.acks`?"),
        (["seed=1,2"], "ask for more of them with runs"),
        (["title=a,b"], "`title` is no axis"),
        (["expect.acked_lost=1,2"], "`expect.acked_lost` is no axis"),
        ([f"{ACKS}=1,1"], "the level `1` stands twice"),
        (["faults.zombie.for=1s,1000ms"], "the level `1000ms` stands twice"),
        ([f"{ACKS}=1,all", f"{ACKS}=0"], f"`{ACKS}` is varied twice"),
        (["faults.0.for=1s", "faults.zombie.for=2s"], "`faults.zombie.for` is varied twice: `faults.0.for` is the same"),
        (["faults.zombie.for=1s", "faults.zombie={}"], "`faults.zombie.for` is a part of `faults.zombie`, and both are varied"),
    ],
)
def test_a_bad_axis_is_named_in_one_clear_sentence(zombie: Scenario, texts: list[str], sentence: str) -> None:
    said = refusal(zombie, *texts)
    assert sentence in said
    assert "\n" not in said


def test_all_bad_axes_are_said_at_once(zombie: Scenario) -> None:
    assert len(refusal(zombie, "seed=1,2", "acks=1", f"{ACKS}=1,1").splitlines()) == 3


def test_an_even_range_is_rounded_only_for_a_key_that_takes_whole_numbers() -> None:
    latency, lag = "network.latency.ms", "cluster.config.replica.lag.time.max.ms"
    drafts = [parse_vary(f"{latency}=1..10x5"), parse_vary(f"{lag}=1..10x5")]
    axes = axes_in(drafts, Scenario.load("zombie-leader"))
    assert [level for (level,) in axes[0].levels] == [1, 3.25, 5.5, 7.75, 10]
    assert [level for (level,) in axes[1].levels] == [1, 3, 6, 8, 10]
    assert axes[1].span is not None
    assert axes[1].span.whole
