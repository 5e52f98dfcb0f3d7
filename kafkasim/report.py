"""The report of a run: counts, rates, verdicts, and what it takes to repeat it. Flat keys, the same from every backend.

`make_report` judges one ledger; `summarise` looks at the reports of many seeds. How they look on paper is postmortem.py's.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafkasim import measures
from kafkasim.checks import find_all
from kafkasim.circumstances import circumstances_of, deciding_settings
from kafkasim.findings import Finding
from kafkasim.intervals import Interval, bootstrap_mean, wilson
from kafkasim.ledger import FaultApplied, Ledger
from kafkasim.measures import GroupCounts
from kafkasim.promises import VIOLATED, NotPromised, Verdict, judge, number
from kafkasim.truth import expand

if TYPE_CHECKING:
    from kafkasim.scenario import Scenario

MODELLED_CLIENTS = {"librdkafka": "2.16, modelled"}  # the Java client is of the profile's release


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one run. Counts are of records, a record once, by its last outcome: sent = acked + failed + unresolved.

    `acked_lost` is silent loss, `failed_lost` reported loss; rates are of all sent; times in ms, throughput in records a second.
    """

    name: str
    title: str
    headline: str
    sent: int
    acked: int
    failed: int
    unresolved: int
    acked_lost: int
    failed_lost: int
    failed_but_written: int
    log_duplicates: int
    log_inversions: int
    spooled: int
    resent: int
    expired: int
    groups: Mapping[str, GroupCounts]
    loss_rate: float
    silent_loss_rate: float
    duplication_rate: float
    latency_ms: Mapping[str, float | None]
    throughput: float
    unavailable_ms: float
    seed: int
    scenario_id: str
    backend: str
    kafka: str
    client_versions: Mapping[str, str]
    faults_applied: tuple[FaultApplied, ...]
    verdicts: tuple[Verdict, ...]
    not_promised: tuple[NotPromised, ...]
    findings: tuple[Finding, ...]
    settings: Mapping[str, str]
    notes: tuple[str, ...]
    command: str

    @property
    def violated(self) -> bool:
        """Whether the run broke a promise of its configuration."""
        return any(verdict.verdict == VIOLATED for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the design's flat keys, then verdicts and findings."""
        document = {part.name: getattr(self, part.name) for part in fields(self)}
        document["groups"] = {name: counts.to_dict() for name, counts in self.groups.items()}
        document["faults_applied"] = [{**fault._asdict(), "nodes": list(fault.nodes)} for fault in self.faults_applied]
        for key in ("verdicts", "not_promised", "findings"):
            document[key] = [asdict(item) for item in document[key]]
        for finding in document["findings"]:
            finding["records"] = list(finding["records"])
        for key in ("latency_ms", "client_versions", "settings"):
            document[key] = dict(document[key])
        return document | {"notes": list(self.notes), "violated": self.violated}

    def flat(self) -> dict[str, str | int | float | None]:
        """One row of a table: the flat keys, nested ones with a dot ("groups.billing.lost"), without lists."""
        row: dict[str, str | int | float | None] = {"name": self.name, "scenario_id": self.scenario_id, "seed": self.seed}
        row |= {"backend": self.backend, "kafka": self.kafka}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, int | float):
                row.setdefault(part.name, value)
            elif part.name == "groups":
                row |= {f"groups.{name}.{key}": count for name, counts in value.items() for key, count in counts.to_dict().items()}
            elif part.name == "latency_ms":
                row |= {f"latency_ms.{key}": milliseconds for key, milliseconds in value.items()}
        return row | {"violated": self.violated}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Report:
        """What `to_dict` wrote. Raises KeyError or TypeError where this is no report."""
        values = {part.name: document[part.name] for part in fields(cls)}
        values["groups"] = {name: GroupCounts(**counts) for name, counts in values["groups"].items()}
        values["faults_applied"] = tuple(FaultApplied(**{**fault, "nodes": tuple(fault["nodes"])}) for fault in values["faults_applied"])
        values["verdicts"] = tuple(Verdict(**verdict) for verdict in values["verdicts"])
        values["not_promised"] = tuple(NotPromised(**item) for item in values["not_promised"])
        values["findings"] = tuple(Finding(**{**finding, "records": tuple(finding["records"])}) for finding in values["findings"])
        values["notes"] = tuple(values["notes"])
        return cls(**values)

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report saved as JSON. Raises ScenarioError, with one clear sentence, where the file holds none."""
        from kafkasim.scenario_file import Problem, ScenarioError

        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ScenarioError([Problem(str(path), error.strerror or "it cannot be read")]) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ScenarioError([Problem(str(path), "this is no report of one run, as `kafkasim run --json` writes it")]) from None


def make_report(
    scenario: Scenario, ledger: Ledger, client_versions: Mapping[str, str] | None = None, options: Sequence[str] = ()
) -> Report:
    """Count, measure, and judge against what the scenario's configuration promises.

    `client_versions`: those of real clients; without it, the versions that are modelled. `options`: the backend's, for the command.
    """
    truth = expand(ledger)
    findings = find_all(truth)
    case = circumstances_of(scenario, ledger)
    verdicts, not_promised = judge(case, findings)
    counts = measures.record_counts(truth)
    groups = {group.name: measures.group_counts(truth, group) for group in truth.groups}
    clients = dict.fromkeys([*(producer.client for producer in case.producers), *(group.client for group in case.groups)])
    return Report(
        name=scenario.name,
        title=scenario.title,
        headline=headline(counts, groups, findings),
        groups=groups,
        **counts,
        **asdict(measures.rates(truth)),
        latency_ms=measures.latency_ms(truth),
        throughput=measures.throughput(truth),
        unavailable_ms=measures.unavailable_ms(truth),
        seed=ledger.seed,
        scenario_id=scenario.scenario_id,
        backend=ledger.backend,
        kafka=scenario.kafka,
        client_versions=dict(
            client_versions or {client: MODELLED_CLIENTS.get(client, f"{scenario.profile.release}, modelled") for client in clients}
        ),
        faults_applied=tuple(ledger.faults),
        verdicts=verdicts,
        not_promised=not_promised,
        findings=findings,
        settings=deciding_settings(case),
        notes=(*ledger.notes, *_notes(scenario)),
        command=repeat_command(scenario, ledger, options),
    )


def headline(counts: Mapping[str, int], groups: Mapping[str, GroupCounts], findings: Sequence[Finding] = ()) -> str:
    """One sentence: what was lost in silence, what was reported lost, what came twice."""
    clauses = [f"{_were(counts['acked_lost'])} lost in silence"] if counts["acked_lost"] else []
    clauses += [f"{_were(group.lost)} in the log but never handled by {name}" for name, group in groups.items() if group.lost]
    clauses += [f"{number(found.count)} never had an effect in {found.of}" for found in findings if found.name == "no_effect"]
    clauses = clauses or ["none was lost in silence"]
    clauses.append(f"{_were(counts['failed_lost'])} reported lost")
    worst = max(groups, key=lambda name: groups[name].effects_duplicated, default="")
    if worst and groups[worst].effects_duplicated:
        clauses.append(f"{number(groups[worst].effects_duplicated)} had a second effect in {worst}")
    elif counts["log_duplicates"]:
        clauses.append(f"{number(counts['log_duplicates'])} came twice into the log")
    else:
        clauses.append("none came twice")
    return f"Of {number(counts['sent'])} records, {', '.join(clauses[:-1])}, and {clauses[-1]}."


def repeat_command(scenario: Scenario, ledger: Ledger, options: Sequence[str] = ()) -> str:
    """The one command that repeats a run; a real one as far as the world repeats itself."""
    changes = "".join(f" {change}" for change in scenario.changes)
    verb = "replay" if ledger.backend == "cluster" else "run"
    where = f" {shlex.join(options)}" if options else ""
    return f"kafkasim {verb} {shlex.quote(scenario.called)} --seed {ledger.seed}{changes}{where}"


def _were(count: int) -> str:
    return "none was" if count == 0 else f"{number(count)} {'was' if count == 1 else 'were'}"


def _notes(scenario: Scenario) -> tuple[str, ...]:
    """What was accepted and is worth knowing: idempotence switched off in silence, keys that are not modelled."""
    ignored: Sequence[str] = getattr(scenario, "not_modelled", ())
    return (*getattr(scenario, "notes", ()), *(f"{path} is not modelled: it changes nothing here" for path in ignored))


# ---------------------------------------------------------------------------------------------------------- many runs


@dataclass(frozen=True, slots=True)
class Spread:
    """One number over runs: its mean with a bootstrap interval, and its range."""

    mean: Interval
    least: float
    most: float

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {"mean": self.mean.estimate, "low": self.mean.low, "high": self.mean.high, "min": self.least, "max": self.most}


@dataclass(frozen=True, slots=True)
class Summary:
    """What many seeds of one scenario say. The shares are of runs, with Wilson's interval (the rule of three at zero)."""

    name: str
    title: str
    headline: str
    runs: int
    first_seed: int
    silent_loss: Interval
    loss: Interval
    duplication: Interval
    violated: Interval
    broken_promises: Mapping[str, int]  # "durability of shop": in so many runs
    numbers: Mapping[str, Spread]
    settings: Mapping[str, str]
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        shares = {name: getattr(self, name).to_dict() for name in ("silent_loss", "loss", "duplication", "violated")}
        plain = {name: getattr(self, name) for name in ("name", "title", "headline", "runs", "first_seed", "command")}
        numbers = {name: spread.to_dict() for name, spread in self.numbers.items()}
        return plain | {
            "shares": shares,
            "broken_promises": dict(self.broken_promises),
            "numbers": numbers,
            "settings": dict(self.settings),
        }


