"""Running a study: a loop that keeps a bounded number of chunks in flight, keeps what comes back at once, and can stop at any moment.

Whatever happens (Ctrl-C, a killed worker, a run that fails, a full disk) the store holds whole rows, each once, and collecting again makes
exactly what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field

from kafkasim.output_files import OutputError
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study.agenda import Agenda
from kafkasim.study.ctrl_c import CtrlC
from kafkasim.study.executors import Crew, Serial, in_flight, workers_of
from kafkasim.study.pace import Pace
from kafkasim.study.reading import other_version
from kafkasim.study.store import InMemory, Store, Tally
from kafkasim.study.study import Study
from kafkasim.study.task import axis_paths, version
from kafkasim.study.work import Chunk, Made, make

MOST_TRIES = 4  # of a chunk whose workers are killed: then it may be the one that kills them
TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is. `runs`: what it takes at most, `until` makes it fewer. `rate`: runs a second of this sweep, or 0."""

    points_done: int
    points: int
    runs_done: int
    runs: int
    rate: float
    tally: Tally

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None before the first run has been made."""
        return (self.runs - self.runs_done) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of collecting. `made` runs by this sweep; `left` still to be made, at most; `interrupted` by Ctrl-C."""

    store: Store
    made: int
    left: int
    points_done: int
    points: int
    interrupted: bool


class RunError(ScenarioError):
    """A run ended in an exception: its point is refused, or kafkasim has a fault. `command` repeats that very run."""

    def __init__(self, where: str, sentence: str, command: str, traceback: str) -> None:
        super().__init__([Problem(where, f"{sentence.rstrip('.')}. This repeats it: {command}")])
        self.command = command
        self.traceback = traceback


