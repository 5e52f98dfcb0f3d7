"""When a real run that disagrees may be followed by another one: a shared machine may stop everything for a while."""

from collections.abc import Sequence

from kafkasim.validation_rows import Comparison, NumberRow

DRAWS = 3


def may_be_drawn_again(drawn: Sequence[Comparison]) -> bool:
    """Whether all that disagrees in the last one is numbers: no verdict, and no fault. Whoever stands still for 0.1 s counts otherwise."""
    return len(drawn) < DRAWS and all(isinstance(row, NumberRow) for row in drawn[-1].disagreeing)
