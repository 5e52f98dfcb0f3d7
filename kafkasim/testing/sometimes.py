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
from kafkasim.protocol.controller_trace import AssignmentChanged, IsrChanged, LeaderElected, PartitionOffline
from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import SegmentsDeleted, Truncated
from kafkasim.protocol.partition import DuplicateDropped, SequenceRefused
from kafkasim.protocol.quorum_controller import ControllerActive
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replica_manager import ReplicaDeleted
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
    "controller fail-overs": "another controller of the quorum became the active one",
    "replicas moved": "an assignment changed",
    "replicas deleted": "a broker deleted its replica's log",
    "elections on demand": "an administrator asked for an election, and it took place",
    "settings altered": "an administrator changed a topic's setting",
    "segments deleted": "retention deleted segments of a log",
    "overtaken by retention": "a record was deleted before a group came to it, and that was not promised",
    "acked records lost": "a record was lost in silence, where nothing was promised",
    "duplicates in the log": "a record was in the log twice, where nothing was promised",
}

_REACHED_WITH: Mapping[type, str] = {
    LeaderElected: "leader changes",
    PartitionOffline: "offline partitions",
    Truncated: "truncations",
    DuplicateDropped: "duplicates dropped",
    EpochBumped: "producer epoch bumps",
    ControllerActive: "controller fail-overs",
    AssignmentChanged: "replicas moved",
    ReplicaDeleted: "replicas deleted",
    SegmentsDeleted: "segments deleted",
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
    acted = [fault.fault for fault in ledger.faults if fault.fired is not None]
    reached["elections on demand"] += acted.count("elect") - sum("did not take place" in note for note in report.notes)
    reached["settings altered"] += acted.count("alter-config")
    reached["offset resets"] += sum(skipped.at > 0 for skipped in ledger.skipped)
    reached["overtaken by retention"] += sum(found.count for found in report.findings if found.name == "overtaken_by_retention")
    reached["acked records lost"] += report.acked_lost
    reached["duplicates in the log"] += report.log_duplicates
    return reached


def _reached_with(event: Any, isrs: dict[TopicPartition, tuple[int, ...]]) -> str:
    """What an event of the trace is an instance of, or ""."""
    match event:
        case IsrChanged(partition=partition, isr=isr):
            before, isrs[partition] = isrs.get(partition, isr), isr
            if set(before) - set(isr):
                return "ISR shrinks"
            return "ISR expansions" if set(isr) - set(before) else ""
        case SequenceRefused(error=Error.OUT_OF_ORDER_SEQUENCE_NUMBER):
            return "sequences refused"
        case GroupChanged(state=GroupState.STABLE):
            return "rebalances"
    return _REACHED_WITH.get(type(event), "")
