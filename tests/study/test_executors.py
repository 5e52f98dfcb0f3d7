"""Who makes the runs: this process, processes, a dask cluster; and what is said where one of them cannot be had."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from study.in_workers import end_at_once, ignores_ctrl_c
from study.small_studies import small_study

from kafkasim.output_files import OutputError
from kafkasim.scenario_file import ScenarioError
from kafkasim.study import executors
from kafkasim.study.collect import MOST_TRIES, collect
from kafkasim.study.executors import Processes, Serial, in_flight, processes, serial, usable_processors, workers_of


def test_serial_runs_at_once_and_keeps_what_was_raised():
    executor = serial()
    assert executor.submit(divmod, 7, 2).result() == (3, 1)
    assert isinstance(executor.submit(divmod, 7, 0).exception(), ZeroDivisionError)
    assert (workers_of(executor), in_flight(executor)) == (1, 1)


def test_ctrl_c_in_this_process_is_for_whoever_collects():
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serial().submit(interrupted)


def test_how_wide_an_executor_is_decides_how_much_is_in_flight():
    with ThreadPoolExecutor(3) as threads:
        assert (workers_of(threads), in_flight(threads)) == (3, 6)
    assert workers_of(Processes(4)) == 4


def test_one_job_needs_no_process_and_without_a_number_there_is_one_a_processor():
    assert isinstance(processes(1), Serial)
    assert workers_of(processes(3)) == 3
    assert workers_of(processes()) == usable_processors()


def test_where_there_are_no_processes_this_one_does_the_work(monkeypatch: pytest.MonkeyPatch):
    def no_semaphores() -> None:
        raise ImportError("This platform lacks a functioning sem_open implementation")

    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Lock", no_semaphores)
    monkeypatch.setattr(executors, "_context", lambda: multiprocessing.get_context("spawn"))
    assert isinstance(processes(4), Serial)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="it has no masks of signals")
def test_workers_ignore_ctrl_c_and_nobody_holds_it_back_afterwards():
    with processes(2) as executor:
        assert executor.submit(ignores_ctrl_c).result()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_killed_workers_are_replaced():
    with processes(2) as executor:
        assert isinstance(executor, Processes)
        with pytest.raises(BrokenExecutor):
            executor.submit(end_at_once).result()
        assert executor.renew()
        assert executor.submit(divmod, 7, 2).result() == (3, 1)


def test_runs_that_kill_their_workers_again_and_again_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kafkasim.study.collect.make", end_at_once)
    said: list[str] = []
    with pytest.raises(ScenarioError, match=r"workers: they were killed 4 times .* little memory.* The first of those runs: kafkasim run "):
        collect(small_study(), None, processes(2), say=said.append)
    assert len(said) == MOST_TRIES - 1


def test_an_executor_of_somebody_else_that_breaks_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kafkasim.study.collect.make", end_at_once)
    theirs = Processes(2)._pool
    with pytest.raises(ScenarioError, match="workers: they ended before they were done"):
        collect(small_study(), None, theirs)


def test_a_script_that_sweeps_as_it_is_imported_is_told_what_to_do(tmp_path: Path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from study.small_studies import small_study\n"
        "from kafkasim.study.collect import collect\n"
        "from kafkasim.study.executors import processes\n"
        "collect(small_study(), None, processes(2))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "put it under `if __name__ == '__main__':`" in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("kafkasim.scenario_file.ScenarioError: workers: they were killed 4 times")
    assert "outside of `if __name__ == '__main__':`" in ended.stderr.strip().splitlines()[-1]


# ---------------------------------------------------------------------------------------------------- dask


def test_without_the_extra_dask_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # its import fails
    with pytest.raises(OutputError, match=r"--dask needs the extra `sweep`: pip install 'kafkasim\[sweep\]'"):
        executors.dask("tcp://127.0.0.1:8786")


def test_an_address_where_nobody_answers_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed", reason="the extra `sweep` is not installed")
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.3)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(OutputError) as error:
            executors.dask(address)
    assert str(error.value).startswith(f"no dask scheduler answers at {address}: ")
    assert "\n" not in str(error.value)
    with pytest.raises(OutputError, match="nonsense://x is no address of a dask scheduler; one is written like tcp://host:8786"):
        executors.dask("nonsense://x")


def test_a_dask_worker_of_another_version_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    class Client:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        def run(self, _: object) -> object:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    ours = executors.version()
    executors._refuse_other_versions(Client({"tcp://a": ours, "tcp://b": ours}))
    with pytest.raises(OutputError, match=r"the dask worker tcp://b has kafkasim 0\.0\.9, and this is"):
        executors._refuse_other_versions(Client({"tcp://a": ours, "tcp://b": "0.0.9"}))
    with pytest.raises(OutputError, match="the dask workers cannot use kafkasim: No module named 'kafkasim'"):
        executors._refuse_other_versions(Client(ModuleNotFoundError("No module named 'kafkasim'")))
