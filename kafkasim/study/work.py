"""What a worker does: a chunk of runs comes in, their rows go out. It travels to other processes and machines, so it is all plain data.

Nothing of a sweep lives in a worker: any worker can make any chunk, and can make it again.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from kafkasim.runner import run as run_once
from kafkasim.scenario import Scenario, ScenarioError
from kafkasim.study.axes import Point
from kafkasim.study.pace import Stopwatch
from kafkasim.study.task import Row, command_of, row_of, task_of, version


@dataclass(frozen=True, slots=True)
class Piece:
    """Some runs of one point, in order."""

    point: Point
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a worker makes at a time: pieces of consecutive points, and all it needs to know of their study."""

    version: str
    scenario: Scenario
    paths: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def runs(self) -> int:
        """How many."""
        return sum(len(piece.runs) for piece in self.pieces)

    @property
    def first_command(self) -> str:
        """The command that repeats its first run."""
        piece = self.pieces[0]
        return command_of(self.scenario, piece.point.changes, self.scenario.seed + piece.runs[0])


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended in an exception: a point that is refused, or a fault of our own."""

    point: int
    run: int
    command: str
    sentence: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Made:
    """The rows of a chunk in order, up to the run that failed; and how long they took."""

    rows: tuple[Row, ...]
    seconds: float
    failed: Failed | None = None
    version: str = ""  # of a worker that is not ours, and so made nothing


def make(chunk: Chunk) -> Made:
    """Make the chunk's runs. Raises nothing of theirs: what a run raises is told with the command that repeats it."""
    if chunk.version != version():
        return Made((), 0.0, version=version())
    watch = Stopwatch()
    rows: list[Row] = []
    for piece in chunk.pieces:
        before = len(rows)
        try:
            rows.extend(_rows_of(chunk, piece))  # keeps what came before an exception
        except Exception as error:
            return Made(tuple(rows), watch.seconds(), _failed(chunk, piece, piece.runs[len(rows) - before], error))
    return Made(tuple(rows), watch.seconds())


def _rows_of(chunk: Chunk, piece: Piece) -> Iterator[Row]:
    point = piece.point
    scenario = chunk.scenario.with_(point.changes)
    behaviour = scenario.behaviour_digest
    for run in piece.runs:
        task = task_of(chunk.scenario, point, run, behaviour)
        yield row_of(task, run_once(scenario, task.seed), chunk.paths)


def _failed(chunk: Chunk, piece: Piece, run: int, error: Exception) -> Failed:
    said = str(error) if isinstance(error, ScenarioError) else f"{type(error).__name__}: {error}"
    return Failed(
        point=piece.point.index,
        run=run,
        command=command_of(chunk.scenario, piece.point.changes, chunk.scenario.seed + run),
        sentence=" ".join(said.split()),
        traceback="".join(traceback.format_exception(error)),
    )
