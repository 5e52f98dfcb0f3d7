"""A report on paper: a short post-mortem for a terminal of 80 columns, with colour or without.

What happened in one sentence; the numbers; what the configuration promises and whether that held; what really went wrong and when; the
settings that decided; and the one command that repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkasim.findings import Finding
from kafkasim.ledger import FaultApplied
from kafkasim.promises import HELD, RUN, UNKNOWN, VIOLATED, NotPromised, Verdict, number
from kafkasim.report import Report, Spread, Summary

_STYLES = {HELD: "green", VIOLATED: "bold red", UNKNOWN: "yellow", "not promised": "bright_black"}
_MOST_RANGES = 4
_ALWAYS = ("sent", "acked")
_COUNTS = {
    "sent": "sent",
    "acked": "acked",
    "failed": "failed",
    "unresolved": "without an answer",
    "acked_lost": "acked, and lost in silence",
    "failed_lost": "reported lost",
    "failed_but_written": "failed, yet in the log",
    "log_duplicates": "duplicates in the log",
    "log_inversions": "out of order in the log",
    "spooled": "spooled",
    "resent": "back from the spool",
    "expired": "removed by retention",
}
_GROUP_COUNTS = {
    "processed": "processed",
    "lost": "never handled",
    "reprocessed": "handled again",
    "effects_duplicated": "effects too many",
    "phantom": "handled, then lost",
}
_TAKEN_FOR_GRANTED = ("definite-failure", "honest-log")  # worth a line only when broken
_BAD = {"acked_lost", "failed_lost", "log_duplicates", "log_inversions", "lost", "effects_duplicated", "phantom"}


def print_report(report: Report, console: Console) -> None:
    """The post-mortem of one run."""
    _title(console, report.name, report.title)
    console.print(Text(report.headline, style="bold"))
    _section(console, "What happened", _numbers_table(report))
    _section(console, "What the configuration promises", _verdict_table(report))
    shown = [finding for finding in report.findings if finding.records]
    if shown:
        _section(console, "Which records", _finding_table(shown))
    _section(console, "What went wrong, and when", _fault_table(report.faults_applied))
    _section(console, "The configuration that decided", _settings_table(report.settings))
    if report.notes:
        _section(console, "Notes", _bullets(report.notes))
    _footer(console, report)


def print_summary(summary: Summary, console: Console) -> None:
    """What many seeds of one scenario say."""
    _title(console, summary.name, summary.title)
    console.print(Text(summary.headline, style="bold"))
    shares = _table("", "share of runs", "95 % interval")
    for key, label in (("silent_loss", "lost in silence"), ("loss", "lost anything"), ("duplication", "had an effect twice")):
        _share_row(shares, label, summary, key)
    _share_row(shares, "broke a promise", summary, "violated")
    _section(console, f"{number(summary.runs)} runs, seeds {summary.first_seed} to {summary.first_seed + summary.runs - 1}", shares)
    numbers = _table("a run", "mean", "95 % interval", "range")
    for key, spread in summary.numbers.items():
        if spread.most or key in _ALWAYS:
            low, high = _decimal(spread.mean.low), _decimal(spread.mean.high)
            numbers.add_row(key, _decimal(spread.mean.estimate), f"{low} to {high}", _range(spread))
    _section(console, "Numbers", numbers)
    if summary.broken_promises:
        broken = [f"{promise}: in {number(runs)} of {number(summary.runs)} runs" for promise, runs in summary.broken_promises.items()]
        _section(console, "Broken promises", _bullets(broken))
    _section(console, "The configuration that decided", _settings_table(summary.settings))
    console.print()
    console.print(Text.assemble("Again: ", (summary.command, "bold")), soft_wrap=True)


def print_comparison(a: Report, b: Report, console: Console) -> None:
    """Two reports side by side; what differs carries an asterisk."""
    names = (a.name, b.name) if a.name != b.name else (f"A {a.name}", f"B {b.name}")
    console.print()
    for name, report in zip(names, (a, b), strict=True):
        console.print(Text.assemble((name, "bold"), f": {report.headline}"))
    _section(console, "Settings", _sides(names, a.settings, b.settings, only_different=True))
    _section(console, "Numbers", _sides(names, _comparable(a), _comparable(b)))
    _section(console, "Promises", _sides(names, _judged(a), _judged(b)))
    console.print()
    for report in (a, b):
        console.print(Text.assemble("Again: ", (report.command, "bold")), soft_wrap=True)


# ------------------------------------------------------------------------------------------------------------------ parts


def _title(console: Console, name: str, title: str) -> None:
    console.print()
    console.print(Text.assemble((name, "bold cyan"), f"  {title}" if title else ""))
    console.print()


def _section(console: Console, heading: str, body: RenderableType) -> None:
    console.print()
    console.print(Text(heading, style="bold underline"))
    console.print(Padding(body, (0, 0, 0, 2), expand=False))


def _footer(console: Console, report: Report) -> None:
    clients = ", ".join(f"{client} {version}" for client, version in report.client_versions.items())
    console.print()
    console.print(
        Text(f"Kafka {report.kafka} ({report.backend}; {clients}), seed {report.seed}, scenario {report.scenario_id}", "bright_black")
    )
    console.print(Text.assemble("Again: ", (report.command, "bold")), soft_wrap=True)


def _numbers_table(report: Report) -> RenderableType:
    table = _table("records", "", bare=True)
    for key, label in _COUNTS.items():
        count = getattr(report, key)
        if count or key in _ALWAYS:
            table.add_row(label, _coloured(key, count))
    for name, group in report.groups.items():
        for key, label in _GROUP_COUNTS.items():
            count = getattr(group, key)
            if count or key == "processed":
                table.add_row(f"{name}: {label}", _coloured(key, count))
    if report.latency_ms["p50"] is not None:
        percentiles = ", ".join(f"{key} {_milliseconds(value)}" for key, value in report.latency_ms.items())
        table.add_row("send to ack", Text(percentiles))
    table.add_row("acked a second", number(round(report.throughput)))
    if report.unavailable_ms:
        table.add_row("waited with no ack", _milliseconds(report.unavailable_ms))
    return table


def _verdict_table(report: Report) -> RenderableType:
    """Violations first, then what was not promised, then what is unknown; what held comes last, a line a promise."""
    table = _table("", "", bare=True)
    several = {row.of for row in report.verdicts} | {row.of for row in report.not_promised}
    several.discard(RUN)
    rows: list[Verdict | NotPromised] = [verdict for verdict in report.verdicts if verdict.verdict == VIOLATED]
    rows += report.not_promised
    rows += [verdict for verdict in report.verdicts if verdict.verdict == UNKNOWN]
    rows += [verdict for verdict in report.verdicts if verdict.verdict == HELD and verdict.promise not in _TAKEN_FOR_GRANTED]
    for row in rows:
        word = row.verdict if isinstance(row, Verdict) else "not promised"
        whose = f"{row.of}: " if row.of in several and len(several) > 1 else ""
        table.add_row(Text(word, style=_STYLES[word]), Text(f"{whose}{row.sentence}"))
    return table


def _finding_table(findings: Iterable[Finding]) -> RenderableType:
    table = _table("", "", bare=True)
    for finding in findings:
        ranges = ", ".join(finding.records[:_MOST_RANGES])
        more = len(finding.records) - _MOST_RANGES
        jepsen = f" [{finding.jepsen}]" if finding.jepsen else ""
        rest = f", and {number(more)} more ranges" if more > 0 else ""
        table.add_row(number(finding.count), Text(f"{finding.meaning}{jepsen}: {ranges}{rest}"))
    return table


def _fault_table(faults: Iterable[FaultApplied]) -> RenderableType:
    table = _table("from", "to", "fault", "where")
    for fault in faults:
        name = f"{fault.fault} ({fault.name})" if fault.name and fault.name != fault.fault and not fault.name.isdigit() else fault.fault
        if not fault.supported:
            table.add_row("-", "-", name, Text("not possible with this backend", style=_STYLES[UNKNOWN]))
        elif fault.fired is None:
            table.add_row("-", "-", name, Text("never fired", style=_STYLES[UNKNOWN]))
        else:
            table.add_row(_seconds(fault.fired), _seconds(fault.ended), name, ", ".join(fault.nodes))
    return table if table.rows else Text("Nothing: no fault in this scenario.")


def _settings_table(settings: Mapping[str, str]) -> RenderableType:
    """One line for each producer, topic and group, and for the cluster: "producers.shop   acks=1, retries=3"."""
    places: dict[str, list[str]] = {}
    for path, value in settings.items():
        kind, _, rest = path.partition(".")
        name, _, key = ("", "", rest) if kind == "cluster" else rest.partition(".")
        place = f"{kind}.{name}" if name else kind
        places.setdefault(place, []).append(f"{key}={value}")
    table = _table("", "", bare=True)
    for place, pairs in places.items():
        table.add_row(place, Text(", ".join(pairs)))
    return table


def _sides(names: tuple[str, str], a: Mapping[str, str], b: Mapping[str, str], only_different: bool = False) -> RenderableType:
    table = _table("", "", *names)
    for key in dict.fromkeys([*a, *b]):
        left, right = a.get(key, "-"), b.get(key, "-")
        if left != right:
            table.add_row(Text("*", style="bold yellow"), Text(key, style="bold"), Text(left, style="bold"), Text(right, style="bold"))
        elif not only_different and left != "0":
            table.add_row("", key, left, right)
    return table if table.rows else Text("The same.")


def _comparable(report: Report) -> dict[str, str]:
    """Every number of a report that a comparison may show, as text; what is zero in both is left to `_sides`."""
    skipped = {"seed", "violated"}
    return {key: _decimal(value) for key, value in report.flat().items() if isinstance(value, int | float) and key not in skipped}


def _judged(report: Report) -> dict[str, str]:
    """The verdict on each promise."""
    table = {f"{verdict.promise} of {verdict.of}": verdict.verdict for verdict in report.verdicts}
    return table | {f"{item.promise} of {item.of}": "not promised" for item in report.not_promised}


def _bullets(lines: Iterable[str]) -> RenderableType:
    table = _table("", "", bare=True)
    for line in lines:
        table.add_row("-", Text(line))
    return table


def _share_row(table: Table, label: str, summary: Summary, key: str) -> None:
    share = getattr(summary, key)
    table.add_row(label, f"{share.estimate:.1%}", f"{share.low:.1%} to {share.high:.1%}")


def _table(*headings: str, bare: bool = False) -> Table:
    """Columns without lines around them; the last may fold, the others keep their words whole."""
    table = Table(box=None, show_header=not bare, header_style="bright_black", padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=bare and place == 0)
    return table


def _coloured(key: str, count: int) -> Text:
    return Text(number(count), style="bold red" if count and key in _BAD else "")


def _range(spread: Spread) -> str:
    return f"{_decimal(spread.least)} to {_decimal(spread.most)}"


def _decimal(value: float) -> str:
    """Whole numbers whole, large ones without decimals, rates with three digits that mean something."""
    if value == int(value):
        return number(int(value))
    return number(round(value)) if abs(value) >= 1000 else f"{value:.3g}"


def _seconds(at: float | None) -> str:
    return "the end" if at is None else f"{at / 1000:.2f} s"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.3g} ms"
