"""What the command line prints, and how it writes files: whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafkasim.output_files import OutputError, try_to_write, write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from kafkasim.report import Report, Summary
    from kafkasim.scenario import Scenario
    from kafkasim.trace import Trace

_ERRORS_OF_OUTPUT = frozenset({errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})
_PATIENCE_S = 1.0  # nothing that takes less than this shows a progress bar


def make_console(stderr: bool = False) -> Console:
    """rich's console: colours only on a terminal, none with NO_COLOR; 100 columns at most where nobody says how wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 100, soft_wrap=False)


class Outputs:
    """The files a command was asked for. Every one is tried at once, before the work, and written whole or not at all."""

    def __init__(self, json_: str | None, trace: Path | None, plot: Path | None) -> None:
        self.json_to_stdout = json_ == "-"
        self._json = Path(json_) if json_ and json_ != "-" else None
        self._trace = trace
        self._plot = plot
        for path in (self._json, trace, plot):
            if path is not None:
                try_to_write(path)
        if plot is not None and plot.suffix.lower() not in {".png", ".svg", ".pdf"}:
            raise OutputError(f"--plot {plot}: a picture's name ends in .png, .svg or .pdf")

    @property
    def wants_json(self) -> bool:
        """Whether JSON was asked for."""
        return self.json_to_stdout or self._json is not None

    @property
    def wants_trace(self) -> bool:
        """Whether a trace was asked for."""
        return self._trace is not None

    @property
    def wants_picture(self) -> bool:
        """Whether a picture was asked for."""
        return self._plot is not None

    def write(self, document: dict[str, Any], trace: Trace | None, picture: tuple[Any, Any] | None) -> None:
        """`document` as JSON, the trace as JSON lines, the picture of (report, ledger); whatever was asked for."""
        if self.json_to_stdout:
            print(json.dumps(document, indent=2))
        if self._json is not None:
            write_whole(self._json, lambda path: path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8"))
        if self._trace is not None and trace is not None:
            write_whole(self._trace, trace.write)
        if self._plot is not None and picture is not None:
            from kafkasim.plots import plot_report

            figure = plot_report(*picture)
            write_whole(self._plot, lambda path: figure.savefig(path, format=self._plot.suffix[1:].lower()))  # type: ignore[union-attr]  # seen above


def say(sentence: str) -> None:
    """What takes long, as it begins; on stderr, so that it never mixes with results."""
    print(f"kafkasim: {sentence}", file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """What went wrong, a line each, on stderr."""
    for line in text.splitlines():
        print(f"kafkasim: {line}", file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Callable[[float, str], None] | None]:
    """A bar on a terminal's stderr for what takes over a second; nothing where output is piped."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=make_console(stderr=True), transient=True)
    task = bar.add_task(title, total=1.0)

    def tick(share: float, phase: str) -> None:
        if not bar.live.is_started and time.monotonic() - began > _PATIENCE_S:
            bar.start()
        bar.update(task, completed=min(1.0, share), description=f"{title}: {phase}")

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()


# ---------------------------------------------------------------------------------------------------- printing


def print_what_next() -> None:
    """`kafkasim` alone."""
    print(
        "kafkasim: with my Kafka settings and these failures, what do I lose, what do I get twice, and why?\n\n"
        "Try next:\n"
        "  kafkasim run zombie-leader                    a leader that is cut off and goes on acknowledging\n"
        "  kafkasim compare zombie-leader producers.shop.config.acks=all\n"
        "                                                the same failure with acks=all, side by side\n"
        "  kafkasim run zombie-leader --runs 20          over 20 seeds, with intervals\n"
        "  kafkasim run zombie-leader --plot run.png     as a picture\n"
        "  kafkasim sweep zombie-leader --vary faults.zombie.for=1s..9s/2s --plot sweep.png\n"
        "                                                how loss grows with the length of the cut\n"
        "  kafkasim scenarios                            the library\n"
        "  kafkasim show zombie-leader > mine.yaml       a scenario of your own begins as a copy of one\n"
        "  kafkasim run mine.yaml --producer-config producer.properties\n"
        "                                                with your own configuration laid over it\n"
        "  kafkasim --help                               every command"
    )


def print_report(report: Report) -> None:
    """The post-mortem of one run."""
    from kafkasim import postmortem

    postmortem.print_report(report, make_console())


def print_summary(summary: Summary) -> None:
    """Many runs of one scenario."""
    from kafkasim import postmortem

    postmortem.print_summary(summary, make_console())


def print_comparison(a: Report, b: Report) -> None:
    """Two reports side by side."""
    from kafkasim import postmortem

    postmortem.print_comparison(a, b, make_console())


def print_scenarios() -> None:
    """Name and title of every shipped scenario, and then of every study."""
    from kafkasim.scenario import Scenario
    from kafkasim.scenario_file import read_yaml, shipped_scenarios
    from kafkasim.study.study_file import find_study, shipped_studies

    names = shipped_scenarios()
    width = max(map(len, names))
    for name in names:
        print(f"{name.ljust(width)}  {Scenario.load(name).title}")
    print("\nStudies, for kafkasim sweep:\n")
    for name in shipped_studies():
        print(f"{name.ljust(width)}  {read_yaml(*find_study(name))[0]['title']}")


def print_yaml(text: str) -> None:
    """As it is written; coloured on a terminal."""
    if not sys.stdout.isatty():
        print(text, end="" if text.endswith("\n") else "\n")
        return
    from rich.syntax import Syntax

    make_console().print(Syntax(text, "yaml", background_color="default"))


def print_parameters() -> None:
    """Every modelled parameter: name, default, what is valid, and a sentence, by kind; and what other versions of Kafka say instead."""
    from kafkasim.protocol.config import Kind, added_parameters, differences, parameters

    for kind in Kind:
        print(f"\n# {kind.name.lower().replace('_', ' ')}\n")
        for parameter in parameters(kind):
            print(f"{parameter.name} = {parameter.default}    {parameter.valid}\n    {parameter.doc}")
            for sentence in differences(kind, parameter.name):
                print(f"    {sentence}")
        for version, parameter in added_parameters(kind):
            print(f"{parameter.name} = {parameter.default}    {parameter.valid}\n    Only in Kafka {version}. {parameter.doc}")


def print_effective(scenario: Scenario) -> None:
    """A scenario's effective configuration, a line a value, with its origin."""
    from rich.table import Table

    table = Table("where", "key", "value", "from", box=None, pad_edge=False)
    for place, key, value, origin in scenario.effective():
        table.add_row(place, key, str(value), origin)
    make_console().print(table)
    for sentence in scenario.notes:
        print(f"note: {sentence}")
    if scenario.not_modelled:
        print(f"not modelled: {', '.join(scenario.not_modelled)}")


def explain_failure(error: Exception) -> int:
    """Print one sentence for a failure that the user can mend, and give the exit code; re-raise what is our own fault."""
    from kafkasim.cluster.errors import ClusterError
    from kafkasim.scenario_file import ScenarioError
    from kafkasim.stores import StoreError

    kinds = {kind.__name__ for kind in type(error).__mro__}  # typer brings a click of its own, or uses the one installed
    if "Abort" in kinds:
        print("kafkasim: interrupted", file=sys.stderr)
        return 130
    if "ClickException" in kinds:
        print(f"kafkasim: {error.format_message()}", file=sys.stderr)  # type: ignore[attr-defined]  # a ClickException has it
        return 2
    if isinstance(error, ScenarioError | OutputError | StoreError | ClusterError):
        complain(str(error))
        return 2
    if isinstance(error, BrokenPipeError):  # whoever was reading has seen enough: as a shell reports SIGPIPE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, OSError):
        complain(f"{_refused(error)}: {error.strerror or error}")
        return 2
    raise error


def _refused(error: OSError) -> str:
    """What the operating system did not let us do: our own output has no name, and a process that does not start has other errors."""
    if error.filename is not None:
        return str(error.filename)
    return "the output cannot be written" if error.errno in _ERRORS_OF_OUTPUT else "this machine does not let kafkasim go on"
