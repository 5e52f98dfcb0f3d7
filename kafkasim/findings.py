"""What a check finds, and what a check is: the data types of checks.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kafkasim.ledger import Ledger
from kafkasim.truth import Integers, Truth, expand


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` times something happened to `records` ("shop/1051..1087"), seen in `of`: a producer, a group or a partition."""

    name: str
    jepsen: str
    of: str
    count: int
    records: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule found in one producer, group or partition: how often, and in which records of which producer."""

    of: str
    count: int
    records: Sequence[tuple[str, Integers]]


Rule = Callable[[Truth], Iterator[Case]]


@dataclass(frozen=True, slots=True)
class Check:
    """A rule, Jepsen's name for what it finds, and its meaning as the end of a sentence that begins with a number."""

    rule: Rule
    jepsen: str
    meaning: str

    @property
    def name(self) -> str:
        """The rule's name, which is the finding's."""
        return self.rule.__name__

    def __call__(self, evidence: Ledger | Truth) -> tuple[Finding, ...]:
        """The findings in a ledger (or in one that is expanded already), one for each producer, group or partition that has any."""
        truth = expand(evidence) if isinstance(evidence, Ledger) else evidence
        return tuple(
            Finding(self.name, self.jepsen, case.of, case.count, compress(case.records), self.meaning)
            for case in self.rule(truth)
            if case.count
        )


def compress(records: Sequence[tuple[str, Integers]]) -> tuple[str, ...]:
    """The exact records as ranges: "shop/1051..1087", or "shop/1051" for a single one."""
    ranges: list[str] = []
    for producer, numbers in records:
        distinct = np.unique(numbers)
        if not len(distinct):
            continue
        breaks = np.flatnonzero(np.diff(distinct) != 1)
        firsts = distinct[np.concatenate(([0], breaks + 1))].tolist()
        lasts = distinct[np.concatenate((breaks, [len(distinct) - 1]))].tolist()
        ranges += [
            f"{producer}/{first}" if first == last else f"{producer}/{first}..{last}" for first, last in zip(firsts, lasts, strict=True)
        ]
    return tuple(ranges)
