"""Who makes the runs: any `concurrent.futures.Executor`. Here are processes of this machine, this very process, and a dask cluster.

Worker processes are forked off a clean server process (or spawned where there is none): a fork of a process that has threads, as notebooks
and progress bars have, may hang. They leave Ctrl-C to us, and end by themselves when we are killed.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any, ParamSpec, TypeVar

from kafkasim.output_files import OutputError
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.task import version

P = ParamSpec("P")
T = TypeVar("T")

_TALKATIVE = ("distributed.client", "distributed.batched", "distributed.core")  # they print tracebacks where we have a sentence
ANSWER_SECONDS = 10.0  # how long the address of a dask cluster may take to answer
_IMPORTED_ONCE = ("kafkasim.study.work", "kafkasim.simulator.simulation")  # by the server process, for all its workers


class Crew(Executor, ABC):
    """What an executor of ours can do beyond `submit`; any other is as wide as it says, and is not made anew when it breaks."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many chunks are made at the same time."""

    @abstractmethod
    def stop(self) -> None:
        """End at once: what is being made is lost."""

    def renew(self) -> bool:
        """Begin again with new workers, after some were killed; what was in flight is lost. Whether it can."""
        return False


def workers_of(executor: Executor) -> int:
    """How many chunks the executor makes at the same time, as far as it can be known."""
    if isinstance(executor, Crew):
        return executor.workers
    return max(1, int(getattr(executor, "_max_workers", 0) or 1))  # both executors of the standard library call it so


def in_flight(executor: Executor) -> int:
    """How many chunks to hand over at most: two a worker, so that none waits for us, and an interruption costs little."""
    return 1 if isinstance(executor, Serial) else 2 * workers_of(executor)


# ---------------------------------------------------------------------------------------------------- this process


class Serial(Crew):
    """Runs what it is given at once, in this process: for one worker, and where there are no processes."""

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The future is done when this returns. Ctrl-C is the caller's."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        """Nothing is going on."""


def serial() -> Serial:
    """An executor that runs at `submit`."""
    return Serial()


# ---------------------------------------------------------------------------------------------------- processes


class Processes(Crew):
    """`jobs` worker processes of this machine, started with the first `submit`."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool = self._new_pool()

    @property
    def workers(self) -> int:
        """As many as were asked for."""
        return self._jobs

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._jobs, mp_context=_context(), initializer=_begin_worker)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand over to a worker. Raises BrokenProcessPool when a worker was killed."""
        with _ctrl_c_later():  # a worker that begins here inherits this, until it can say so itself
            return self._pool.submit(fn, *args, **kwargs)

    def renew(self) -> bool:
        """With new workers; what was in flight is lost."""
        self.stop()
        self._pool = self._new_pool()
        return True

    def stop(self) -> None:
        """Kill the workers: they hold nothing that is not made again."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """When all is done."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def processes(jobs: int | None = None) -> Executor:
    """An executor of `jobs` processes (one a processor that we may use); of this process alone where one is enough or none can be had.

    Raises ScenarioError in a worker that imports a script of somebody's which sweeps as it is imported.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sentence = "a sweep begins as this script is imported, and its workers import it too; put it under `if __name__ == '__main__':`"
        raise ScenarioError([Problem("sweep", sentence)])
    wanted = jobs or usable_processors()
    return Processes(wanted) if wanted > 1 and _has_processes() else Serial()


def usable_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _has_processes() -> bool:
    try:
        _context().Lock()  # no semaphores, no pool: some containers, browsers
    except (ImportError, OSError):
        return False
    return True


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED_ONCE))
    return context


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Hold SIGINT back, and let it come at the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Ctrl-C reaches every process of a terminal, and what it means is the sweep's to say. A worker without a sweep ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)  # in the middle of a run: nobody is there any more to be given it


# ---------------------------------------------------------------------------------------------------- dask


class Dask(Crew):
    """The workers of a dask cluster; they may come and go. A chunk whose worker is lost is made again by another one."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._workers = 1
        self._levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    @property
    def workers(self) -> int:
        """Threads of all workers that are there now; as far as the scheduler answers."""
        with contextlib.suppress(Exception):  # a scheduler that has gone is told of by the chunks that it forgets
            self._workers = max(1, sum(map(int, self._client.nthreads().values())))
        return self._workers

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand over to the cluster."""
        future: Future[T] = self._executor.submit(fn, *args, **kwargs)
        return future

    def stop(self) -> None:
        """Cancel what is in flight, and leave the cluster."""
        self._executor.shutdown(wait=False)
        self._leave()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster when all is done; its workers go on living."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(Exception):  # the cluster may have gone before us
            self._client.close()
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)


def dask(address: str) -> Dask:
    """The dask cluster whose scheduler is at `address` ("tcp://host:8786"); its workers need the same kafkasim.

    Raises OutputError where the extra is missing, nobody answers, or a worker has another version.
    """
    try:
        from distributed import Client
    except ImportError:
        raise OutputError("--dask needs the extra `sweep`: pip install 'kafkasim[sweep]'") from None
    try:
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise OutputError(f"no dask scheduler answers at {address}: {_first_line(error)}") from error
    try:
        _refuse_other_versions(client)
    except BaseException:
        client.close()
        raise
    return Dask(client)


def _refuse_other_versions(client: Any) -> None:
    try:
        versions: dict[str, str] = client.run(version)
    except Exception as error:  # whatever their Python says
        raise OutputError(f"the dask workers cannot use kafkasim: {_first_line(error)}. Install kafkasim {version()} there") from error
    for worker, theirs in versions.items():
        if theirs != version():
            raise OutputError(f"the dask worker {worker} has kafkasim {theirs}, and this is {version()}: install the same there")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