def collect(
    study: Study,
    store: Store | None,
    executor: Executor,
    *,
    part: tuple[int, int] = (1, 1),
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Outcome:
    """Make the runs of `study` (or of its part `i` of `n`: every n-th point) that `store` does not hold; None: a store in memory.

    `progress` is told how far it is, about twice a second and after every chunk; `say`, in sentences, what went wrong and was mended. The
    executor is the caller's to shut down; after an interruption or an error it has been stopped. Raises RunError, OutputError, or
    ScenarioError where the workers are no use; what is done is kept.
    """
    loop = _Loop(study, InMemory(study) if store is None else store, executor, part, progress, say)
    interrupted = False
    with loop.ctrl_c:
        try:
            loop.run()
        except KeyboardInterrupt:
            interrupted = True
            with contextlib.suppress(KeyboardInterrupt):  # pressed twice it means the same
                loop.stop()
        except BaseException:
            with contextlib.suppress(OutputError):  # what comes of a disk that is still full says nothing new
                loop.stop()
                loop.store.derive()
            raise
        with contextlib.suppress(KeyboardInterrupt), loop.ctrl_c.held_back():  # a table older than its journal would mislead
            loop.store.derive()
    agenda = loop.agenda
    return Outcome(loop.store, loop.made, agenda.runs - agenda.runs_done, agenda.points_done, agenda.points, interrupted)


@dataclass(slots=True)
class _Flight:
    """A chunk that somebody is making."""

    chunk: Chunk
    future: Future[Made] = field(default_factory=Future)
    tries: int = 0

    @property
    def has_made(self) -> bool:
        """Whether its rows are there."""
        return self.future.done() and not self.future.cancelled() and self.future.exception() is None


class _Loop:
    def __init__(
        self,
        study: Study,
        store: Store,
        executor: Executor,
        part: tuple[int, int],
        progress: Callable[[Progress], None] | None,
        say: Callable[[str], None] | None,
    ) -> None:
        self.store = store
        self.agenda = Agenda(study, store, part)
        self.made = 0
        self.ctrl_c = CtrlC()
        self._scenario, self._paths = study.scenario, axis_paths(study)
        self._executor = executor
        self._flights: list[_Flight] = []
        self._pace = Pace(workers_of(executor))
        self._progress, self._say = progress, say

    def run(self) -> None:
        """Until nothing is left."""
        self._tell()
        while True:
            self._fill()
            if not self._flights:
                break
            done = wait([flight.future for flight in self._flights], TELL_SECONDS, return_when="FIRST_COMPLETED").done
            try:
                for flight in [flight for flight in self._flights if flight.future in done]:
                    with self.ctrl_c.held_back():
                        self._land(flight)
            except BrokenExecutor as error:
                self._begin_again(error)
            self._tell()

    def stop(self) -> None:
        """Begin nothing more; keep what has come back already; end what is being made."""
        for flight in self._flights:
            flight.future.cancel()
        try:
            with self.ctrl_c.held_back():
                for flight in [flight for flight in self._flights if flight.has_made]:
                    self._flights.remove(flight)
                    self._keep(flight.future.result())
        finally:
            self._flights.clear()
            if isinstance(self._executor, Crew):
                self._executor.stop()
            else:
                self._executor.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        for _ in range(in_flight(self._executor) - len(self._flights)):
            pieces = self.agenda.take(self._pace.chunk(self.agenda.runs - self.agenda.runs_done))
            if not pieces:
                return
            flight = _Flight(Chunk(version(), self._scenario, self._paths, pieces))
            self._flights.append(flight)
            self._hand_over(flight)

    def _hand_over(self, flight: _Flight) -> None:
        flight.tries += 1
        # A worker that is just being started must be known before Ctrl-C ends it; where `submit` makes the runs, Ctrl-C ends them.
        whole = contextlib.nullcontext() if isinstance(self._executor, Serial) else self.ctrl_c.held_back()
        try:
            with whole:
                flight.future = self._executor.submit(make, flight.chunk)
        except BrokenExecutor as error:  # a chunk that nobody took is in flight nevertheless, so that it is not forgotten
            flight.future = Future()
            flight.future.set_exception(error)

    def _land(self, flight: _Flight) -> None:
        try:
            made = flight.future.result()
        except BrokenExecutor:
            raise
        except CancelledError as error:
            raise self._useless(flight.chunk, "they gave their runs up, as happens when the scheduler of a cluster has gone") from error
        except Exception as error:
            raise self._useless(flight.chunk, f"{type(error).__name__}: {error}") from error
        self._flights.remove(flight)
        if made.version:
            raise ScenarioError([Problem("workers", f"a worker has another kafkasim: {other_version(made.version)}")])
        self._pace.took(len(made.rows), made.seconds)
        self._keep(made)
        if made.failed is not None:
            where = f"point {made.failed.point}, run {made.failed.run}"
            raise RunError(where, made.failed.sentence, made.failed.command, made.failed.traceback)

    def _keep(self, made: Made) -> None:
        self.store.add(made.rows)
        self.agenda.came_back(made.rows)
        self.made += len(made.rows)

    def _begin_again(self, error: BrokenExecutor) -> None:
        """A worker was killed, and with it the pool: make the pool anew, and again what was in flight."""
        lost = [flight for flight in self._flights if not flight.has_made]
        worn_out = next((flight for flight in lost if flight.tries >= MOST_TRIES), None)
        if worn_out is not None:
            sentence = (
                f"they were killed {MOST_TRIES} times while the same runs were being made; perhaps there is too little memory for them"
            )
            if self.made == 0:
                sentence += ", or a script of yours begins its sweep outside of `if __name__ == '__main__':`"
            raise self._useless(worn_out.chunk, sentence) from error
        if not isinstance(self._executor, Crew) or not self._executor.renew():
            raise self._useless(lost[0].chunk, f"they ended before they were done ({error})") from error
        if self._say is not None:
            runs = sum(flight.chunk.runs for flight in lost)
            self._say(f"A worker process was killed; the workers were started anew, and the {runs} runs in flight are made again.")
        for flight in lost:
            self._hand_over(flight)

    def _useless(self, chunk: Chunk, sentence: str) -> ScenarioError:
        return ScenarioError([Problem("workers", f"{sentence}. The first of those runs: {chunk.first_command}")])

    def _tell(self) -> None:
        if self._progress is not None:
            agenda = self.agenda
            told = Progress(agenda.points_done, agenda.points, agenda.runs_done, agenda.runs, self._pace.rate(), self.store.tally)
            self._progress(told)
