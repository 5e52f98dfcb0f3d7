"""A study that is interrupted, killed, or whose workers are killed, and then resumed, equals one that nobody touched: byte for byte."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from study.small_studies import finished, small_study

from kafkasim.study import collect as collecting
from kafkasim.study.collect import Progress, collect
from kafkasim.study.executors import Processes, processes
from kafkasim.study.results import Results

POINTS, RUNS = 40, 5
PATIENCE = 60.0
linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks for processes in /proc")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study that nobody touched, made in one process."""
    folder = tmp_path_factory.mktemp("untouched")
    finished(small_study(POINTS, RUNS), folder)
    return folder


@pytest.fixture
def whole(untouched: Path) -> bytes:
    """Its results.csv."""
    return (untouched / "results.csv").read_bytes()


def is_whole(folder: Path, whole: bytes) -> bool:
    """Whether the table is the same byte for byte, and the file of rows has each task once."""
    tasks = Counter(json.loads(line)["task"] for line in (folder / "results.jsonl").read_bytes().splitlines())
    return (folder / "results.csv").read_bytes() == whole and set(tasks.values()) == {1} and len(tasks) == POINTS * RUNS


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("sweep_script.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.002)


def lines_of(folder: Path) -> int:
    path = folder / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def living(group: int) -> list[int]:
    """Processes of a process group that run; one that has ended and that nobody has asked about is no longer one of them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


@linux_only
def test_a_study_that_is_interrupted_and_then_killed_equals_one_that_nobody_touched(tmp_path: Path, whole: bytes):
    first = start(tmp_path)
    until(lambda: lines_of(tmp_path) >= 20, "a row")
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does it: everybody gets it
    said, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode == 130, said
    assert "Traceback" not in said
    made, left = (int(word) for word in said.split() if word.isdecimal())
    assert made == lines_of(tmp_path)
    assert made + left == POINTS * RUNS
    assert left > 0
    assert (tmp_path / "results.csv").read_bytes().count(b"\n") == made + 1
    until(lambda: not living(first.pid), "the end of all workers")

    second = start(tmp_path, "--resume")
    until(lambda: lines_of(tmp_path) >= made + 30, "a row")
    second.kill()
    second.communicate(timeout=PATIENCE)
    assert lines_of(tmp_path) < POINTS * RUNS
    until(lambda: not living(second.pid), "the end of workers whose sweep was killed")

    third = start(tmp_path, "--resume")
    said, _ = third.communicate(timeout=PATIENCE)
    assert third.returncode == 0, said
    assert is_whole(tmp_path, whole)
    until(lambda: not living(third.pid), "the end of all workers")


class KillOne:
    """Kills a process in the middle of the study, once."""

    def __init__(self, process: Callable[[], int]) -> None:
        self.process, self.killed = process, 0

    def __call__(self, progress: Progress) -> None:
        if progress.runs_done >= 40 and not self.killed:
            self.killed = self.process()
            os.kill(self.killed, signal.SIGKILL)


def some_worker(executor: Processes) -> int:
    return next(iter(executor._pool._processes))


def collect_with_a_worker_killed(folder: Path, results: type[Results] = Results) -> list[str]:
    study, said = small_study(POINTS, RUNS), list[str]()
    with results.open(folder, study) as store, processes(2) as executor:
        assert isinstance(executor, Processes)
        kill = KillOne(lambda: some_worker(executor))
        collect(study, store, executor, progress=kill, say=said.append)
        assert kill.killed
    return said


def test_a_worker_process_that_is_killed_costs_nothing_but_a_sentence(tmp_path: Path, whole: bytes):
    (sentence,) = collect_with_a_worker_killed(tmp_path)
    assert sentence.startswith("A worker process was killed; the workers were started anew, and the ")
    assert is_whole(tmp_path, whole)


def test_a_dask_worker_that_is_killed_costs_nothing(tmp_path: Path, whole: bytes):
    distributed = pytest.importorskip("distributed", reason="the extra `sweep` is not installed")
    from kafkasim.study.executors import dask

    study = small_study(POINTS, RUNS)
    with distributed.LocalCluster(n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None) as cluster:
        kill = KillOne(lambda: cluster.workers[0].pid)
        with Results.open(tmp_path, study) as results, dask(cluster.scheduler_address) as executor:
            assert executor.workers == 2
            collect(study, results, executor, progress=kill)
        assert kill.killed
    assert is_whole(tmp_path, whole)


# ---------------------------------------------------------------------------------------------------- what the comparison catches


class AppendsTwice(Results):
    """Forgets that it has written already, as one would after an error that it took for a failure."""

    def _append(self, data: bytes) -> None:
        super()._append(data)
        super()._append(data)


def test_a_store_that_appends_twice_is_caught(tmp_path: Path, untouched: Path, whole: bytes):
    study = small_study(POINTS, RUNS)
    with Results.open(untouched, study, resume=True) as once, AppendsTwice.open(tmp_path, study) as twice:
        twice.add(list(once.rows()))
        twice.derive()
    assert is_whole(untouched, whole)
    assert (tmp_path / "results.csv").read_bytes() == whole
    assert not is_whole(tmp_path, whole)


def test_a_loop_that_forgets_the_chunk_in_flight_is_caught(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch):
    def forget(loop: collecting._Loop, error: Exception) -> None:
        loop._executor.renew()  # type: ignore[attr-defined]
        loop._flights.clear()

    monkeypatch.setattr(collecting._Loop, "_begin_again", forget)
    collect_with_a_worker_killed(tmp_path)
    assert not is_whole(tmp_path, whole)
