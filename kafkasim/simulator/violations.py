"""The invariants of Kafka's replication by name: a sentence for each, and its source. invariants.py watches over them."""

from __future__ import annotations

from collections.abc import Mapping

INVARIANTS: Mapping[str, str] = {
    "LogMatching": "one leader epoch and offset is one batch in every log, with the same batch before it (kip-966; Raft's property)",
    "OneLeaderPerEpoch": "a leader epoch has one leader, and only that one writes in it (KIP-101)",
    "EpochsGrow": "no leader epoch and no partition epoch ever goes back, in a process or in the metadata log (KIP-320, KIP-497)",
    "NoHole": "batches follow each other without a gap, and their leader epochs never fall (UnifiedLog)",
    "NoDuplicate": "one producer epoch and sequence number is in a log once (KIP-98)",
    "HighWatermarkGrows": "in one leader epoch a leader's high watermark never goes back, and never passes its log's end (Partition)",
    "LeaderCompleteness": "who is elected cleanly has everything that was committed (kip-966)",
    "LeaderCandidateCompleteness": "every member of ISR and ELR has everything that is committed (kip-966)",
    "ReplicationQuorumSuperset": "the leader's maximal ISR holds every member of the controller's ISR (kip-966, AsyncIsr)",
    "NoCommittedRecordLost": "no process cuts a committed record off its log (kip-966: NoCommittedRecordLostGlobally)",
    "LiveIsr": "no fenced broker is in an ISR, and the leader is (KIP-841)",
    "NoUncleanElection": "nobody from outside ISR and ELR leads unless unclean.leader.election.enable=true or KIP-966 names it",
    "AckedIsCommitted": "a success for acks=all means that all of the ISR has the batch (ProducerConfig: acks)",
    "ConsistentRead": "a consumer is shown committed batches only, so that an offset never shows it another record later (kip-966; Jepsen)",
}


class InvariantViolated(AssertionError):  # noqa: N818 - it is what happened, in the words of the reports
    """`name` is a key of INVARIANTS; the text says when, where and what."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name} ({INVARIANTS[name]}): {sentence}")
        self.name = name
        self.sentence = sentence
