"""What a campaign must really reach: a property that never sees an unclean election says nothing about one.

After Antithesis' *sometimes* assertions. SOMETIMES is the list; each run says which of them it reached, from its trace, its report and
from what the invariants saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kafkasim.ledger import Ledger
from kafkasim.protocol.classic_group_member import GroupChanged, GroupState
from kafkasim.protocol.controller_trace import IsrChanged, LeaderElected, PartitionOffline
from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import Truncated
from kafkasim.protocol.partition import DuplicateDropped, SequenceRefused
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.sender import EpochBumped
from kafkasim.report import Report
from kafkasim.trace import Trace

SOMETIMES: Mapping[str, str] = {
    "leader changes": "a partition got another leader",
    "unclean elections": "a leader from outside ISR and ELR was elected",
    "offline partitions": "a partition had nobody who might lead it",
    "ISR shrinks": "a replica left an ISR",
    "ISR expansions": "a replica came back into an ISR",
    "truncations": "a follower cut records off its log",
    "zombie writes": "a deposed leader appended in its old epoch",
    "power losses": "the power of a broker failed",
    "duplicates dropped": "a leader recognised a retry of a batch that it had",
    "sequences refused": "a leader answered OUT_OF_ORDER_SEQUENCE_NUMBER",
    "producer epoch bumps": "an idempotent producer began its sequences anew",
    "rebalances": "a group shared out its partitions anew",
    "offset resets": "a group without a valid position got one by auto.offset.reset",
    "acked records lost": "a record was lost in silence, where nothing was promised",
    "duplicates in the log": "a record was in the log twice, where nothing was promised",
}


def reached_by(ledger: Ledger, report: Report, trace: Trace, seen: Mapping[str, int]) -> Counter[str]:
    """How often one run reached each of SOMETIMES; `seen` is what the invariants counted. The warm-up does not count."""
    reached: Counter[str] = Counter(seen)
    isrs: dict[TopicPartition, tuple[int, ...]] = {}
    for entry in trace.entries:
        name = _reached_with(entry.event, isrs)
        if name and entry.at > 0:
            reached[name] += 1
            if name == "leader changes" and entry.event.unclean:
                reached["unclean elections"] += 1
    reached["power losses"] += sum(fault.fault == "power-loss" and fault.fired is not None for fault in ledger.faults)
    reached["offset resets"] += sum(skipped.at > 0 for skipped in ledger.skipped)
    reached["acked records lost"] += report.acked_lost
    reached["duplicates in the log"] += report.log_duplicates
    return reached


def _reached_with(event: Any, isrs: dict[TopicPartition, tuple[int, ...]]) -> str:
    """What an event of the trace is an instance of, or ""."""
    match event:
        case LeaderElected():
            return "leader changes"
        case PartitionOffline():
            return "offline partitions"
        case IsrChanged(partition=partition, isr=isr):
            before, isrs[partition] = isrs.get(partition, isr), isr
            if set(before) - set(isr):
                return "ISR shrinks"
            return "ISR expansions" if set(isr) - set(before) else ""
        case Truncated():
            return "truncations"
        case DuplicateDropped():
            return "duplicates dropped"
        case SequenceRefused(error=Error.OUT_OF_ORDER_SEQUENCE_NUMBER):
            return "sequences refused"
        case EpochBumped():
            return "producer epoch bumps"
        case GroupChanged(state=GroupState.STABLE):
            return "rebalances"
    return ""
