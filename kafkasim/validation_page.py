"""Comparisons on paper: for a terminal, as markdown, and docs/VALIDATION.md as a whole. The same records give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkasim.promises import HELD, number
from kafkasim.validation_records import Reasons, Recorded
from kafkasim.validation_rows import ALLOWED_RECORDS, ALLOWED_SHARE, NOT_PROMISED, Comparison, FaultRow, NumberRow, Row, VerdictRow

_JUDGED = "numbers, verdicts and faults"
_HEADINGS = ("", "simulator", "real", "agrees")
_MAIN = {"lost in silence": "acked_lost", "twice in the log": "log_duplicates", "handled again": "reprocessed"}

# ------------------------------------------------------------------------------------------------------------- on a terminal


def print_comparison(comparison: Comparison, console: Console) -> None:
    """One scenario's table; what is zero on both sides, and what held on both, is one line each."""
    console.print()
    console.print(Text.assemble((comparison.scenario, "bold cyan"), f"  {_runs(comparison)}"))
    console.print()
    console.print(Text(verdict(comparison), style="bold" if comparison.agrees else "bold red"))
    console.print()
    table = _table(*_HEADINGS)
    for row in _loud(comparison):
        table.add_row(row.key, row.simulator_words, _real_text(row), _agreement_text(comparison, row))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()
    for sentence in (*comparison.notes, *_quiet_sentences(comparison)):
        console.print(Padding(Text(sentence, style="bright_black"), (0, 0, 0, 2)))


def print_overview(comparisons: Sequence[Comparison], console: Console) -> None:
    """Several scenarios, a line each, and a sentence over all."""
    table = _table("scenario", "real runs", "compared", "agree", "disagree")
    for comparison in comparisons:
        judged, wrong = len(comparison.judged), len(comparison.disagreeing)
        style = "" if comparison.agrees else "bold red"
        table.add_row(comparison.scenario, str(len(comparison.real_seeds)), str(judged), str(judged - wrong), Text(str(wrong), style=style))
    console.print()
    console.print(Text(in_all(comparisons), style="bold"))
    console.print()
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def verdict(comparison: Comparison) -> str:
    """One sentence: of so many numbers, verdicts and faults, how many agree."""
    judged, wrong = len(comparison.judged), comparison.disagreeing
    if not wrong:
        return f"All {number(judged)} {_JUDGED} that were compared agree."
    return f"Of {number(judged)} {_JUDGED} {number(judged - len(wrong))} agree; not: {', '.join(row.key for row in wrong)}."


def in_all(comparisons: Sequence[Comparison]) -> str:
    """One sentence over all scenarios."""
    judged = sum(len(comparison.judged) for comparison in comparisons)
    wrong = sum(len(comparison.disagreeing) for comparison in comparisons)
    runs = sum(len(comparison.real_seeds) for comparison in comparisons)
    unexplained = sum(len(comparison.unexplained) for comparison in comparisons)
    without = f", {number(unexplained)} of them without a reason" if unexplained else ", each with its reason" if wrong else ""
    counted = f"of {number(judged)} {_JUDGED} {number(judged - wrong)} agree and {number(wrong)} {'does' if wrong == 1 else 'do'} not"
    return f"{_many(len(comparisons), 'scenario')}, {_many(runs, 'real run')}: {counted}{without}."


# --------------------------------------------------------------------------------------------------------------- as markdown


def to_markdown(comparison: Comparison) -> str:
    """One scenario's table as markdown, with the sentences under it; ends with a line end."""
    lines = [_line("", "simulator", "real", "agrees"), "|---|---|---|---|"]
    for row in _loud(comparison):
        real = ", ".join(f"**{words}**" if out else words for words, out in zip(row.real_words, row.outside, strict=True))
        lines.append(_line(f"`{row.key}`" if isinstance(row, NumberRow) else row.key, row.simulator_words, real, comparison.agreement(row)))
    lines += [f"\n{sentence}" for sentence in (*comparison.notes, *_quiet_sentences(comparison))]
    return "\n".join(lines) + "\n"


