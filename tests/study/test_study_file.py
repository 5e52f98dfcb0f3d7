"""Studies from files and options: what they say, what is refused with its line, and the description that is written beside rows."""

import json
import pickle
import shlex
from pathlib import Path

import pytest

from kafkasim.report import Report
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError, parse_assignment
from kafkasim.study.description import describe, differences
from kafkasim.study.events import EVENTS
from kafkasim.study.study import Study, Until
from kafkasim.study.study_file import find_study, is_study, load_study, shipped_studies, study_from, study_of
from kafkasim.study.until import measure_keys, parse_until

ZOMBIE = Scenario.load("zombie-leader")
FULL = """
study: small
title: a small one
scenario: zombie-leader
set: {producers.shop.records: 2000}
axes:
  producers.shop.config.acks: [1, all]
  faults.zombie.for: 1s..9s/4s
  cluster.config.replica.lag.time.max.ms: {from: 500, to: 30000, points: 3, scale: log}
zipped:
  - {cluster.config.broker.session.timeout.ms: [3000, 9000], cluster.config.broker.heartbeat.interval.ms: [500, 2000]}
where: ["acks == all or zombie.for > 2s"]
runs: 20
until: ["failing(loss) >= 10", "width(silent_loss_rate) <= 0.1"]
measures: [silent_loss_rate]
"""


def small(**instead: object) -> Study:
    return study_from(FULL, "small.yaml", **instead)


def refusal(text: str, folder: Path | None = None) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        study_from(text, "five.yaml", folder)
    return str(caught.value).splitlines()


# ---------------------------------------------------------------------------------------------------- files


def test_a_study_file_says_everything() -> None:
    study = small()
    assert (study.name, study.title, study.runs, study.design, study.measures) == (
        "small",
        "a small one",
        20,
        "grid",
        ("silent_loss_rate",),
    )
    assert study.scenario.producer("shop").records == 2000
    assert [axis.label for axis in study.axes] == ["acks", "zombie.for", "replica.lag.time.max.ms", "broker.session.timeout.ms"]
    assert (len(study.points), len(study.dropped)) == (30, 6)
    assert study.until == (Until("failing", "loss", 10), Until("width", "silent_loss_rate", 0.1))
    assert [str(rule) for rule in study.until] == ["failing(loss) >= 10", "width(silent_loss_rate) <= 0.1"]


def test_what_is_set_and_varied_is_in_the_command_that_repeats_a_run() -> None:
    study = small()
    scenario = study.scenario.with_(study.points[0].changes)
    options = shlex.split(" ".join(scenario.changes))[1::2]
    assert Scenario.load(scenario.called).with_(dict(parse_assignment(option) for option in options)) == scenario


def test_options_replace_and_change_what_the_file_says() -> None:
    study = small(runs=3, until=[], prepare=lambda scenario: scenario.with_({"producers.shop.records": 100}))
    assert (study.runs, study.until, study.scenario.producer("shop").records) == (3, (), 100)


def test_a_study_without_a_name_has_its_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("scenario: zombie-leader\naxes: {faults.zombie.for: '1s,2s'}\n")
    assert load_study(path).name == "mine"
    assert is_study(path)


def test_a_scenario_beside_the_study_is_found_and_one_inside_it_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ZOMBIE.to_yaml())
    beside = study_from("scenario: mine.yaml\naxes: {faults.zombie.for: '1s,2s'}\n", "s.yaml", tmp_path)
    assert beside.scenario == ZOMBIE
    assert beside.scenario.called == str(tmp_path / "mine.yaml")
    inline = study_from(json.dumps({"scenario": ZOMBIE.data(), "axes": {"faults.zombie.for": ["1s", "2s"]}}))
    assert inline.scenario == ZOMBIE


