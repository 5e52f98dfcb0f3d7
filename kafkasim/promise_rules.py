"""When a promise is given: one rule a promise, from the settings and from what happened to whom.

Kafka's promises are conditional (design.html, "Message Delivery Semantics"; ProducerConfig's acks, enable.idempotence; KafkaConsumer's
"Offsets and Consumer Position"). A rule answers `Given`, because of these settings, or `Withheld`, and says why. It sees no finding.
"""

from __future__ import annotations

from typing import NamedTuple

from kafkasim.circumstances import UNSAFE_GENERATIONS, Faults, GroupCase, ProducerCase, RunCase, TopicCase

_LEFT_IN_ELR = "a reassignment to fewer replicas than min.insync.replicas, which leaves former ones in the ELR,"
_ELR_EMPTIED = "another min.insync.replicas in mid-run, which empties the ELR,"


class Given(NamedTuple):
    """The promise is given, because of these settings."""

    because: str


class Withheld(NamedTuple):
    """The promise is not given; the beginning of a sentence that says why."""

    because: str


# ---------------------------------------------------------------------------------------------------- records and their order


def keeps_committed_records(topic: TopicCase, faults: Faults) -> Given | Withheld:
    """What all in-sync replicas have survives while a replica that had it, and kept its log, is there to lead.

    min.insync.replicas is how many are known to have it; all but one of them may fail. A kill -9 keeps the page cache: only a power loss
    loses what was not flushed. But it is an unclean shutdown: the broker leaves ISR and ELR (KIP-966), and once all replicas have, the
    last known leader may lead with what its disk still has. With unclean election, allowed or asked for, any failure counts, for a replica
    without the record may be made leader. A reassignment takes nothing away: it is complete when the new replicas are in sync. The older
    generations of replication lose or mix up records when leaders change.

    Without ELR (before 4.1, or switched off) nobody remembers who left the ISR with everything: its last member alone leads again,
    whatever a power loss took from it, and the others cut their logs to match. So one power loss is enough once the others may have left.
    """
    if topic.truncation in UNSAFE_GENERATIONS and topic.replication_factor > 1 and faults.leaders_may_move():
        return Withheld(f"cluster.truncation={topic.truncation} promises nothing when leaders change")
    replicas = topic.min_insync_replicas
    failed = topic.replication_factor if faults.controller_failed else len(faults.failed_brokers)
    if topic.unclean_leader_election and failed >= replicas:
        return Withheld(f"unclean.leader.election.enable=true with min.insync.replicas={replicas} promises nothing when {replicas} fail")
    if topic.elected_uncleanly and failed >= replicas:
        return Withheld(f"min.insync.replicas={replicas} promises nothing when {replicas} fail and an administrator elects uncleanly")
    if _elr_spoiled(topic, faults):
        return Withheld(f"{_elr_spoiled(topic, faults)} promises nothing when brokers fail")
    if not topic.flushes_each_message and len(faults.lost_power) >= replicas:
        return Withheld(f"min.insync.replicas={replicas} promises nothing when {replicas} lose power before a flush")
    if not topic.eligible_leader_replicas:
        everybody = faults.may_have_left_the_isr(topic.replication_factor) == topic.replication_factor
        if not topic.flushes_each_message and faults.lost_power and everybody:
            return Withheld(
                f"min.insync.replicas={replicas} without eligible leader replicas promises nothing when the ISR's last member loses power"
            )
    elif not topic.flushes_each_message and faults.lost_power and len(faults.died_uncleanly) >= replicas:
        return Withheld(f"min.insync.replicas={replicas} promises nothing when {replicas} die uncleanly and one of them loses power")
    return Given(f"min.insync.replicas={replicas}")


def durability(producer: ProducerCase, faults: Faults) -> Given | Withheld:
    """acks=0 asks for nothing; acks=1 for the leader's word, good while it leads; acks=all for that of the whole ISR."""
    if producer.acks == 0:
        return Withheld("acks=0 promises nothing")
    if producer.acks == 1:
        if not faults.leaders_may_move():
            return Given("acks=1, and no leader failed")
        failed = faults.failed_brokers or faults.controller_failed
        return Withheld(f"acks=1 promises nothing when {'a leader fails' if failed else 'another leader is elected'}")
    kept = keeps_committed_records(producer.topic, faults)
    return Given(f"acks=all, {kept.because}") if isinstance(kept, Given) else Withheld(f"acks=all with {kept.because}")


