"""Judgement: what a configuration promises, as one table, and whether a run kept it.

Each line of PROMISES names one, the rule that says when it is given (promise_rules.py), and the findings that would break it. A finding
where nothing was promised is no violation: it is the price of the configuration, and is said as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kafkasim.circumstances import ADMINISTRATIVE, Circumstances, Faults, GroupCase, ProducerCase, RunCase, is_server
from kafkasim.findings import Finding
from kafkasim.ledger import FaultApplied
from kafkasim.promise_rules import (
    Given,
    Withheld,
    agreement,
    always,
    at_least_once,
    at_most_once,
    compensation,
    consistent_read,
    drain,
    durability,
    effects_at_most_once,
    exactly_once_effects,
    no_duplicates,
    nothing_skipped,
    order,
    resolution,
)

HELD, VIOLATED, UNKNOWN = "held", "violated", "unknown"
RUN = "the run"


@dataclass(frozen=True, slots=True)
class Promise:
    """`sentence` says what is promised, `broken` names what breaks it ("{s}" where English puts an s for many)."""

    name: str
    of: Literal["producer", "group", "run"]
    sentence: str
    broken: str
    rule: Callable[[Any, Faults], Given | Withheld]
    breakers: tuple[str, ...]
    said_when_withheld: bool = True  # False: other lines say the same already


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether `of` (a producer, a group, the run) got what was promised: held, violated or unknown."""

    promise: str
    of: str
    verdict: str
    sentence: str


@dataclass(frozen=True, slots=True)
class NotPromised:
    """What the configuration does not promise, and what that cost this time."""

    promise: str
    of: str
    count: int
    sentence: str


PROMISES: tuple[Promise, ...] = (
    Promise("durability", "producer", "no acked record is lost", "acked record{s} lost", durability, ("acked_lost",)),
    Promise(
        "no-duplicates", "producer", "retries write no record twice", "duplicate{s} by retries", no_duplicates, ("duplicate_by_retry",)
    ),
    Promise("order", "producer", "partitions keep the order of sending", "record{s} out of order", order, ("inversion_by_retry",)),
    Promise("compensation", "producer", "no failed record stays lost", "failed record{s} lost", compensation, ("failed_lost",)),
    Promise("resolution", "producer", "every record gets its callback", "record{s} without a callback", resolution, ("unresolved",)),
    Promise(
        "definite-failure",
        "producer",
        "what certainly failed is not in the log",
        "record{s} written that certainly failed",
        always,
        ("failure_contradicted",),
    ),
    Promise(
        "at-least-once",
        "group",
        "every record the group comes to is handled, with its effect",
        "record{s} never handled, or without effect",
        at_least_once,
        ("passed_by_commit", "not_reached", "no_effect"),
    ),
    Promise(
        "nothing-skipped",
        "group",
        "no reset of its position, and no retention, passes over a record",
        "record{s} never handled",
        nothing_skipped,
        ("skipped_by_reset", "overtaken_by_retention"),
    ),
    Promise("at-most-once", "group", "no record is handled again", "handling{s} again", at_most_once, ("reprocessed",)),
    Promise(
        "effects-at-most-once", "group", "no effect happens twice", "effect{s} too many", effects_at_most_once, ("effects_duplicated",)
    ),
    Promise(
        "exactly-once-effects",
        "group",
        "each record the group comes to has its effect exactly once",
        "effect{s} missing or too many",
        exactly_once_effects,
        ("passed_by_commit", "not_reached", "no_effect", "effects_duplicated"),
        said_when_withheld=False,
    ),
    Promise(
        "consistent-read", "group", "what was handled stays in the log", "record{s} handled and then lost", consistent_read, ("phantom",)
    ),
    Promise(
        "agreement",
        "run",
        "an offset means one record to everybody",
        "offset{s} with two records",
        agreement,
        ("inconsistent_offsets", "diverged"),
        False,
    ),
    Promise("honest-log", "run", "nothing is in the log that nobody sent", "record{s} from nowhere", always, ("never_sent",)),
    Promise("drain", "run", "after the heal everything comes to rest", "drain{s} unfinished", drain, ("unfinished_drain",)),
)


# ---------------------------------------------------------------------------------------------------------------- judging


def judge(case: Circumstances, findings: Sequence[Finding]) -> tuple[tuple[Verdict, ...], tuple[NotPromised, ...]]:
    """Each promise that is given gets a verdict; of the others, those whose lack cost something (and durability, always) are named."""
    verdicts: list[Verdict] = []
    withheld: list[NotPromised] = []
    for promise in PROMISES:
        for subject in _subjects(promise, case):
            ground = promise.rule(subject, case.faults)
            broken = [
                finding for finding in findings if finding.name in promise.breakers and (promise.of == "run" or finding.of == subject.name)
            ]
            count = sum(finding.count for finding in broken)
            if isinstance(ground, Given):
                verdicts.append(_verdict(promise, subject.name, ground, broken, case))
            elif promise.said_when_withheld and (count or promise.name == "durability"):
                happened = _many(count, promise.broken) if count else f"no {promise.broken.format(s='s')} this time"
                withheld.append(NotPromised(promise.name, subject.name, count, f"{ground.because}: {happened}"))
    return tuple(verdicts), tuple(withheld)


def number(count: int) -> str:
    """1412 as "1 412"."""
    return f"{count:,}".replace(",", " ")


def _verdict(promise: Promise, of: str, ground: Given, broken: Sequence[Finding], case: Circumstances) -> Verdict:
    count = sum(finding.count for finding in broken)
    if count and not case.drained and all(finding.name == "not_reached" for finding in broken):
        sentence = f"{promise.sentence}: {_many(count, 'record{s} not reached')} when the drain's time was up"
        return Verdict(promise.name, of, UNKNOWN, sentence)
    if count:
        return Verdict(promise.name, of, VIOLATED, f"{_many(count, promise.broken)}, though promised ({ground.because})")
    missing = [fault.name or fault.fault for fault in case.faults.unsupported if _touches(fault, promise, of)]
    if missing:
        return Verdict(promise.name, of, UNKNOWN, f"{promise.sentence}: not tested, this backend cannot do {', '.join(missing)}")
    return Verdict(promise.name, of, HELD, f"{promise.sentence} ({ground.because})")


def _subjects(promise: Promise, case: Circumstances) -> Sequence[ProducerCase | GroupCase | RunCase]:
    if promise.of == "producer":
        return case.producers
    return case.groups if promise.of == "group" else (RunCase(RUN, case.producers, case.groups),)


def _touches(fault: FaultApplied, promise: Promise, of: str) -> bool:
    """Whether a fault could have mattered: one of servers matters to all, one of a client to itself; unknown nodes to everybody."""
    nodes = fault.nodes
    if not nodes or fault.fault in ADMINISTRATIVE or promise.of == "run" or any(is_server(node) for node in nodes):
        return True
    return any(node == of or (promise.of == "group" and node.rpartition("-")[0] == of) for node in nodes)


def _many(count: int, what: str) -> str:
    return f"{number(count)} {what.format(s='' if count == 1 else 's')}"
