"""`validate` and `replay` as a user meets them, without any Kafka: what fails, what goes on, and what is written all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafkasim import Scenario, cli, console, validation_commands
from kafkasim.cluster.errors import ClusterError
from kafkasim.runner import run
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.validation_records import Recorded

NAMES = ("calm", "two-of-two", "acks0-leader-crash")


def record_of(scenario: Scenario, acked_lost: int = 0) -> Recorded:
    """As if it had been run: both sides are one simulated run."""
    base = run(Scenario.load("calm").with_({"producers.shop.records": 20}), 1)
    made = Recorded.of(
        scenario, [base], [base], kafkasim="0.1.0", java="17", date="2025-01-31", calibration={}, commands=[], called=scenario.called
    )
    draw = made.real[0]
    return made.model_copy(update={"real": (draw.model_copy(update={"numbers": {**draw.numbers, "acked_lost": acked_lost}}),)})


class FakeBackend:
    """In place of real brokers; whether it is in use."""

    in_use = False

    def __enter__(self) -> FakeBackend:
        self.in_use = True
        return self

    def __exit__(self, *_: object) -> None:
        self.in_use = False

    def cluster_of(self, scenario: Scenario) -> str:
        return scenario.name


Kafkasim = Callable[..., int]


@pytest.fixture
def kafkasim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kafkasim:
    """Runs the command line in this process, in `tmp_path`; a scenario's outcome is what `outcomes` say: an acked_lost, or an error."""
    monkeypatch.chdir(tmp_path)
    backend = FakeBackend()
    monkeypatch.setattr(cli, "_real_kafka", lambda *_: backend)

    def call(*arguments: str, outcomes: dict[str, int | BaseException] | None = None) -> int:
        def validate(scenario: Scenario, *_: object) -> Recorded:
            assert backend.in_use
            outcome = (outcomes or {}).get(scenario.name, 0)
            if isinstance(outcome, BaseException):
                raise outcome
            return record_of(scenario, outcome)

        monkeypatch.setattr(validation_commands, "validate", validate)
        monkeypatch.setattr(sys, "argv", ["kafkasim", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        assert isinstance(code, int)
        assert not backend.in_use
        return code

    return call


FILES = ("--json", "all.json", "--markdown", "all.md", "--record", "kept")


def finished(folder: Path) -> list[str]:
    """The scenarios of which the three kinds of files speak, which must be the same."""
    document = json.loads((folder / "all.json").read_text())
    names = [comparison["scenario"] for comparison in document["comparisons"]]
    assert sorted(path.stem for path in (folder / "kept").glob("*.json")) == sorted(names)
    assert all(f"### {name}" in (folder / "all.md").read_text() for name in names)
    return names


@pytest.mark.parametrize("error", [ClusterError("The warm-up failed: no topics."), ScenarioError([Problem("calm", "cannot be written")])])
def test_a_scenario_that_fails_is_a_sentence_and_the_others_go_on(
    error: Exception, kafkasim: Kafkasim, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafkasim("validate", *NAMES, *FILES, outcomes={"calm": error}) == 2
    out, err = capsys.readouterr()
    assert finished(tmp_path) == ["acks0-leader-crash", "two-of-two"]
    assert "two-of-two" in out
    assert err == f"kafkasim: calm: {error}\n"
    assert json.loads((tmp_path / "all.json").read_text())["failures"] == [f"calm: {error}"]


def test_if_all_of_them_fail_nothing_is_written(kafkasim: Kafkasim, tmp_path: Path) -> None:
    failure = ClusterError("no brokers")
    assert kafkasim("validate", "calm", "--json", "all.json", outcomes={"calm": failure}) == 2
    assert list(tmp_path.iterdir()) == []


def test_interrupted_what_was_finished_is_printed_and_written(
    kafkasim: Kafkasim, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafkasim("validate", *NAMES, *FILES, outcomes={"two-of-two": KeyboardInterrupt()}) == 130
    assert finished(tmp_path) == ["acks0-leader-crash", "calm"]
    assert "2 scenarios, 2 real runs" in capsys.readouterr().out


def test_check_tells_by_the_exit_code_whether_a_real_run_contradicts_the_simulator(kafkasim: Kafkasim) -> None:
    assert kafkasim("validate", "calm", "--check") == 0
    assert kafkasim("validate", "calm", outcomes={"calm": 1}) == 0
    assert kafkasim("validate", "calm", "--check", outcomes={"calm": 1}) == 1


def test_a_fresh_table_shows_the_reasons_that_lie_where_it_is_recorded(
    kafkasim: Kafkasim, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "reasons.yaml").write_text("calm:\n  acked_lost: so it is\nanother:\n  sent: x\n")
    assert kafkasim("validate", "calm", "--record", "kept", outcomes={"calm": 1}) == 0
    assert "no (only 0 accepted), because so it is" in " ".join(capsys.readouterr().out.split())
    assert kafkasim("validate", "calm", outcomes={"calm": 1}) == 0
    assert "because" not in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- what is recorded


def test_what_is_recorded_is_shown_without_the_extra_for_real_brokers(tmp_path: Path) -> None:
    record_of(Scenario.load("calm")).write(tmp_path)
    without = "import sys; sys.modules['confluent_kafka'] = None; from kafkasim.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "validate", "--from", "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 scenario, 1 real run" in done.stdout
    real = subprocess.run([sys.executable, "-c", without, "validate", "calm"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (real.returncode, real.stdout) == (2, "")
    assert real.stderr == "kafkasim: real brokers need the extra `cluster`: pip install 'kafkasim[cluster]'\n"


@pytest.mark.parametrize(
    "option", [("--set", "seed=3"), ("--record", "kept"), ("--bootstrap-server", "kafka:9092"), ("--command", "kill=x")]
)
def test_what_belongs_to_new_runs_is_refused_beside_what_is_recorded(
    option: tuple[str, ...], kafkasim: Kafkasim, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kafkasim("validate", "--from", ".", *option) == 2
    assert capsys.readouterr().err.startswith("kafkasim: --from shows what is recorded")


def test_a_record_that_cannot_be_simulated_again_stays_and_the_others_are(
    kafkasim: Kafkasim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("calm", "two-of-two"):
        record_of(Scenario.load(name)).write(tmp_path)

    def again(record: Recorded, *_: object) -> Recorded:
        if record.scenario == "calm":
            raise ScenarioError([Problem("calm", "cannot be written")])
        return record.model_copy(update={"kafkasim": "0.2.0"})

    monkeypatch.setattr(validation_commands, "simulate_again", again)
    assert kafkasim("validate", "--from", ".", "--again") == 2
    assert [Recorded.read(path).kafkasim for path in sorted(tmp_path.glob("*.json"))] == ["0.1.0", "0.2.0"]
    assert "2 scenarios" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- what is nobody's sentence yet


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), "the output cannot be written: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "redis-server"), "redis-server: No such file or directory"),
        (
            BlockingIOError(11, "Resource temporarily unavailable"),
            "this machine does not let kafkasim go on: Resource temporarily unavailable",
        ),
    ],
)
def test_an_error_of_the_operating_system_is_blamed_on_the_output_only_where_it_is_one(
    error: OSError, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.explain_failure(error) == 2
    assert capsys.readouterr().err == f"kafkasim: {sentence}\n"


def test_a_folder_for_records_that_cannot_be_made_is_named(kafkasim: Kafkasim, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert kafkasim("validate", "calm", "--record", "file/kept") == 2
    assert capsys.readouterr().err == "kafkasim: file/kept: Not a directory\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of the two"),
        (("calm", "--from", "."), "one of the two"),
        (("calm", "--again"), "needs --from"),
        (("--from", "nowhere"), "nowhere: there is no such folder"),
    ],
)
def test_a_wrong_call_of_validate_gets_a_sentence(
    arguments: tuple[str, ...], words: str, kafkasim: Kafkasim, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert kafkasim("validate", *arguments) == 2
    err: Any = capsys.readouterr().err
    assert err.startswith("kafkasim: ")
    assert words in err
    assert list(tmp_path.iterdir()) == []