def page(records: Sequence[Recorded], reasons: Reasons | None = None, picture: str = "") -> str:
    """docs/VALIDATION.md: what is compared and how, where, a row a scenario, and a section a scenario.

    `picture`: the path of `plots.plot_validation`'s image as seen from the page; "" for none.
    """
    ordered = sorted(records, key=lambda record: record.scenario)
    comparisons = [record.comparison(reasons) for record in ordered]
    parts = [_INTRODUCTION.strip(), f"**{in_all(comparisons)}**"]
    if picture:
        parts.append(f"![For every scenario, the simulator's range as a bar and each real run as a dot]({picture})")
    parts += ["## Where it was run", _environments(ordered), "## Summary", _summary(ordered, comparisons), _SUMMARY_NOTE.strip()]
    parts.append("## Scenario by scenario")
    parts += [_section(record, comparison) for record, comparison in zip(ordered, comparisons, strict=True)]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = f"""
# Validation

What the simulator says, beside what real Kafka did. This page is written by `kafkasim validate` from the files in `docs/validation/`;
do not edit it.

**What is compared.** The same scenario file runs in the simulator and on real brokers with real clients. Either fills the same ledger,
and the same code counts and judges it. Over many seeds the simulator gives every number of the report a range. A real run is one draw:
it has to lie within that range.

**How closely.** Each bound of the range is moved outwards by the larger of {ALLOWED_RECORDS} records and
{100 * ALLOWED_SHARE:.0f} % of itself, never below zero: that is what scheduling does to a real run. Where every seed says zero, zero it
must be. A rate is judged like its records: {ALLOWED_RECORDS} records of all sent. The verdict on each promise must be one that some
seed produces; `unknown`, because the cluster cannot apply a fault, contradicts nothing, and is shown as such. Each fault must have struck,
and as many nodes as in some seed; one that the cluster cannot apply is shown as such. Latency, throughput and outages are shown and not
judged: they are a machine's.

**What was fitted.** Only what is no configuration and belongs to a machine: the values named under *calibrated* were measured at the
cluster, by runs without faults, and laid over the scenario before it was simulated. Nothing else was fitted, and no scenario was left
out for its result. What disagrees stays in the tables, with its reason.
"""

_SUMMARY_NOTE = """
Each of the last three columns shows the simulator's range, then the real runs; a value outside what is accepted is **bold**. *lost in
silence* is `acked_lost`, *twice in the log* `log_duplicates`, *handled again* `groups.NAME.reprocessed`.
"""


def _environments(records: Sequence[Recorded]) -> str:
    """A row for each set of versions."""
    lines = [_line("Kafka", "Java", "clients", "kafkasim", "real runs of", "scenarios"), "|---|---|---|---|---|---|"]
    places = dict.fromkeys((record.kafka, record.java, record.kafkasim) for record in records)
    for place in sorted(places):
        here = [record for record in records if (record.kafka, record.java, record.kafkasim) == place]
        clients = sorted({f"{client} {version}" for record in here for client, version in record.clients.items()})
        dates = sorted({record.date for record in here})
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        lines.append(_line(place[0], place[1], ", ".join(clients), place[2], when, str(len(here))))
    return "\n".join(lines)


def _summary(records: Sequence[Recorded], comparisons: Sequence[Comparison]) -> str:
    """A row for each scenario, with a link to its section."""
    headings = ("scenario", "clients", "commit", "faults", "real runs", "compared", "agree", "disagree", *_MAIN)
    lines = [_line(*headings), "|---" * 4 + "|--:" * 4 + "|---" * len(_MAIN) + "|"]
    for record, comparison in zip(records, comparisons, strict=True):
        judged, wrong = len(comparison.judged), len(comparison.disagreeing)
        what = (", ".join(words) or "-" for words in (record.flavours, record.commits, record.faults))
        counts = (str(len(record.real)), str(judged), str(judged - wrong), f"**{wrong}**" if wrong else "0")
        figures = (_figure(comparison, key) for key in _MAIN.values())
        lines.append(_line(f"[{record.scenario}](#{_anchor(record.scenario)})", *what, *counts, *figures))
    return "\n".join(lines)