def no_duplicates(producer: ProducerCase, faults: Faults) -> Given | Withheld:
    """KIP-98: within one session the broker knows a batch it has. The application's own re-sends are not covered (and not counted here).

    It does not know it any more once producer.id.expiration.ms has passed; and a process that was restarted begins with the newest batch
    of each producer (producer_state.py): where no replica was spared, such a one may lead when a retry of an older batch comes.
    """
    if producer.idempotent:
        expiration_ms, patience_ms = producer.producer_id_expiration_ms, producer.delivery_timeout_ms
        if expiration_ms < patience_ms:
            return Withheld(
                f"producer.id.expiration.ms={expiration_ms:g} below delivery.timeout.ms={patience_ms:g} promises no single copy"
            )
        if faults.restarted and len(faults.failed_brokers) >= producer.topic.replication_factor:
            return Withheld(
                "a broker that restarts remembers one batch of a producer: idempotence promises no single copy when all replicas fail"
            )
        return Given("enable.idempotence=true")
    if producer.retries == 0:
        return Given("retries=0")
    return Withheld("enable.idempotence=false with retries promises no single copy")


def order(producer: ProducerCase, _faults: Faults) -> Given | Withheld:
    """A retried batch may be overtaken by the next one, unless that waits or the broker insists on sequence numbers."""
    if producer.idempotent:
        return Given("enable.idempotence=true")
    if producer.max_in_flight == 1:
        return Given("max.in.flight.requests.per.connection=1")
    return Withheld(f"max.in.flight.requests.per.connection={producer.max_in_flight} without idempotence promises no order")


def always(_case: object, _faults: Faults) -> Given | Withheld:
    """No configuration takes this away."""
    return Given("whatever the configuration")


def drain(run: RunCase, faults: Faults) -> Given | Withheld:
    """Everything ends; but a group whose polls take longer than max.poll.interval.ms is thrown out before it commits, again and again."""
    for group in run.groups:
        if group.longest_poll_ms > group.max_poll_interval_ms:
            return Withheld(f"{group.name}: a full poll takes longer than max.poll.interval.ms={group.max_poll_interval_ms:g}")
    for producer in run.producers:
        if _never_written(producer, faults):
            return Withheld(f"{producer.name}: {_never_written(producer, faults)}")
    return Given("whatever the faults were")


def _elr_spoiled(topic: TopicCase, faults: Faults) -> str:
    """What an administrator did to the eligible leader replicas, where brokers failed, too; else empty."""
    if not faults.failed_brokers and not faults.controller_failed:
        return ""
    return _LEFT_IN_ELR if topic.left_in_elr else (_ELR_EMPTIED if topic.elr_emptied else "")


def _never_written(producer: ProducerCase, faults: Faults) -> str:
    """Why an application that sends again whatever failed may do so for ever; else empty."""
    if _elr_spoiled(producer.topic, faults):
        return f"{_elr_spoiled(producer.topic, faults)} may leave a partition without a leader when brokers fail"
    if producer.acks == -1 and producer.on_failure != "drop" and producer.topic.min_isr_out_of_reach:
        return "min.insync.replicas above the replication factor refuses acks=all for ever in this version"
    return ""


def resolution(producer: ProducerCase, faults: Faults) -> Given | Withheld:
    """delivery.timeout.ms ends every wait; only what a producer held in memory when it died is answered by nobody."""
    if producer.name in faults.dead_clients:
        return Withheld("a producer that dies takes what it had not sent with it")
    return Given(f"delivery.timeout.ms={producer.delivery_timeout_ms:g}")


def compensation(producer: ProducerCase, faults: Faults) -> Given | Withheld:
    """The application sends again what failed (from its spool, or at once), until the callback says success."""
    if producer.on_failure == "drop":
        return Withheld("on.failure=drop repairs no failure")
    if _never_written(producer, faults):
        return Withheld(_never_written(producer, faults))
    if producer.name in faults.dead_clients:
        return Withheld("a producer that dies takes what it had not sent with it")
    return Given(f"on.failure={producer.on_failure}")


def at_least_once(group: GroupCase, faults: Faults) -> Given | Withheld:
    """An offset is committed only when everything before it has been handled, and its flag is not set before its effect."""
    way = _commits_after(group)
    if isinstance(way, Withheld):
        return way
    if group.dedup != "none" and group.dedup_order == "mark-first":
        return Withheld("dedup.order=mark-first loses an effect when a crash falls between mark and effect")
    if group.auto_offset_reset == "none" and _retention(group):
        return Withheld(f"auto.offset.reset=none ends an application when {_retention(group)} has deleted what it had not read")
    return _while_committed(group, faults, way)


