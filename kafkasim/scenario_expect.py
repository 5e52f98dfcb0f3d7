"""What a scenario expects of its reports: which numbers can be expected, and which expectations were missed.

`expect` speaks of every run, `sometimes` of at least one of several: some things only chance brings about. A group's count without
its group (`reprocessed`) is the sum over all groups. `findings.NAME` is how often the check of that name (checks.py) found something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafkasim.values import Bound, hint

COUNTS = (
    "sent",
    "acked",
    "failed",
    "unresolved",
    "acked_lost",
    "failed_lost",
    "failed_but_written",
    "log_duplicates",
    "log_inversions",
    "spooled",
    "resent",
    "expired",
)
GROUP_COUNTS = ("processed", "lost", "reprocessed", "effects_duplicated", "phantom")
RATES = ("loss_rate", "silent_loss_rate", "duplication_rate")
PRICES = ("latency_ms.p50", "latency_ms.p99", "latency_ms.max", "throughput", "unavailable_ms")
# Of checks.py; a test compares the two.
FINDINGS = (
    "acked_lost",
    "failed_lost",
    "failed_but_written",
    "failure_contradicted",
    "unresolved",
    "never_sent",
    "duplicate_by_retry",
    "duplicate_by_resend",
    "inversion_by_retry",
    "inversion_by_resend",
    "inconsistent_offsets",
    "diverged",
    "unfinished_drain",
    "skipped_by_reset",
    "overtaken_by_retention",
    "passed_by_commit",
    "not_reached",
    "no_effect",
    "reprocessed",
    "copies_handled",
    "effects_duplicated",
    "phantom",
    "poll_skip",
    "nonmonotonic_poll",
)
_FINDING = "findings."
_GROUP_KEY = re.compile(rf"groups\.(.+)\.({'|'.join(GROUP_COUNTS)})")


def report_keys(groups: Iterable[str]) -> list[str]:
    """Every number of a report that can be expected."""
    own = [f"groups.{group}.{key}" for group in groups for key in GROUP_COUNTS]
    return [*COUNTS, *GROUP_COUNTS, *RATES, *PRICES, *own, *(f"{_FINDING}{name}" for name in FINDINGS)]


def key_complaint(key: str, groups: Sequence[str]) -> str | None:
    """One sentence where no report of a scenario with these groups has such a number."""
    known = report_keys(groups)
    if key in known:
        return None
    match = _GROUP_KEY.fullmatch(key)
    if match is not None and match[1] not in groups:
        return f"there is no group `{match[1]}`{hint(match[1], groups)}"
    return f"no report has a number `{key}`{hint(key, known)}"


def number_in(report: Mapping[str, Any], key: str) -> float | None:
    """The number that `key` means in a report (as it is written to JSON); None where a backend could not count it."""
    if key.startswith(_FINDING):
        return sum(int(finding["count"]) for finding in report.get("findings") or () if finding["name"] == key.removeprefix(_FINDING))
    groups: Mapping[str, Mapping[str, Any]] = report.get("groups") or {}
    if match := _GROUP_KEY.fullmatch(key):
        return _number(groups.get(match[1], {}).get(match[2]))
    if key in GROUP_COUNTS:
        counts = [_number(counted.get(key)) for counted in groups.values()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None
    part, _, inside = key.partition(".")
    value = report.get(part)
    return _number(value.get(inside) if isinstance(value, Mapping) else value)


def missed(expect: Mapping[str, Bound], sometimes: Mapping[str, Bound], reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each expectation that a run missed, and for each `sometimes` that no run met."""
    sentences = []
    for report in reports:
        for key, bound in expect.items():
            number = number_in(report, key)
            if not bound.holds(number):
                sentences.append(f"seed {report.get('seed')}: {key} is {_shown(number)}, expected {bound}")
    for key, bound in sometimes.items():
        numbers = [number_in(report, key) for report in reports]
        if not any(bound.holds(number) for number in numbers):
            seen = ", ".join(_shown(number) for number in numbers[:10]) + (", …" if len(numbers) > 10 else "")
            sentences.append(f"in no run was {key} {bound}, which is expected sometimes; it was {seen or 'never counted'}")
    return sentences


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(number: float | None) -> str:
    return "unknown" if number is None else str(number)