@pytest.mark.parametrize("design", ["{random: 10, seed: 1}", "{latin-hypercube: 10}", "{sobol: 8}", "{saltelli: 4}", "{morris: 4}"])
def test_a_design_is_a_mapping_with_its_number_of_points(design: str) -> None:
    study = study_from(f"scenario: zombie-leader\naxes: {{faults.zombie.for: 1s..9s}}\ndesign: {design}\n")
    assert study.design in design
    assert str(study.samples) in design


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scenario: zombie-leader\n", "five.yaml: varies nothing"),
        ("axes: {}\n", "five.yaml:1: `scenario` is missing"),
        ("scenario: zombie-leader\ntitel: x\n", "five.yaml:2: titel: unknown key `titel`; did you mean `title`?"),
        ("scenario: zombie-leader\naxes: 3\n", "five.yaml:2: axes: is a mapping: keys with values, not `3`."),
        ("scenario: zombie-leader\nruns: many\n", "five.yaml:2: runs: `many` is not a number of runs"),
        ("scenario: zombie-leader\nruns: 0\n", "five.yaml:2: runs: `0` is not a number of runs"),
        ("scenario: zombie-leder\n", "five.yaml:1: scenario: zombie-leder: there is neither a file nor a shipped scenario"),
        (
            "scenario: zombie-leader\nset: {producers.shop.recods: 3}\n",
            "five.yaml:2: set: there is no `producers.shop.recods`; did you mean",
        ),
        ("scenario: zombie-leader\nset: {producers.shop.records: x}\n", "five.yaml:2: set: producers.shop.records: 'x' is not a whole"),
        ("scenario: zombie-leader\naxes:\n  faults.zombie.fro: [1s, 2s]\n", "five.yaml:3: axes.faults.zombie.fro: there is no"),
        ("scenario: zombie-leader\naxes:\n  faults.zombie.for: 9s..1s/2s\n", "five.yaml:3: axes.faults.zombie.for: `9s..1s` holds nothing"),
        ("scenario: zombie-leader\naxes:\n  faults.zombie.for: []\n", "five.yaml:3: axes.faults.zombie.for: has no levels."),
        (
            "scenario: zombie-leader\naxes:\n  faults.zombie.for: [3]\n",
            "five.yaml:3: axes.faults.zombie.for: the level `3` is refused at every",
        ),
        ("scenario: zombie-leader\nzipped:\n  - {a: [1], b: [1, 2]}\n", "five.yaml:3: zipped.0: paths that move together"),
        ("scenario: zombie-leader\ndesign: {sobol: x}\n", "five.yaml:2: design: `x` is not a number of points"),
        ("scenario: zombie-leader\ndesign: {sobol: 3, morris: 4}\n", "five.yaml:2: design: is one design with its number of points"),
        (
            "scenario: zombie-leader\naxes: {faults.zombie.for: [1s]}\nwhere: fro > 1s\n",
            "five.yaml:3: where.0: the constraint `fro > 1s` names",
        ),
        ("scenario: zombie-leader\naxes: {faults.zombie.for: [1s]}\nuntil: soon\n", "five.yaml:3: until.0: `soon` is no rule to stop by"),
        ("- 1\n", "five.yaml:1: "),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(text: str, line: str) -> None:
    (said,) = refusal(text)
    assert said.startswith(line)


def test_every_mistake_is_said_at_once_in_the_order_of_the_file() -> None:
    said = refusal(
        "scenario: zombie-leder\naxes:\n  faults.zombie.for: 9s..1s/2s\n  network.latency.ms: {from: 0, too: 3}\n"
        "zipped:\n  - {a: [1], b: [1, 2]}\ndesign: {sobol: x}\n"
    )
    assert [line.split(":")[1] for line in said] == ["1", "3", "4", "6", "7"]


def test_a_mistake_in_the_scenarios_own_file_is_told_with_that_files_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{ZOMBIE.to_yaml()}clustr: 3\n")
    (said,) = refusal("scenario: mine.yaml\naxes: {faults.zombie.for: [1s]}\n", tmp_path)
    assert said.startswith(f"{tmp_path / 'mine.yaml'}:")
    assert "did you mean `cluster`?" in said


# ---------------------------------------------------------------------------------------------------- shipped


