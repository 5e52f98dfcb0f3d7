"""The folder of a study: `results.jsonl`, to which rows are only ever appended, and what is derived from it.

    study.json       what is studied, and by which version
    results.jsonl    the truth: a row a line, in the order in which runs ended
    results.csv      derived, in the order of the tasks; results.parquet where it is asked for

A chunk's rows are appended at once, so whatever ends a sweep costs the chunks in flight and nothing else. A line without an end is the
last one of a process that was killed, or of a disk that was full: it is cut off and said. Of each row, memory holds where it begins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from kafkasim.output_files import OutputError, try_to_write, write_whole
from kafkasim.scenario_file import Problem, ScenarioError
from kafkasim.study import derived
from kafkasim.study.file_lock import try_to_lock
from kafkasim.study.pace import NowAndThen
from kafkasim.study.reading import RowReader, described, refuse_other_study
from kafkasim.study.store import Tally, place_of, same_or_refuse
from kafkasim.study.study import Study
from kafkasim.study.task import Row

ROWS, STUDY, CSV, PARQUET = "results.jsonl", "study.json", "results.csv", "results.parquet"
SYNC_SECONDS = 5.0  # at most so much is lost when the power goes; a killed process loses nothing that it has written
NONE = -1
Say = Callable[[str], None]


def say_nothing(sentence: str) -> None:
    """For whoever does not want to hear it."""


class Results:
    """The store on disk, open for one process at a time. Make one with `Results.open`, and close it, or use it in a `with`."""

    def __init__(self, folder: Path, study: Study, file: BinaryIO, say: Say) -> None:
        self.folder = folder
        self.tally = Tally()
        self._study = study
        self._file = file
        self._say = say
        self._reader = RowReader(study)
        self._begins = np.full(len(study.points) * study.runs, NONE, np.int64)  # where each task's line begins
        self._shapes: dict[tuple[str, ...], int] = {}  # the columns of rows, and the first task that has them
        self._end = 0
        self._sync = NowAndThen(SYNC_SECONDS)

    # ------------------------------------------------------------------------------------------------ opening and closing

    @classmethod
    def open(cls, folder: Path, study: Study, *, resume: bool = False, say: Say = say_nothing) -> Self:
        """Open the study's folder, or make it. `say` is told what had to be mended.

        Raises OutputError where it cannot be written or is in use, ScenarioError where it holds what does not belong to this study, or
        rows although `resume` was not asked for.
        """
        file = _open_locked(folder)
        try:
            results = cls(folder, study, file, say)
            results._load(resume)
        except BaseException:
            file.close()
            raise
        return results

    def _load(self, resume: bool) -> None:
        empty = os.fstat(self._file.fileno()).st_size == 0
        if empty and not (self.folder / STUDY).exists() and (self.folder / CSV).exists():
            raise OutputError(f"{self.folder / CSV} was written by no sweep; choose another folder, for this one would overwrite it")
        if not empty:
            refuse_other_study(self.folder / STUDY, self._study)
            self._read()
            if not resume:
                held, all_ = self.tally.runs, len(self._begins)
                sentence = f"holds {held} of {all_} runs of this study already: go on with --resume, or choose another folder"
                raise ScenarioError([Problem(str(self.folder), sentence)])
        text = json.dumps(described(self._study), indent=1)
        write_whole(self.folder / STUDY, lambda beside: beside.write_text(text + "\n", encoding="utf-8"))

    def _read(self) -> None:
        """Find out where each row begins, and cut off a line that has no end."""
        path = self.folder / ROWS
        for line in self._reader.lines(path):
            self._note(line.row, line.begins, f"{path}:{line.number}")
            self._end = line.ends
        torn = os.fstat(self._file.fileno()).st_size - self._end
        if torn:
            self._file.truncate(self._end)
            self._say(f"{path}: its last line has no end ({torn} bytes), as a process leaves it that was killed; it was cut off.")

    def _note(self, row: Row, begins: int, where: str) -> None:
        place = place_of(row, self._study.runs)
        if self._begins[place] != NONE:
            same_or_refuse(self._at(place), row, str(self.folder / ROWS), where)
            return
        self._begins[place] = begins
        columns = tuple(row)
        self._shapes[columns] = min(place, self._shapes.get(columns, place))
        self.tally = self.tally.with_row(row)

    def close(self) -> None:
        """Give the folder free for others."""
        if not self._file.closed:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise OutputError(f"{self.folder / ROWS} is perhaps not all on the disk: {error.strerror}") from error
            finally:
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ rows

    def held(self, point: int) -> npt.NDArray[np.bool_]:
        """Of each run of the point, whether its row is held."""
        runs = self._study.runs
        return np.not_equal(self._begins[point * runs : (point + 1) * runs], NONE)

    def add(self, rows: Sequence[Row]) -> None:
        """Append the rows in one write. Rows that are here already are compared and left out.

        Raises OutputError where they cannot be written: then none of them is.
        """
        fresh: dict[int, Row] = {}
        for row in rows:
            if not self._has(row):
                same_or_refuse(fresh.setdefault(place_of(row, self._study.runs), row), row, str(self.folder / ROWS), "in the same batch")
        new = list(fresh.values())
        lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n" for row in new]
        self._append(b"".join(lines))
        begins = self._end
        for row, line in zip(new, lines, strict=True):
            self._note(row, begins, "the row that was just made")
            begins += len(line)
        self._end = begins

    def _has(self, row: Row) -> bool:
        place = place_of(row, self._study.runs)
        if self._begins[place] == NONE:
            return False
        same_or_refuse(self._at(place), row, str(self.folder / ROWS), "the row that was just made")
        return True

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
            if self._sync.due():
                os.fsync(self._file.fileno())
        except BaseException as error:  # Ctrl-C too: half a line must never be in the middle of the file
            self._file.truncate(self._end)
            if not isinstance(error, OSError):
                raise
            sentence = (
                f"{self.folder / ROWS} cannot be written: {error.strerror}. What was there is whole; make room, and go on with --resume"
            )
            raise OutputError(sentence) from error

    def rows(self) -> Iterator[Row]:
        """All rows, in the order of the tasks, one at a time."""
        return self._rows(self._begins)

    def rows_of(self, point: int) -> list[Row]:
        """The point's rows, in the order of their seeds."""
        runs = self._study.runs
        return list(self._rows(self._begins[point * runs : (point + 1) * runs]))

    def _rows(self, begins: npt.NDArray[np.int64]) -> Iterator[Row]:
        with (self.folder / ROWS).open("rb") as file:
            for offset in begins:
                if offset != NONE:
                    file.seek(int(offset))
                    yield json.loads(file.readline())

    def _at(self, place: int) -> Row:
        return next(self._rows(self._begins[place : place + 1]))

    # ------------------------------------------------------------------------------------------------ what is derived

    def columns(self) -> tuple[str, ...]:
        """Those of all rows, in the order of the first task that has each; `command` is the last."""
        shapes = sorted(self._shapes, key=lambda columns: self._shapes[columns])
        columns = dict.fromkeys(column for shape in shapes for column in shape if column != "command")
        return (*columns, "command")

    def derive(self) -> None:
        """Write results.csv anew."""
        if self.tally.runs:
            derived.write_csv(self.folder / CSV, self.columns(), self.rows())

    def derive_parquet(self) -> None:
        """Write results.parquet anew; needs the extra `sweep`."""
        if self.tally.runs:
            derived.write_parquet(self.folder / PARQUET, self.columns(), self.rows)

    # ------------------------------------------------------------------------------------------------ merging

    def merge(self, other: Path) -> int:
        """Append the rows of another machine's folder of this study that are missing here, and say how many. Raises ScenarioError."""
        if not (other / ROWS).is_file():
            raise ScenarioError([Problem(str(other), f"holds no results of a sweep: there is no {ROWS}")])
        refuse_other_study(other / STUDY, self._study)
        before, batch = self.tally.runs, list[Row]()
        for line in self._reader.lines(other / ROWS):
            place = place_of(line.row, self._study.runs)
            if self._begins[place] != NONE:
                same_or_refuse(self._at(place), line.row, str(self.folder / ROWS), f"{other / ROWS}:{line.number}")
                continue
            batch.append(line.row)
            if len(batch) == derived.ROWS_A_GROUP:
                self.add(batch)
                batch = []
        self.add(batch)
        return self.tally.runs - before


def merge(folder: Path, others: Sequence[Path], study: Study, say: Say = say_nothing) -> int:
    """Bring the rows of other machines' folders of the same study into `folder`, derive results.csv, and say how many rows were new."""
    with Results.open(folder, study, resume=True, say=say) as results:
        try:
            return sum(results.merge(other) for other in others)
        finally:
            results.derive()


def _open_locked(folder: Path) -> BinaryIO:
    """The file of rows, open for appending and for us alone."""
    path = folder / ROWS
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; a sweep keeps its results in a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    try_to_write(path)
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if not try_to_lock(file):
        file.close()
        raise OutputError(f"{folder} is in use: another sweep writes its results there; wait for it, or choose another folder")
    return file
