"""How far a sweep is, on stderr: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafkasim import console
from kafkasim.promises import number
from kafkasim.study.pace import NowAndThen

if TYPE_CHECKING:
    from kafkasim.study.collect import Progress
    from kafkasim.study.store import Tally

LINE_SECONDS = 10.0  # between two lines where there is no terminal
_ESTIMATES = (("silent_loss", "lost in silence"), ("loss", "lost anything"), ("duplication", "had an effect twice"))

Told = Callable[["Progress"], None]


@contextmanager
def sweep_progress(title: str, quiet: bool) -> Iterator[Told | None]:
    """What `collect` is to tell its progress to; None where nobody wants to see it."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(title) as told:
            yield told
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Told]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[words]}"), TimeElapsedColumn())
    bar = Bar(*columns, console=console.make_console(stderr=True), transient=True)
    task = bar.add_task(title, total=1.0, words="")

    def told(progress: Progress) -> None:
        words = f"{how_far(progress)}\n{estimates(progress.tally)}"
        bar.update(task, total=max(progress.runs, 1), completed=progress.runs_done, words=words)

    with bar:
        yield told


def _lines(title: str) -> Told:
    """A line at once when there is something to tell, then one every few seconds, and one at the end."""
    now_and_then = NowAndThen(LINE_SECONDS)
    finished = False

    def told(progress: Progress) -> None:
        nonlocal finished
        done = progress.points_done >= progress.points
        if finished or not (done or now_and_then.due()):
            return
        finished = done
        console.say(f"{title}: {how_far(progress)}; {estimates(progress.tally)}")

    return told


def how_far(progress: Progress) -> str:
    """Points, runs, rate, time left."""
    words = [
        f"{number(progress.points_done)} of {number(progress.points)} points",
        f"{number(progress.runs_done)} of {number(progress.runs)} runs",
    ]
    if progress.rate:
        words.append(f"{progress.rate:.3g} a second")
    if progress.seconds_left:
        words.append(f"{_span(progress.seconds_left)} left")
    return ", ".join(words)


def estimates(tally: Tally) -> str:
    """In what share of the runs so far something happened. Without an interval: runs of different points are no sample of anything."""
    if not tally.runs:
        return "nothing is known yet"
    return "so far " + ", ".join(f"{getattr(tally, event) / tally.runs:.0%} {words}" for event, words in _ESTIMATES)


def _span(seconds: float) -> str:
    """Roughly, as one would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