def _figure(comparison: Comparison, key: str) -> str:
    """ "0 to 8; 3, 0, 5" of a key, or of that key of each group."""
    rows = [row for row in comparison.rows if row.key == key or (row.key.startswith("groups.") and row.key.endswith(f".{key}"))]
    cells = []
    for row in rows:
        real = ", ".join(f"**{words}**" if out else words for words, out in zip(row.real_words, row.outside, strict=True))
        name = f"{row.key.removeprefix('groups.').removesuffix(f'.{key}')}: " if len(rows) > 1 else ""
        cells.append(f"{name}{row.simulator_words}; {real}")
    return "<br>".join(cells) or "-"


def _section(record: Recorded, comparison: Comparison) -> str:
    """Title, table, what was calibrated, and the commands."""
    calibrated = ", ".join(f"`{path}={value}`" for path, value in record.calibration.items()) or "nothing"
    about = f"{_runs(comparison)}. Scenario {record.scenario_id}, {record.date}. Calibrated: {calibrated}."
    commands = "\n".join(record.commands)
    again = f"```sh\n{commands}\n```" if commands else ""
    heading = f"### {record.scenario}"
    parts = (heading, record.title, about, f"**{verdict(comparison)}**", to_markdown(comparison).rstrip("\n"), again)
    return "\n\n".join(part for part in parts if part)


# -------------------------------------------------------------------------------------------------------------------- parts


def _loud(comparison: Comparison) -> list[Row]:
    """The rows worth reading: whatever disagrees, is not zero, or did not simply hold."""
    return [row for row in comparison.rows if not row.quiet]


def _quiet_sentences(comparison: Comparison) -> list[str]:
    """A line for the numbers that are zero on both sides, one for what held on both, one for what neither was promised, one for faults."""
    quiet = [row for row in comparison.rows if row.quiet]
    zero = sum(isinstance(row, NumberRow) for row in quiet)
    sentences = [f"All other {_many(zero, 'number')}: zero in both."] if zero else []
    for word, words in ((HELD, "Held"), (NOT_PROMISED, "Not promised")):
        promises = [row.key for row in quiet if isinstance(row, VerdictRow) and row.simulated == (word,)]
        sentences += [f"{words} in every seed and every real run: {', '.join(promises)}."] if promises else []
    faults = [f"{row.key} ({row.simulator_words})" for row in quiet if isinstance(row, FaultRow)]
    return sentences + ([f"Struck alike in every seed and every real run: {', '.join(faults)}."] if faults else [])


def _runs(comparison: Comparison) -> str:
    seeds = ", ".join(map(str, comparison.real_seeds))
    runs = _many(len(comparison.real_seeds), "real run")
    return f"{runs} (seed{'' if len(comparison.real_seeds) == 1 else 's'} {seeds}) against the simulator's seeds {comparison.seeds}"


def _real_text(row: Row) -> Text:
    pairs = zip(row.real_words, row.outside, strict=True)
    return Text(", ").join(Text(words, style="bold red" if out else "") for words, out in pairs)


def _agreement_text(comparison: Comparison, row: Row) -> Text:
    style = {True: "green", False: "bold red", None: "bright_black"}[row.agrees]
    return Text(comparison.agreement(row), style=style)


def _table(*headings: str) -> Table:
    """Columns without lines around them; the last folds, the first keeps its words whole."""
    table = Table(box=None, header_style="bright_black", padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=place == 0)
    return table


def _line(*cells: str) -> str:
    """A row of a markdown table; a bar inside a cell would end it."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading: lower case, and only letters, digits, hyphens and underscores."""
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_")


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
