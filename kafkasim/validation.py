"""The simulator against real brokers: over many seeds it gives each number a range; a real run is one draw and has to lie within it.

What is compared: every count of a report, its rates, its verdicts, and whether each fault struck. Times (latency, throughput, outages) are
shown and never judged: they are a machine's. It works on reports and on what a file keeps of them (validation_records.py), and knows
neither the simulator nor a cluster. Where the line is drawn: `allowed` in validation_rows.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kafkasim.circumstances import ADMINISTRATIVE
from kafkasim.ledger import FaultApplied
from kafkasim.promises import HELD, UNKNOWN, VIOLATED
from kafkasim.report import Report
from kafkasim.scenario_expect import COUNTS, GROUP_COUNTS, PRICES, RATES
from kafkasim.validation_rows import (
    ALLOWED_RECORDS,
    DIGITS,
    DONE,
    NEVER_FIRED,
    NOBODY,
    NOT_APPLIED,
    NOT_PROMISED,
    Comparison,
    FaultRow,
    Kind,
    Number,
    NumberRow,
    Row,
    VerdictRow,
    allowed,
)

VERDICTS = (HELD, VIOLATED, UNKNOWN, NOT_PROMISED)

Word = Literal["held", "violated", "unknown", "not promised"]


# ------------------------------------------------------------------------------------------------- what is kept of reports


class Kept(BaseModel):
    """What may go into a file: nothing changes it, it takes no key it does not know, and no text for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class AppliedFault(Kept):
    """A fault as a real run had it. Times in ms since the workload began; None: it never fired, or lasted to the end."""

    name: str
    fault: str
    nodes: Words
    fired: Number | None
    ended: Number | None
    supported: bool

    @classmethod
    def of(cls, applied: FaultApplied) -> AppliedFault:
        """From a report, to a tenth of a millisecond."""
        fired, ended = (None if time is None else round(time, 1) for time in (applied.fired, applied.ended))
        return cls(name=applied.name, fault=applied.fault, nodes=applied.nodes, fired=fired, ended=ended, supported=applied.supported)

    @property
    def key(self) -> str:
        """Its row: "fault zombie", or "fault 0" where it has no name."""
        return self.name if self.name.startswith("fault ") else f"fault {self.name}"

    @property
    def outcome(self) -> str:
        """What became of it, as FaultRow has it."""
        if not self.supported:
            return NOT_APPLIED
        if self.fired is None:
            return NEVER_FIRED
        if self.fault in ADMINISTRATIVE:
            return DONE
        return NOBODY if not self.nodes else "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"


class Draw(Kept):
    """One real run: `numbers` by report key (None: this backend could not count it), `verdicts` by "durability of shop".

    `notes`: what was worth a note in this run and is in no simulated one, such as what a drain that did not end still waited for.
    """

    seed: int
    numbers: Mapping[str, Number | None]
    verdicts: Mapping[str, Word]
    faults: Annotated[tuple[AppliedFault, ...], BeforeValidator(_as_tuple)]
    notes: Words = ()

    @classmethod
    def of(cls, report: Report, usual: Collection[str] = ()) -> Draw:
        """What of a report is compared, and its notes but for the `usual` ones, which simulated reports have too."""
        faults = tuple(AppliedFault.of(fault) for fault in report.faults_applied)
        known = tuple(f"{fault.name} {word}" for fault in faults for word in (NEVER_FIRED, "hit nobody"))  # `_notes` says that
        notes = tuple(note for note in report.notes if note not in usual and not note.startswith(known))
        kept = {"seed": report.seed, "numbers": numbers_of(report), "verdicts": verdicts_of(report), "faults": faults, "notes": notes}
        return cls.model_validate(kept)


class Ranges(Kept):
    """What the simulator's seeds span: least and most of each number (None: no seed has it), and every verdict that occurred.

    `faults`: what became of each fault over the seeds, by the key of its row; empty in records that are older than that.
    """

    seeds: str  # "1..50"
    numbers: Mapping[str, Annotated[tuple[Number, Number], BeforeValidator(_as_tuple)] | None]
    verdicts: Mapping[str, Annotated[tuple[Word, ...], BeforeValidator(_as_tuple)]]
    faults: Mapping[str, Words] = Field(default_factory=dict)


def simulate_ranges(reports: Sequence[Report]) -> Ranges:
    """The ranges of one scenario's reports. Raises ValueError without any, and for reports of different scenarios."""
    _same_scenario(reports)
    rows = [numbers_of(report) for report in reports]
    numbers: dict[str, tuple[Number, Number] | None] = {}
    for key in rows[0]:
        known = [value for row in rows if (value := row[key]) is not None]
        numbers[key] = (min(known), max(known)) if known else None
    judged = [verdicts_of(report) for report in reports]
    seen = {key: [words.get(key, NOT_PROMISED) for words in judged] for words in judged for key in words}
    verdicts = {key: tuple(word for word in VERDICTS if word in words) for key, words in seen.items()}
    outcomes: dict[str, list[str]] = {}
    for report in reports:
        for fault in map(AppliedFault.of, report.faults_applied):
            outcomes.setdefault(fault.key, []).append(fault.outcome)
    faults = {key: tuple(sorted(dict.fromkeys(words))) for key, words in outcomes.items()}
    seeds = _seed_words([report.seed for report in reports])
    return Ranges.model_validate({"seeds": seeds, "numbers": numbers, "verdicts": verdicts, "faults": faults})