@pytest.mark.parametrize("name", shipped_studies())
def test_a_shipped_study_is_whole(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert is_study(name)
    assert study.title
    assert not study.dropped


def test_five_settings_has_as_many_points_as_were_asked_for() -> None:
    study = load_study("five-settings")
    assert len(study.points) >= 500
    assert study.runs == 20
    assert {"acks", "min.insync.replicas", "replica.lag.time.max.ms", "request.timeout.ms", "cut.for"} == {
        axis.label for axis in study.axes
    }


def test_all_five_settings_change_what_happens() -> None:
    study = load_study("five-settings")
    paths = {axis.label: axis.paths[0] for axis in study.axes}
    usual: dict[str, object] = {"acks": "all", "min.insync.replicas": 1, "replica.lag.time.max.ms": 3000, "request.timeout.ms": 400}

    def outcome(**settings: object) -> Report:
        levels = usual | {"cut.for": "3s"} | {label.replace("_", "."): value for label, value in settings.items()}
        return run(study.scenario.with_({paths[label]: value for label, value in levels.items()}))

    doubled = outcome()
    assert (doubled.duplication_rate > 0.05, doubled.silent_loss_rate) == (True, 0)
    assert outcome(request_timeout_ms=5000).duplication_rate < doubled.duplication_rate
    assert outcome(replica_lag_time_max_ms=500).duplication_rate < doubled.duplication_rate
    assert outcome(acks=1, replica_lag_time_max_ms=12000, cut_for="7s").silent_loss_rate > 0.2
    assert outcome(acks=1, replica_lag_time_max_ms=12000, cut_for="1s").silent_loss_rate == 0
    refusing = outcome(min_insync_replicas=3, replica_lag_time_max_ms=500, cut_for="9s")
    assert refusing.failed_lost > outcome(min_insync_replicas=1, replica_lag_time_max_ms=500, cut_for="9s").failed_lost


def test_a_name_that_is_no_study_gets_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"neither a file nor a shipped study of that name; did you mean `five-settings`\?"):
        find_study("five-setings")
    assert not is_study("zombie-leader")
    assert not is_study("nothing-at-all")


# ---------------------------------------------------------------------------------------------------- options


def test_a_mapping_in_python_and_options_on_the_command_line_make_the_same_study() -> None:
    python = study_of("zombie-leader", {"faults.zombie.for": "1s..9s/2s", "producers.shop.config.acks": [1, "all"]}, runs=20)
    options = study_of(ZOMBIE, ["faults.zombie.for=1s..9s/2s", "producers.shop.config.acks=1,all"], runs=20)
    assert describe(python) == describe(options)
    assert python.name == "zombie-leader"


def test_what_a_run_measures_is_known_without_a_run() -> None:
    row = run(ZOMBIE).flat()
    numbers = {key for key, value in row.items() if isinstance(value, int | float) and not isinstance(value, bool)} - {"seed"}
    assert set(measure_keys(ZOMBIE)) == numbers
    assert all(parse_until(f"failing({event}) >= 3", ZOMBIE).measure == event for event in EVENTS)


def test_a_study_travels_to_another_process() -> None:
    for study in (small(), study_of(ZOMBIE, ["faults.zombie.for=1s..9s"], design="sobol", points=8)):
        there = pickle.loads(pickle.dumps(study))
        assert describe(there) == describe(study)
        assert [point.changes for point in there.points] == [point.changes for point in study.points]


# ---------------------------------------------------------------------------------------------------- descriptions


def test_a_description_is_plain_json_that_gives_the_axes_back() -> None:
    study = small()
    written = json.loads(json.dumps(describe(study)))
    assert written == describe(small())
    assert (written["points"], written["dropped"], written["runs"]) == (30, 6, 20)


def test_rows_of_more_runs_belong_to_the_same_study() -> None:
    assert differences(describe(small()), describe(small(runs=50, until=[], title="another", measures=[]))) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("acks: [1, all]", "acks: [1]", "axis acks: was 1, all; is 1"),
        ("  faults.zombie.for: 1s..9s/4s\n", "  faults.zombie.at: 2s,3s\n", "axis zombie.for: was 1s, 5s, 9s; is not varied"),
        ("records: 2000", "records: 2001", "scenario zombie-leader: producers.0.records was 2000; is 2001"),
        ("> 2s", "> 3s", "constraints: were `acks == all or zombie.for > 2s`; are `acks == all or zombie.for > 3s`"),
        ("runs: 20", "runs: 20\ndesign: {sobol: 64}", "design: was grid; is sobol"),
        ("[3000, 9000]", "[3000, 8000]", "axis broker.session.timeout.ms: was 3000&500, 9000&2000; is 3000&500, 8000&2000"),
    ],
)
def test_what_differs_is_one_phrase(old: str, new: str, sentence: str) -> None:
    changed = FULL.replace(old, new)
    if "zombie.at" in new:
        changed = changed.replace("zombie.for > 2s", "zombie.at > 2s")
    assert sentence in differences(describe(small()), describe(study_from(changed)))
