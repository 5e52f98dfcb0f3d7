"""`kafkasim validate`: many scenarios on few clusters, each comparison printed and kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kafkasim import console
from kafkasim.scenario import Scenario
from kafkasim.validation_page import page, print_comparison, print_overview
from kafkasim.validation_records import Reasons, Recorded, read_all, read_reasons
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
    record: Path | None
    recorded: Path | None  # where comparisons of other days lie
    again: bool


def compare_all(request: Request, backend: RealKafka, outputs: console.Outputs, check: bool) -> int:
    """Compare, print, write; the exit code. Interrupted, what was finished is printed and kept."""
    records: list[Recorded] = []
    reasons: Reasons = {}
    interrupted = False
    paper = console.make_console()
    if request.record is not None:
        request.record.mkdir(parents=True, exist_ok=True)
    try:
        for record, why in _comparisons(request, backend, outputs):
            records.append(record)
            reasons = why
            if request.record is not None:
                record.write(request.record)
            if not outputs.json_to_stdout and request.recorded is None:
                print_comparison(record.comparison(reasons), paper)
    except KeyboardInterrupt:
        interrupted = True
    if not records:
        return 130
    comparisons = [record.comparison(reasons) for record in records]
    outputs.write({"comparisons": [comparison.to_dict() for comparison in comparisons]}, None, None)
    if not outputs.json_to_stdout and (len(records) > 1 or request.recorded is not None):
        print_overview(comparisons, paper)
    if request.markdown is not None:
        console.write_whole(request.markdown, partial(Path.write_text, data=page(records, reasons), encoding="utf-8"))
    return 130 if interrupted else int(check and not all_agree(records))


def _comparisons(request: Request, backend: RealKafka, outputs: console.Outputs) -> Iterator[tuple[Recorded, Reasons]]:
    """Each with the reasons that are known by then for what disagrees."""
    if request.recorded is not None:
        records = read_all(request.recorded)
        if request.again:
            with console.progress("simulating again", quiet=outputs.json_to_stdout) as tick:
                for record in records:
                    simulate_again(record, request.seeds, tick).write(request.recorded)
            records = read_all(request.recorded)
        reasons = read_reasons(request.recorded / "reasons.yaml", records)
        yield from ((record, reasons) for record in records)
        return
    # Scenarios that can share a cluster come one after another: starting brokers takes longer than most of them.
    for scenario in sorted(request.scenarios, key=backend.cluster_of):
        with console.progress(scenario.name, quiet=outputs.json_to_stdout) as tick:
            measured = partial(_print_calibration, quiet=outputs.json_to_stdout)
            yield validate(scenario, backend, request.runs, request.seeds, tick, measured), {}


def _print_calibration(measured: dict[str, float], quiet: bool) -> None:
    if not quiet:
        said = ", ".join(f"{name} {value:g} ms" for name, value in measured.items())
        console.say(f"calibrated: {said}; nothing else is fitted")