def summarise(reports: Sequence[Report]) -> Summary:
    """Means, ranges and shares over the runs of one scenario; deterministic. Raises ValueError without any run."""
    if not reports:
        raise ValueError("there is no run to summarise")
    first = reports[0]
    silent = sum(report.silent_loss_rate > 0 for report in reports)
    share = wilson(silent, len(reports))
    broken: dict[str, int] = {}
    for report in reports:
        for verdict in report.verdicts:
            if verdict.verdict == VIOLATED:
                promise = f"{verdict.promise} of {verdict.of}"
                broken[promise] = broken.get(promise, 0) + 1
    return Summary(
        name=first.name,
        title=first.title,
        headline=f"{number(silent)} of {number(len(reports))} runs lost records in silence"
        f" ({share.estimate:.0%} of runs; 95 % interval {share.low:.0%} to {share.high:.0%}).",
        runs=len(reports),
        first_seed=first.seed,
        silent_loss=share,
        loss=wilson(sum(report.loss_rate > 0 for report in reports), len(reports)),
        duplication=wilson(sum(report.duplication_rate > 0 for report in reports), len(reports)),
        violated=wilson(sum(report.violated for report in reports), len(reports)),
        broken_promises=broken,
        numbers=_spreads(reports),
        settings=first.settings,
        command=f"{first.command} --runs {len(reports)}",
    )


def _spreads(reports: Sequence[Report]) -> dict[str, Spread]:
    """Every number of the reports, but for the seed, over the runs that have it."""
    rows = [report.flat() for report in reports]
    spreads = {}
    for name in rows[0]:
        values = [float(value) for row in rows if isinstance(value := row.get(name), int | float)]
        if values and name not in ("seed", "violated"):
            spreads[name] = Spread(bootstrap_mean(values), min(values), max(values))
    return spreads