def nothing_skipped(group: GroupCase, faults: Faults) -> Given | Withheld:
    """Where a group has no position (or one the log no longer has), auto.offset.reset gives it one. Retention asks nobody who has read.

    librdkafka, where a log was cut, goes back no further than to its new end, and throws away what it had fetched and not handed over.
    """
    overtaken = f"{_retention(group)} may delete what the group has not read" if _retention(group) else ""
    if group.auto_offset_reset == "latest" or group.auto_offset_reset.startswith("by_duration:"):
        begins = "at the end" if group.auto_offset_reset == "latest" else "at a time"
        reset = f"auto.offset.reset={group.auto_offset_reset} begins {begins}, whatever came before"
        return Withheld(f"{overtaken}, and {reset}" if overtaken else reset)
    if overtaken:
        return Withheld(overtaken)
    given = Given(f"auto.offset.reset={group.auto_offset_reset}")
    return _while_committed(group, faults, given) if group.client == "librdkafka" else given


def at_most_once(group: GroupCase, faults: Faults) -> Given | Withheld:
    """The offset is committed before anything is handled: a crash loses the rest of the poll and repeats nothing.

    A commit is a record like any other, and can be lost like one; with offsets.commit.required.acks=1 as easily as with acks=1.
    """
    if group.commit != "before-processing":
        return Withheld(f"commit={group.commit} promises no single handling")
    if group.offsets_expired:
        return Withheld(f"{group.offsets_expired} lets a group that was away for so long begin anew")
    if group.offsets_required_acks != -1 and faults.leaders_may_move():
        acks = group.offsets_required_acks
        return Withheld(f"offsets.commit.required.acks={acks} promises no commit when a coordinator fails")
    kept = keeps_committed_records(group.offsets, faults)
    if isinstance(kept, Withheld):
        return Withheld(f"{group.offsets.name} with {kept.because}")
    return _while_committed(group, faults, Given("commit=before-processing"))


def effects_at_most_once(group: GroupCase, _faults: Faults) -> Given | Withheld:
    """The flag is set before the effect, or together with it."""
    if group.dedup == "none":
        return Withheld("dedup=none promises no single effect")
    if group.dedup_order == "mark-last":
        return Withheld("dedup.order=mark-last repeats an effect when a crash falls between effect and mark")
    return Given(f"dedup={group.dedup}, dedup.order={group.dedup_order}")


def exactly_once_effects(group: GroupCase, faults: Faults) -> Given | Withheld:
    """At least once by the commit, at most once by the flag store: mark and effect in one transaction."""
    if group.dedup == "none" or group.dedup_order != "transaction":
        return Withheld("only dedup.order=transaction promises each effect exactly once")
    handled = at_least_once(group, faults)
    return Given(f"{handled.because}, dedup.order=transaction") if isinstance(handled, Given) else handled


def consistent_read(group: GroupCase, faults: Faults) -> Given | Withheld:
    """Consumers are shown only what lies below the high watermark, that is, what the ISR has."""
    return _while_committed(group, faults, Given("consumers read below the high watermark"))


def agreement(run: RunCase, faults: Faults) -> Given | Withheld:
    """An offset that was ever reported holds that record for good, where every ack was one of durability."""
    for producer in run.producers:
        kept = durability(producer, faults)
        if isinstance(kept, Withheld):
            return kept
    return Given("every ack was durable")


# ---------------------------------------------------------------------------------------------------- helpers


def _commits_after(group: GroupCase) -> Given | Withheld:
    """Whether a commit never runs ahead of the handling."""
    match group.commit:
        case "after-processing":
            return Given("commit=after-processing")
        case "auto" if group.client == "java":
            return Given("auto-commit in poll() covers only what earlier polls returned")
        case "auto":
            return Withheld("librdkafka's auto-commit stores an offset before the record is handled: it promises no handling")
        case "worker-threads" if group.worker_commit == "lowest-contiguous":
            return Given("worker.commit=lowest-contiguous")
        case "worker-threads":
            return Withheld(f"worker.commit={group.worker_commit} commits ahead of the workers: it promises no handling")
    return Withheld(f"commit={group.commit} promises no handling")


def _retention(group: GroupCase) -> str:
    """The settings by which retention has removed something in this run of what the group reads; "" if it has not."""
    return " or ".join(dict.fromkeys(f"{key}={value}" for topic in group.topics for key, value in topic.retention))


def _while_committed(group: GroupCase, faults: Faults, given: Given) -> Given | Withheld:
    """A group's promise holds as long as the logs it reads keep what was committed."""
    for topic in group.topics:
        kept = keeps_committed_records(topic, faults)
        if isinstance(kept, Withheld):
            return kept
    return given
