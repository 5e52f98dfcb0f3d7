"""What is still to be made, in which order: fresh points as the design has them, and the next rounds of points that are not done.

A point's runs go in rounds that end where the rules of `until` are asked. A round begins when the one before is complete, and the answer
depends on that point's rows alone. So the rows of a study are the same, whoever was faster, and however often it was interrupted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from kafkasim.study.stopping import enough, next_question
from kafkasim.study.store import Store
from kafkasim.study.study import Study
from kafkasim.study.task import Row
from kafkasim.study.work import Piece


class Agenda:
    """The part `number` of `of` of a study: every `of`-th point."""

    def __init__(self, study: Study, store: Store, part: tuple[int, int] = (1, 1)) -> None:
        number, of = part
        assert 1 <= number <= of, "parts are counted from 1"
        mine = range(number - 1, len(study.points), of)
        self._study, self._store = study, store
        self._fresh: Iterator[int] = iter(mine)
        self._next_rounds: deque[Piece] = deque()
        self._missing: dict[int, int] = {}  # of points whose round is being made: how many runs of it
        self._asked: dict[int, int] = {}  # and after how many runs their rules were asked last
        self.points, self.points_done = len(mine), 0
        self.runs = len(mine) * study.runs  # at most: `until` makes it fewer
        self.runs_done = sum(int(np.count_nonzero(store.held(point))) for point in mine)

    def take(self, runs: int) -> tuple[Piece, ...]:
        """At most so many runs of consecutive points; none where nothing can begin before what is in flight has come back."""
        pieces: list[Piece] = []
        while runs > 0 and (piece := self._next_piece()) is not None:
            pieces.append(Piece(piece.point, piece.runs[:runs]))
            if rest := piece.runs[runs:]:
                self._next_rounds.appendleft(Piece(piece.point, rest))
            runs -= len(piece.runs)
        return tuple(pieces)

    def came_back(self, rows: Sequence[Row]) -> None:
        """These runs were made and are in the store."""
        self.runs_done += len(rows)
        for row in rows:
            point = int(row["point"] or 0)
            self._missing[point] -= 1
            if not self._missing[point]:
                del self._missing[point]
                if (piece := self._next_round(point)) is not None:
                    self._next_rounds.append(piece)

    def _next_piece(self) -> Piece | None:
        if self._next_rounds:
            return self._next_rounds.popleft()
        for point in self._fresh:
            if (piece := self._next_round(point)) is not None:
                return piece
        return None

    def _next_round(self, point: int) -> Piece | None:
        """What is missing of the point's first round that is not complete; None when the point is done."""
        study, held = self._study, self._store.held(point)
        rows = self._store.rows_of(point) if study.until and held.any() else []
        after = self._asked.pop(point, 0)
        while after < study.runs:
            end = next_question(study.until, after, study.runs)
            missing = np.flatnonzero(~held[after:end]) + after
            if len(missing):
                self._asked[point], self._missing[point] = after, len(missing)
                return Piece(study.points[point], tuple(missing.tolist()))
            after = end
            if after < study.runs and enough(study.until, rows[:after]):
                break
        self.points_done += 1
        self.runs -= study.runs - after
        return None
