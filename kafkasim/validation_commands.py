"""`kafkasim validate`: many scenarios on few clusters, each comparison printed and kept as soon as it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kafkasim import console
from kafkasim.cluster.errors import ClusterError
from kafkasim.output_files import OutputError, write_whole
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import ScenarioError
from kafkasim.validation_page import page, print_comparison, print_overview
from kafkasim.validation_records import REASONS, Reasons, Recorded, read_all, read_reasons, reasons_at_hand
from kafkasim.validator import all_agree, simulate_again, validate

if TYPE_CHECKING:
    from kafkasim.cluster.real_kafka import RealKafka


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    scenarios: Sequence[Scenario]
    runs: int
    seeds: int
    markdown: Path | None
    plot: Path | None
    record: Path | None
    recorded: Path | None  # where comparisons of other days lie
    again: bool


def compare_all(request: Request, backend: RealKafka | None, outputs: console.Outputs, check: bool) -> int:
    """Compare, print, write; the exit code. What fails is said and the others go on; interrupted, what was finished is printed and kept.

    `backend` is None where nothing is to be run: everything is recorded.
    """
    records: list[Recorded] = []
    failures: list[str] = []
    reasons: Reasons = {}
    interrupted = False
    paper = console.make_console()
    try:
        if backend is None:
            records, reasons = _recorded(request, outputs, failures)
        else:
            reasons = reasons_at_hand(request.record) if request.record is not None else {}
            for record in _fresh(request, backend, outputs, failures):
                records.append(record)
                if not outputs.json_to_stdout:
                    print_comparison(record.comparison(reasons), paper)
    except KeyboardInterrupt:
        interrupted = True
    if records:
        _show(request, records, reasons, failures, outputs)
    if interrupted:
        return 130
    return 2 if failures else int(check and not all_agree(records))


def _show(request: Request, records: Sequence[Recorded], reasons: Reasons, failures: Sequence[str], outputs: console.Outputs) -> None:
    """What is shown of all of them together, and written."""
    comparisons = [record.comparison(reasons) for record in records]
    outputs.write({"comparisons": [comparison.to_dict() for comparison in comparisons], "failures": list(failures)}, None, None)
    if not outputs.json_to_stdout and (len(records) > 1 or request.recorded is not None):
        print_overview(comparisons, console.make_console())
    if request.plot is not None:
        from kafkasim.plots import plot_validation

        figure = plot_validation(comparisons)
        write_whole(request.plot, partial(figure.savefig, format=request.plot.suffix[1:].lower(), bbox_inches="tight"))
    if request.markdown is not None:
        picture = os.path.relpath(request.plot, request.markdown.parent) if request.plot is not None else ""
        write_whole(request.markdown, partial(Path.write_text, data=page(records, reasons, picture), encoding="utf-8"))


def _recorded(request: Request, outputs: console.Outputs, failures: list[str]) -> tuple[list[Recorded], Reasons]:
    """What lies in --from, simulated once more where --again says so, and the reasons beside it."""
    assert request.recorded is not None, "what is not run is recorded"
    records = read_all(request.recorded)
    if request.again:
        with console.progress("simulating again", quiet=outputs.json_to_stdout) as tick:
            for record in records:
                with _said(failures):
                    simulate_again(record, request.seeds, tick).write(request.recorded)
        records = read_all(request.recorded)
    return list(records), read_reasons(request.recorded / REASONS, records)


def _fresh(request: Request, backend: RealKafka, outputs: console.Outputs, failures: list[str]) -> Iterator[Recorded]:
    """Each as soon as it is there, and in --record by then."""
    if request.record is not None:
        request.record.mkdir(parents=True, exist_ok=True)
    # Scenarios that can share a cluster come one after another: starting brokers takes longer than most of them.
    for scenario in sorted(request.scenarios, key=backend.cluster_of):
        record: Recorded | None = None
        with _said(failures, scenario.name):
            with console.progress(scenario.name, quiet=outputs.json_to_stdout) as tick:
                measured = partial(_print_calibration, quiet=outputs.json_to_stdout)
                record = validate(scenario, backend, request.runs, request.seeds, tick, measured)
            if request.record is not None:
                record.write(request.record)
        if record is not None:
            yield record


@contextmanager
def _said(failures: list[str], of: str = "") -> Iterator[None]:
    """A failure that the user can mend is told at once, and ends nothing but what it happened in."""
    try:
        yield
    except (ClusterError, OutputError, ScenarioError) as error:
        sentence = f"{of}: {error}" if of else str(error)
        failures.append(sentence)
        console.complain(sentence)


def _print_calibration(measured: dict[str, float], quiet: bool) -> None:
    if not quiet:
        said = ", ".join(f"{name} {value:g} ms" for name, value in measured.items())
        console.say(f"calibrated: {said}; nothing else is fitted")
