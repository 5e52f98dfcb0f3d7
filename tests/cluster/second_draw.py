"""When a real run that disagrees may be followed by a second one: a shared machine may stop everything for a second."""

from kafkasim.validation_rows import Comparison, NumberRow


def may_be_drawn_again(comparison: Comparison) -> bool:
    """Whether all that disagrees is numbers that some seed has too: no verdict, no fault, and nothing that the simulator never shows."""
    return all(isinstance(row, NumberRow) and row.simulated is not None and row.simulated[1] > 0 for row in comparison.disagreeing)
