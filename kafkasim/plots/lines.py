"""The lines of a picture as data: a line a level of one axis, a cell (mean and interval) a level of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafkasim.plots.levels import Level, Scale, common
from kafkasim.plots.measure import Cell, Measure, cell_of
from kafkasim.plots.style import PALETTE
from kafkasim.study.table import StudyTable

MOST_LINES = len(PALETTE)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its words (empty where it is the only one), its look, and a cell a level of the x axis that it has."""

    words: str
    setting: str  # "acks = all"
    look: int
    levels: tuple[Level, ...]
    cells: tuple[Cell, ...]

    @property
    def colour(self) -> str:
        """Of line, band and words."""
        return PALETTE[self.look]


def curves_of(table: StudyTable, measure: Measure, across: Scale, split: Scale | None, among: Sequence[int] | None = None) -> list[Curve]:
    """A curve a level of `split` (one, without), of the points `among` only."""
    every = tuple(range(table.points)) if among is None else tuple(among)
    lines = split.levels if split is not None else (Level(0.0, "", every),)
    curves = []
    for look, line in enumerate(lines):
        kept = Level(0.0, "", common(line, Level(0.0, "", every)))
        pairs = [(level, shared) for level in across.levels if (shared := common(level, kept))]
        curves.append(
            Curve(
                line.words,
                split.setting(line) if split is not None else "",
                look,
                tuple(level for level, _ in pairs),
                tuple(cell_of(table, measure, shared) for _, shared in pairs),
            )
        )
    return curves
