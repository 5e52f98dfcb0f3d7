"""When a real run that disagrees may be followed by another one: a shared machine may stop everything for a while."""

from collections.abc import Sequence

from kafkasim.validation_rows import Comparison, NumberRow

DRAWS = 3


def may_be_drawn_again(drawn: Sequence[Comparison]) -> bool:
    """Whether all that disagrees in the last one is numbers that some seed has too: no verdict, no fault, no news."""
    return len(drawn) < DRAWS and all(
        isinstance(row, NumberRow) and row.simulated is not None and row.simulated[1] > 0 for row in drawn[-1].disagreeing
    )
