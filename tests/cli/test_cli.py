"""The command line as a user meets it: one clear sentence for a wrong input, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def kafkasim(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **env}
    command = [sys.executable, "-m", "kafkasim", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


HEAD = "topics: {orders: {}}\nproducers:\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("topics: {orders: {}\nproducers: [\n", ":2:1", "not readable as YAML"),
        (HEAD + "  - {name: shop, topic: orders, records: many}\n", ":3", "not a whole number"),
        (HEAD + "  - {name: shop, topic: orders, recrods: 5}\n", ":3", "did you mean `records`"),
        (HEAD + "  - {name: shop, topic: orders, config: {aks: 1}}\n", ":3", "did you mean acks"),
        (HEAD + "  - {name: shop, topic: orders, config: {acks: 1, enable.idempotence: true}}\n", ":3", "contradicts"),
        (HEAD + "  - {name: shop, topic: orders, config: {max.in.flight.requests.per.connection: 6}}\n", ":3", "at most 5"),
        (HEAD + "  - {name: shop, topic: orders}\nfaults:\n  - {at: 1s, fault: crash, node: broker(7)}\n", ":5", "no broker 7"),
        ("topics: {orders: {replication.factor: 5}}\nproducers:\n  - {name: shop, topic: orders}\n", ":1", "the cluster has 3"),
        (HEAD + "  - {name: shop, topic: orders, records: 0}\n", ":3", "the least is 1"),
    ],
)
def test_a_bad_scenario_gets_one_sentence_with_its_line(tmp_path: Path, text: str, place: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    done = kafkasim("run", "mine.yaml", "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("kafkasim: mine.yaml" + place)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == ["mine.yaml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("rnu", "calm"),
        ("run", "nope"),
        ("run", "calm", "--runs", "0"),
        ("run", "calm", "--seed", "-1"),
        ("run", "calm", "--sed", "1"),
        ("run", "calm", "--set", "nonsense"),
        ("run", "calm", "--set", "producers.shpo.config.acks=1"),
        ("run", "calm", "--json", "/nonexistent/out.json"),
        ("run", "calm", "--plot", "out.gif"),
        ("run", "calm", "--runs", "2", "--trace", "trace.jsonl"),
        ("run", "calm", "--producer-config", "nofile.properties"),
        ("run", "calm", "--set", "network.latency.ms=3000"),
        ("compare", "calm", "nofile.json"),
        ("show", "nope"),
    ],
)
def test_a_wrong_call_gets_a_sentence_exit_code_2_and_leaves_nothing_behind(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = kafkasim(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("kafkasim: ")
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_json_to_stdout_is_json_alone(tmp_path: Path) -> None:
    done = kafkasim("run", "calm", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["acked_lost"] == 0


def test_kafkasim_alone_says_what_to_try_next() -> None:
    done = kafkasim()
    assert done.returncode == 0
    assert "kafkasim run zombie-leader" in done.stdout


def test_check_tells_by_the_exit_code_whether_an_expectation_was_missed(tmp_path: Path) -> None:
    shown = kafkasim("show", "calm").stdout
    (tmp_path / "good.yaml").write_text(shown)
    (tmp_path / "bad.yaml").write_text(shown.replace("acked_lost: 0", "acked_lost: [1, 9]"))
    assert kafkasim("run", "good.yaml", "--check", cwd=tmp_path).returncode == 0
    missed = kafkasim("run", "bad.yaml", "--check", cwd=tmp_path)
    assert missed.returncode == 1
    assert "acked_lost is 0, expected between 1 and 9" in missed.stdout


def test_a_saved_report_can_be_compared_and_cannot_be_changed(tmp_path: Path) -> None:
    assert kafkasim("run", "calm", "--json", "a.json", cwd=tmp_path).returncode == 0
    same = kafkasim("compare", "a.json", "calm", cwd=tmp_path)
    assert same.returncode == 0
    changed = kafkasim("compare", "a.json", "producers.shop.config.acks=1", cwd=tmp_path)
    assert changed.returncode == 2
    assert "saved report" in changed.stderr


def test_the_command_that_a_report_gives_repeats_it(tmp_path: Path) -> None:
    first = kafkasim("run", "zombie-leader", "--set", "producers.shop.rate=300", "--seed", "4", cwd=tmp_path).stdout
    command = first.splitlines()[-1].removeprefix("Again: kafkasim ").split()
    assert kafkasim(*command, cwd=tmp_path).stdout == first


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert kafkasim("run", "calm", "--json", "link.json", cwd=tmp_path).returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["acked"] == 2000
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([sys.executable, "-m", "kafkasim", "run", "calm", "--json", "pipe"], cwd=tmp_path, stdout=subprocess.DEVNULL):
        assert json.loads((tmp_path / "pipe").read_text())["acked"] == 2000
    assert (tmp_path / "pipe").is_fifo()


def test_a_reader_that_has_seen_enough_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m kafkasim config calm | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in {"0", "141"}


def test_an_interrupted_series_keeps_the_runs_that_were_finished(tmp_path: Path) -> None:
    # Whoever runs the tests in the background may have told its children to ignore Ctrl-C: this one heeds it.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from kafkasim.cli import main; main()"
    command = [sys.executable, "-c", heed, "run", "calm", "--runs", "2000", "--json", "runs.json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as series:
        time.sleep(5)
        series.send_signal(signal.SIGINT)
        series.communicate(timeout=60)
    assert series.returncode == 130
    kept = json.loads((tmp_path / "runs.json").read_text())
    assert 0 < len(kept["runs"]) < 2000
    assert kept["summary"]["runs"] == len(kept["runs"])


def test_the_trace_counts_from_the_start_of_the_workload_and_never_goes_back(tmp_path: Path) -> None:
    assert kafkasim("run", "zombie-leader", "--trace", "trace.jsonl", cwd=tmp_path).returncode == 0
    events = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    times = [event["at"] for event in events]
    assert times == sorted(times)
    elected = next(event for event in events if event["event"] == "LeaderElected" and event["at"] > 0)
    assert 5000 < elected["at"] < 7000


def test_properties_files_with_windows_line_ends_are_laid_over_and_what_belongs_to_a_place_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "producer.properties").write_bytes(b"# mine\r\nbootstrap.servers=localhost:9092\r\nacks=1\r\ncompression.type=none\r\n")
    done = kafkasim("run", "calm", "--producer-config", "producer.properties", cwd=tmp_path)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "acks=1" in text
    assert "bootstrap.servers belongs to a place" in text
    assert "compression.type is not modelled" in text


def test_a_terminal_that_cannot_show_a_character_shows_another() -> None:
    done = kafkasim("run", "calm", "--set", "title=ünï — done", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