def draws_of(simulated: Sequence[Report], real: Sequence[Report]) -> tuple[Draw, ...]:
    """What is kept of the real reports, beside simulated ones of the same scenario."""
    usual = {note for report in simulated for note in report.notes}
    return tuple(Draw.of(report, usual) for report in real)


def numbers_of(report: Report) -> dict[str, Number | None]:
    """Every number that a comparison shows, by its flat key, in the report's order; None where a backend could not count it."""
    groups = [f"groups.{group}.{key}" for group in report.groups for key in GROUP_COUNTS]
    row = report.flat()
    return {key: _plain(row.get(key)) for key in (*COUNTS, *groups, *RATES, *PRICES)}


def verdicts_of(report: Report) -> dict[str, str]:
    """The verdict on each promise of each thing. What is missing here was not promised, and cost nothing."""
    words = {f"{verdict.promise} of {verdict.of}": verdict.verdict for verdict in report.verdicts}
    return words | {f"{item.promise} of {item.of}": NOT_PROMISED for item in report.not_promised}


# ---------------------------------------------------------------------------------------------------------------- comparing


def compare_runs(simulated: Sequence[Report], real: Sequence[Report]) -> Comparison:
    """The table of one scenario. Raises ValueError where a side has no run, or where they are runs of different scenarios."""
    _same_scenario(simulated)
    _same_scenario(real)
    _same_scenario([simulated[0], real[0]])
    return compare(simulated[0].name, simulate_ranges(simulated), draws_of(simulated, real))


def compare(scenario: str, ranges: Ranges, draws: Sequence[Draw]) -> Comparison:
    """The same from what is kept of the reports. Numbers in the report's order, then promises, then faults; keys of either side."""
    sent = ranges.numbers.get("sent") or (0, 0)
    keys = dict.fromkeys([*ranges.numbers, *(key for draw in draws for key in draw.numbers)])
    rows: list[Row] = [_number_row(key, ranges.numbers.get(key), draws, sent[1]) for key in keys]
    promises = dict.fromkeys([*ranges.verdicts, *(key for draw in draws for key in draw.verdicts)])
    rows += [_verdict_row(key, ranges, draws) for key in promises]
    outcomes = [{fault.key: fault.outcome for fault in draw.faults} for draw in draws]
    for key in dict.fromkeys([*ranges.faults, *(key for outcome in outcomes for key in outcome)]):
        rows.append(FaultRow(key, ranges.faults.get(key, ()), tuple(outcome.get(key, NEVER_FIRED) for outcome in outcomes)))
    return Comparison(scenario, ranges.seeds, tuple(draw.seed for draw in draws), tuple(rows), _notes(draws))


def _number_row(key: str, simulated: tuple[Number, Number] | None, draws: Sequence[Draw], sent: float) -> NumberRow:
    """`sent`: the most that any seed sent, so that a rate is judged too strictly rather than too mildly."""
    kind: Kind = "rate" if key in RATES else "time" if key in PRICES else "count"
    limits = None
    if simulated is not None and kind != "time":
        limits = allowed(*simulated, records=ALLOWED_RECORDS / max(sent, 1) if kind == "rate" else ALLOWED_RECORDS)
    return NumberRow(key, kind, simulated, limits, tuple(draw.numbers.get(key) for draw in draws))


def _verdict_row(key: str, ranges: Ranges, draws: Sequence[Draw]) -> VerdictRow:
    real = tuple(draw.verdicts.get(key, NOT_PROMISED) for draw in draws)
    hindered = [any(not fault.supported for fault in draw.faults) for draw in draws]
    untested = tuple(word == UNKNOWN and missing for word, missing in zip(real, hindered, strict=True))
    return VerdictRow(key, ranges.verdicts.get(key, (NOT_PROMISED,)), real, untested)


def _notes(draws: Sequence[Draw]) -> tuple[str, ...]:
    """A real run without one of its faults is a draw of something else, and that is said beside the table; so is what else was noted."""
    said = {NOT_APPLIED: "could not be applied", NEVER_FIRED: "never fired", NOBODY: "hit nobody"}
    sentences = []
    for draw in draws:
        reasons = tuple(note.partition(" was not applied: ")[0] for note in draw.notes if " was not applied: " in note)
        missing = [fault for fault in draw.faults if fault.outcome in said and fault.name not in reasons]
        about = [f"{fault.fault} {said[fault.outcome]}" for fault in missing]
        sentences += [f"Real run with seed {draw.seed}: {what.rstrip('.')}." for what in (*about, *draw.notes)]
    return tuple(sentences)


def _same_scenario(reports: Sequence[Report]) -> None:
    if not reports:
        raise ValueError("there is no run to compare")
    first = reports[0]
    for report in reports:
        if (report.name, sorted(report.groups)) != (first.name, sorted(first.groups)):
            raise ValueError(f"these are runs of different scenarios: {first.name} and {report.name}, or their groups differ")


def _seed_words(seeds: Sequence[int]) -> str:
    """1, 2, 3, 7 as "1..3, 7"."""
    ordered = sorted(dict.fromkeys(seeds))
    breaks = [0, *(place for place, (a, b) in enumerate(pairwise(ordered), 1) if b != a + 1), len(ordered)]
    parts = [ordered[start:end] for start, end in pairwise(breaks)]
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}..{part[-1]}" for part in parts)


def _plain(value: object) -> Number | None:
    """A whole number stays whole; others are rounded, so that a file and the reports it was made of compare alike."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) else round(value, DIGITS)
