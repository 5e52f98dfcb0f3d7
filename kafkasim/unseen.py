"""Why a group never handled a record that is in the log, or was until retention removed it. For Jepsen these are `unseen` records.

There are four ways, and each record has one: a reset of the group's position went past it, a commit did, retention deleted it before the
group came, or the run ended before.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from kafkasim.ledger import Ledger
from kafkasim.truth import GroupTruth, Mask, Truth

Cause = Literal["retention", "reset", "commit", "end"]


def never_handled(truth: Truth, group: GroupTruth, cause: Cause) -> list[tuple[str, Mask]]:
    """Records in the log that the group never handled: a reset went past them; if not, a commit; if not, the run ended before.

    It is retention's doing where they have expired, unless a commit went past them: then the group had its chance.
    """
    never = [
        producer.in_log & (handled == 0) if subscribed else np.zeros(len(handled), np.bool_)
        for producer, handled, subscribed in zip(truth.producers, group.handled, group.subscribed, strict=True)
    ]
    skipped, passed = [np.zeros_like(mask) for mask in never], [np.zeros_like(mask) for mask in never]
    for log in truth.logs if any(mask.any() for mask in never) else ():
        jumps = [entry for entry in truth.ledger.skipped if entry.group == group.name and entry.partition == log.partition]
        jumped = np.zeros(len(log.offsets), np.bool_)
        for jump in jumps:
            jumped |= (log.offsets >= jump.position) & (log.offsets < jump.offset)
        behind = log.offsets < _committed(truth.ledger, group.name, log.partition)
        for place in range(len(never)):
            mine = log.producers == place
            skipped[place][log.numbers[mine & jumped]] = True
            passed[place][log.numbers[mine & behind]] = True
    tables = zip(truth.producers, never, skipped, passed, strict=True)
    causes = [(p.name, mask, _causes(p.expired, reset, commit & ~reset)) for p, mask, reset, commit in tables]
    return [(producer, mask & by[cause]) for producer, mask, by in causes]


def _causes(expired: Mask, reset: Mask, commit: Mask) -> dict[str, Mask]:
    """Exactly one for each record; `commit` where no reset went past it."""
    return {"retention": expired & ~commit, "reset": reset & ~expired, "commit": commit, "end": ~(expired | reset | commit)}


def _committed(ledger: Ledger, group: str, partition: str) -> int:
    """The offset the group committed last."""
    accepted = [entry.offset for entry in ledger.commits if (entry.group, entry.partition, entry.error) == (group, partition, "")]
    return accepted[-1] if accepted else -1
