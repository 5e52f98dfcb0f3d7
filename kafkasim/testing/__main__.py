"""A deep campaign: `python -m kafkasim.testing --runs 20000 --jobs 2 --seed 1`. Progress, counts, and each violation with its scenario.

It goes in parts of some runs each, and a part depends on nothing but the seed and its own number: `--first-part` goes on where a
campaign was broken off. Exit code 1 if anything was violated.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kafkasim.testing.campaign import Outcome, campaign
from kafkasim.testing.sometimes import SOMETIMES

PART = 200  # runs: some ten seconds


def part(number: int, runs: int, seed: int) -> Outcome:
    """The part of that number."""
    return campaign(runs, seed * 1_000_003 + number)


def table(total: Outcome) -> Table:
    """What was reached, how often, and in how many runs."""
    shown = Table("sometimes", "times", "in runs", box=None)
    for name in SOMETIMES:
        shown.add_row(name, str(total.reached[name]), str(total.runs_that_reached[name]))
    for name, count in sorted(total.waived.items()):
        shown.add_row(f"waived: {name}", str(count), "")
    return shown


def main(
    runs: Annotated[int, typer.Option(help="how many random scenarios")] = 20_000,
    jobs: Annotated[int, typer.Option(help="how many processes")] = 1,
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 1,
    first_part: Annotated[int, typer.Option(help="go on with this part of a campaign")] = 0,
) -> None:
    """Hold random scenarios to every invariant of replication, and to what their configurations promise."""
    console, total, violations = Console(), Outcome(), 0
    sizes = [min(PART, runs - done) for done in range(0, runs, PART)]
    numbers = range(first_part, len(sizes))
    with ProcessPoolExecutor(jobs) as pool:
        outcomes = pool.map(part, numbers, [sizes[number] for number in numbers], [seed] * len(numbers))
        for number, outcome in zip(numbers, outcomes, strict=True):
            total.add(outcome)
            if outcome.violation:
                violations += 1
                console.print(f"\npart {number}: {outcome.violation}\n", markup=False, highlight=False, soft_wrap=True)
            console.print(f"part {number + 1} of {len(sizes)}: {total.runs} runs, {violations} violations", highlight=False)
    console.print(table(total))
    console.print(f"{total.runs} scenarios, {violations} violations", highlight=False)
    raise typer.Exit(1 if violations else 0)


if __name__ == "__main__":
    typer.run(main)
