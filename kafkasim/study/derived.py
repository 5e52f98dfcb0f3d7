"""What is made of rows: a CSV file, and a Parquet file with the extra. A row at a time, in the order given, so that memory stays flat.

No wall-clock column and no order of completion reaches them: equal work gives byte-equal files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kafkasim.output_files import OutputError, write_whole
from kafkasim.study.task import Row

ROWS_A_GROUP = 10_000  # of Parquet's row groups


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """One header, a row a run; null is an empty field, true and false as JSON has them. Raises OutputError."""

    def write(beside: Path) -> None:
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_field(row.get(column)) for column in columns] for row in rows)

    write_whole(path, write)


def _field(value: object) -> object:
    return json.dumps(value) if isinstance(value, bool) else value


def write_parquet(path: Path, columns: Sequence[str], rows: Callable[[], Iterator[Row]]) -> None:
    """The same columns with types, in groups of rows. `rows` is called twice: a column's type is known when all its values have been seen.

    A column of which some values are texts is a column of texts. Raises OutputError, also where the extra is missing.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise OutputError("Parquet needs the extra `sweep`: pip install 'kafkasim[sweep]'") from None
    kinds = _kinds(columns, rows())
    types = {"bool": pyarrow.bool_(), "int": pyarrow.int64(), "float": pyarrow.float64(), "text": pyarrow.string()}
    schema = pyarrow.schema([(column, types[kinds[column]]) for column in columns])

    def write(beside: Path) -> None:
        with parquet.ParquetWriter(beside, schema) as writer:
            source = rows()
            while group := list(islice(source, ROWS_A_GROUP)):
                data = {column: [_typed(row.get(column), kinds[column]) for row in group] for column in columns}
                writer.write_table(pyarrow.table(data, schema=schema))

    write_whole(path, write)


def _kinds(columns: Sequence[str], rows: Iterator[Row]) -> dict[str, str]:
    """The narrowest of bool, int, float and text that holds all of a column's values; float where there is none."""
    seen: dict[str, set[str]] = {column: set() for column in columns}
    for row in rows:
        for column in columns:
            seen[column].add(_kind(row.get(column)))
    return {column: _together(kinds - {"null"}) for column, kinds in seen.items()}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "text"
    return "float" if isinstance(value, float) else "text"


def _together(kinds: set[str]) -> str:
    if not kinds or kinds == {"float", "int"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "text"


def _typed(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    return str(_field(value)) if kind == "text" else value
