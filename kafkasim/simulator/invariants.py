"""What is true of Kafka's replication at every moment, whatever fails: asked after every message, for the host that just acted.

The names are those of Jack Vanlightly's TLA+ models (kafka-tlaplus, kraft/kip-966) where he has the invariant, Jepsen's where it is
hers; violations.py gives each a sentence and its source. The settings do not matter here: acks=0 and one replica keep all of them, too.
What a configuration promises its users is another matter (promises.py), and is asked at the end of a run.

Three things take a guarantee away, and each is counted in `waived`. An unclean election (on demand, or of KIP-966's last known leader):
what the new leader lacks is given up, and leaders of older epochs count no more. And without ELR a replica that lost its page cache
stays in the ISR, and may be elected in all honesty. Between a power failure and its next registration a broker is dead: it stands in
the ISR with a log that lacks its tail, and nobody is harmed. And where retention has removed a leader's records, what a returning replica
has at these offsets is compared with nothing (LeaderEpochFileCache.endOffsetFor knows no epoch as old as its): it is in the ISR at once,
and until an answer tells it where the leader's log begins it may be elected, and show records that nobody committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kafkasim.admin_faults import Elect
from kafkasim.progress import Progress
from kafkasim.protocol.broker import Broker, BrokerDisk
from kafkasim.protocol.controller import Controller
from kafkasim.protocol.election import is_unclean
from kafkasim.protocol.errors import NO_ERROR
from kafkasim.protocol.log import Log
from kafkasim.protocol.messages import BrokerRegistration, FetchResponse, MetadataRecord, PartitionRegistration, ProduceResponse
from kafkasim.protocol.metadata import NO_LEADER
from kafkasim.protocol.node import Send, broker_name
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.quorum_controller import QuorumController
from kafkasim.protocol.records import LogBatch, TopicPartition
from kafkasim.protocol.replication_control import ControllerState
from kafkasim.scenario import Scenario
from kafkasim.simulator.driver import Host
from kafkasim.simulator.histories import History, Seen, batch_at, show
from kafkasim.simulator.violations import InvariantViolated

_CONTROLLERS = (Controller, QuorumController)


class Invariants:
    """Watches one run (a Watcher). `reached` counts what it saw and no trace event tells; `waived` what nobody promises any more."""

    def __init__(
        self,
        scenario: Scenario,
        controller: ControllerState,
        disks: Mapping[int, BrokerDisk],
        hosts: Mapping[str, Host],
        progress: Progress,
    ) -> None:
        self.reached: Counter[str] = Counter()
        self.waived: Counter[str] = Counter()
        self._controller = controller
        self._image = controller.image
        self._disks = disks
        self._hosts = hosts
        self._progress = progress
        self._waits_for_isr = {p.name for p in scenario.producers if scenario.producer_settings(p.name).acks == -1}
        self._clients = {*(p.name for p in scenario.producers), *(node for group in scenario.consumers for node in group.nodes)}
        counts = {topic: part.partitions for topic, part in scenario.topics.items()}
        asked = [fault for fault in scenario.faults if isinstance(fault, Elect) and fault.election == "unclean"]
        self._unclean_on_demand = {partition for fault in asked for partition in fault.subjects(counts)}
        self._read = 0  # records of the metadata log that were looked at
        self._registrations: dict[TopicPartition, PartitionRegistration] = {}
        self._broker_epochs: dict[int, int] = {}
        self._histories: dict[TopicPartition, History] = {}
        self._seen: dict[tuple[int, TopicPartition], Seen] = {}
        self._doubtful: dict[int, set[TopicPartition]] = {}  # of each broker that lost power: where its log is not what its ISR says
        self._strays: set[tuple[int, TopicPartition]] = set()  # in the ELR, and no replica any more (PartitionChangeBuilder)
        self._now = 0.0

    # ------------------------------------------------------------------------------------------------ Watcher

    def acted(self, host: Host, outputs: list[Any], now: float) -> None:
        """See watched_driver.Watcher."""
        node = host.node
        self._now = now
        if type(node) is Broker:
            in_service = node.accepts_connections
            for name, hosted in node.replica_manager.hosted.items():
                self._look(node.broker_id, name, hosted.partition, in_service)
            for output in outputs:
                if type(output) is Send:
                    self._answered(node, output.peer, output.message)
        elif type(node) in _CONTROLLERS and len(self._controller.records) != self._read:
            self._metadata(self._controller.records[self._read :])

    def ended(self, host: Host, now: float) -> None:
        """See watched_driver.Watcher."""
        self.acted(host, [], now)
        if type(host.node) is Broker:
            for (broker_id, _), seen in self._seen.items():
                if broker_id == host.node.broker_id:
                    seen.process_ended()

    def power_failed(self, node: str, now: float) -> None:
        """See watched_driver.Watcher. The disk lost its tail: no rule of Kafka is broken by that, but its logs are shorter."""
        self._now = now
        for broker_id, disk in self._disks.items():
            if broker_name(broker_id) != node:
                continue
            for name, log in disk.logs.items():
                self._follow_log(broker_id, name, log, self._replica(broker_id, name), None)
            self._doubtful[broker_id] = set(disk.logs)

    # ------------------------------------------------------------------------------------------------ a broker's replica

    def _look(self, broker_id: int, name: TopicPartition, partition: Partition, in_service: bool) -> None:
        """Has anything changed here since the last time? Mostly not, and that is found out in one comparison.

        Without being `in_service` a leader answers nobody: a process that has just started reads in the metadata log that it leads,
        since its former self was elected before anybody missed it. Its registration will end that; what its log lacks harms nobody.
        """
        log = partition.log
        state = (
            log.appends,
            log.log_end_offset,
            log.log_start_offset,
            partition.high_watermark,
            partition.leader_epoch,
            partition.partition_epoch,
            partition.is_leader,
            partition.maximal_isr,
            in_service,
        )
        seen = self._replica(broker_id, name)
        if state == seen.state:
            return
        seen.state = state
        if partition.is_leader and in_service:
            self._history(name).expire_below(log.log_start_offset)
        self._check_epochs(broker_id, partition, seen, in_service)
        self._follow_log(broker_id, name, log, seen, partition)
        self._check_high_watermark(broker_id, partition, seen, in_service)
        seen.is_leader, seen.high_watermark = partition.is_leader and in_service, partition.high_watermark
        if partition.partition_epoch != seen.partition_epoch:
            seen.proposed = ()
        seen.leader_epoch, seen.partition_epoch = partition.leader_epoch, partition.partition_epoch
        if len(partition.maximal_isr) > len(partition.isr):
            seen.proposed += partition.maximal_isr
        self._check_maximal_isr(name)

    def _check_epochs(self, broker_id: int, partition: Partition, seen: Seen, in_service: bool) -> None:
        """Epochs only grow; who begins to lead is the only one in its epoch, and has what older leaders committed."""
        name, epoch = partition.partition, partition.leader_epoch
        if epoch < seen.leader_epoch or partition.partition_epoch < seen.partition_epoch:
            before, now = (seen.leader_epoch, seen.partition_epoch), (epoch, partition.partition_epoch)
            self._violated("EpochsGrow", name, f"broker {broker_id} went back from leader and partition epoch {before} to {now}")
        if not partition.is_leader or (seen.is_leader and epoch == seen.leader_epoch):
            return
        history = self._history(name)
        self._leads(history, epoch, broker_id)
        if in_service and epoch >= history.unclean_epoch and not history.held_by(partition.log, epoch):
            self._violated(
                "LeaderCompleteness", name, f"broker {broker_id} begins leader epoch {epoch} without {show(history.tail(epoch))}"
            )

    def _follow_log(self, broker_id: int, name: TopicPartition, log: Log, seen: Seen, partition: Partition | None) -> None:
        """What was cut off this log, and what was appended to it. Without `partition` no process did it: the power failed."""
        if seen.log is not log:  # a reassignment took the replica away, its log was deleted, and now there is another one
            seen.log, seen.batches, seen.sequences = log, [], set()
        known, batches = seen.batches, log.batches
        first = batches[0].base_offset if batches else log.log_start_offset
        while known and known[0].base_offset < min(first, log.log_start_offset):  # retention; a whole segment goes, and nobody lost it
            batch = known.pop(0)
            seen.sequences.discard(_sequence(batch))
        while known and (len(known) > len(batches) or known[-1] is not batches[len(known) - 1]):
            batch = known.pop()
            seen.sequences.discard(_sequence(batch))
            if partition is not None and self._history(name).is_committed(batch):
                self._violated("NoCommittedRecordLost", name, f"broker {broker_id} cut off {show(batch)}, which is committed")
        for place in range(len(known), len(batches)):
            self._appended(broker_id, name, known[-1] if known else None, batches[place], seen, partition)
            known.append(batches[place])

    def _appended(
        self, broker_id: int, name: TopicPartition, before: LogBatch | None, batch: LogBatch, seen: Seen, partition: Partition | None
    ) -> None:
        """Follower and leader alike: the batch fits what is there, and is the one that all other logs have at its place."""
        if before is not None and (batch.base_offset != before.next_offset or batch.leader_epoch < before.leader_epoch):
            self._violated("NoHole", name, f"on broker {broker_id} {show(batch)} follows {show(before)}")
        if batch.batch.producer_id >= 0:
            sequence = _sequence(batch)
            if sequence in seen.sequences:
                self._violated(
                    "NoDuplicate", name, f"broker {broker_id} has {show(batch)} a second time (producer id, epoch: {sequence[:2]})"
                )
            seen.sequences.add(sequence)
        history, key = self._history(name), (batch.leader_epoch, batch.base_offset)
        known = history.writers.get(key)
        if known is None:
            history.writers[key] = (batch, before)
            self._leads(history, batch.leader_epoch, broker_id)
            registration = self._image.partitions.get(name)
            if partition is not None and registration is not None and batch.leader_epoch < registration.leader_epoch:
                self.reached["zombie writes"] += 1
        elif known[0].batch is not batch.batch or (before is not None and known[1] is not None and before.batch is not known[1].batch):
            first, its_before = known
            self._violated(
                "LogMatching",
                name,
                f"broker {broker_id} has {show(batch)} behind {show(before)}, but {show(first)} was written behind {show(its_before)}",
            )

    def _check_high_watermark(self, broker_id: int, partition: Partition, seen: Seen, in_service: bool) -> None:
        """A leader's high watermark: it grows, it commits, and what it commits is what every other leader has below it."""
        name, high_watermark = partition.partition, partition.high_watermark
        same_term = partition.is_leader and seen.is_leader and partition.leader_epoch == seen.leader_epoch
        if high_watermark > partition.log.log_end_offset or (same_term and high_watermark < seen.high_watermark):
            sentence = f"broker {broker_id} moved it from {seen.high_watermark} to {high_watermark}, its log ends at"
            self._violated("HighWatermarkGrows", name, f"{sentence} {partition.log.log_end_offset}")
        if not partition.is_leader or not in_service or (same_term and high_watermark == seen.high_watermark):
            return
        history = self._history(name)
        if partition.leader_epoch < history.unclean_epoch:
            history.disown(partition.log, max(0, seen.high_watermark), high_watermark)
            return
        if high_watermark > history.high_watermark:
            missing = history.commit(partition.log, high_watermark, partition.leader_epoch)
            if missing is not None:
                self._violated("LeaderCompleteness", name, f"leader {broker_id} moved its high watermark without {show(missing)}")
            self._check_candidates(name)
        elif (other := history.contradicts(partition.log, high_watermark)) is not None:
            self._violated("LeaderCompleteness", name, f"leader {broker_id} has {show(other)} where another batch is committed")

    def _check_maximal_isr(self, name: TopicPartition) -> None:
        """Asked when the controller's ISR has changed, or a leader's picture of it.

        Kafka has one gap here, as its own comment in Partition.makeLeader says: news of a partition epoch that the leader has already
        from an answer takes back what it has proposed since, while the controller may grant that. Until the leader hears of the grant its
        high watermark waits for the newcomer for another reason only: it has caught up (maybeIncrementLeaderHW).
        """
        registration = self._image.partitions.get(name)
        if registration is None or registration.leader == NO_LEADER:
            return
        node = self._hosts[broker_name(registration.leader)].node
        hosted = node.replica_manager.hosted.get(name) if type(node) is Broker else None
        if hosted is None or not hosted.partition.is_leader or hosted.partition.leader_epoch != registration.leader_epoch:
            return
        missing = [member for member in registration.isr if member not in hosted.partition.maximal_isr]
        proposed = self._replica(registration.leader, name).proposed
        unheard = hosted.partition.partition_epoch < registration.partition_epoch
        if missing and unheard and all(member in proposed for member in missing):
            self.waived["ISR expansions granted that the leader had taken back"] += 1
        elif missing:
            sentence = (
                f"leader {registration.leader} counts with {hosted.partition.maximal_isr}, the controller's ISR is {registration.isr}"
            )
            self._violated("ReplicationQuorumSuperset", name, sentence)

    # ------------------------------------------------------------------------------------------------ the controller

    def _metadata(self, records: list[MetadataRecord]) -> None:
        """The controller wrote: each record by itself, then what must hold when all of them do."""
        changed: dict[TopicPartition, None] = {}
        self._read += len(records)
        for record in records:
            if isinstance(record, BrokerRegistration):
                self._broker_registered(record)
                changed |= {name: None for name, registration in self._registrations.items() if record.broker_id in registration.isr}
            elif isinstance(record, PartitionRegistration):
                self._partition_changed(record)
                changed[record.partition] = None
        for name in changed:
            registration = self._image.partitions[name]
            fenced = [member for member in registration.isr if self._image.brokers[member].fenced]
            if fenced and (self._controller.eligible_leader_replicas or len(registration.isr) > 1):
                self._violated("LiveIsr", name, f"the ISR is {registration.isr}, but {fenced} is fenced")
            self._check_candidates(name)
            self._check_maximal_isr(name)

    def _broker_registered(self, record: BrokerRegistration) -> None:
        """Another process: with ELR an unclean shutdown has cost it its place, so nothing about it is doubtful any more."""
        if self._broker_epochs.get(record.broker_id) != record.broker_epoch:
            self._broker_epochs[record.broker_id] = record.broker_epoch
            if self._controller.eligible_leader_replicas:
                self._doubtful.pop(record.broker_id, None)

    def _partition_changed(self, after: PartitionRegistration) -> None:
        name, before = after.partition, self._registrations.get(after.partition)
        self._registrations[name] = after
        history = self._history(name)
        if after.leader != NO_LEADER:
            self._leads(history, after.leader_epoch, after.leader)
            if after.leader not in after.isr:
                self._violated("LiveIsr", name, f"{after.leader} leads, and the ISR is {after.isr}")
        if before is None:
            return
        if after.leader_epoch < before.leader_epoch or after.partition_epoch <= before.partition_epoch:
            self._violated("EpochsGrow", name, f"the controller wrote {after} after {before}")
        if after.leader in {before.leader, NO_LEADER}:
            return
        held = history.held_by(self._log(after.leader, name))
        # A reassignment that ends or is cancelled may elect somebody who is in no ISR of before: one it has just let in, or anybody.
        anybody = after.replicas != before.replicas and not held and after.leader not in {*before.isr, *before.elr}
        if is_unclean(before, after) or (anybody and self._may_be_unclean(name)):
            if before.last_known_elr != (after.leader,) and not self._may_be_unclean(name):
                self._violated("NoUncleanElection", name, f"the controller elected {after.leader} after {before}")
            self._waive(history, after, "unclean elections")
        elif not self._is_doubtful(after.leader, name) and not held:
            self._violated("LeaderCompleteness", name, f"{after.leader} was elected cleanly without {show(history.tail())}")
        elif (after.leader, name) in self._strays and not held:
            self._waive(history, after, "elections of a replica that a reassignment had deleted, and left in the ELR")
        elif not self._controller.eligible_leader_replicas and not held:
            self._waive(history, after, "elections of a replica that lost its page cache, without ELR")

    def _may_be_unclean(self, name: TopicPartition) -> bool:
        """The topic's setting allows it, or an administrator asks for it in this run (KIP-460)."""
        return str(name) in self._unclean_on_demand or self._controller.topic_configs[name.topic].unclean_leader_election_enable

    def _waive(self, history: History, elected: PartitionRegistration, why: str) -> None:
        self.waived[why] += 1
        self.waived["committed batches given up"] += history.give_up(self._log(elected.leader, elected.partition), elected.leader_epoch)

    def _check_candidates(self, name: TopicPartition) -> None:
        """Whoever may be elected cleanly next has everything. Who is no replica any more may still be in the ELR, and is not elected."""
        registration, history = self._image.partitions.get(name), self._history(name)
        if registration is None:
            return
        self._strays |= {(member, name) for member in registration.elr if member not in registration.replicas}
        for member in (*registration.isr, *registration.elr):
            if history.held_by(self._log(member, name)):
                self._strays.discard((member, name))
                if self._hosts[broker_name(member)].node is not None:
                    self._doubtful.get(member, set()).discard(name)  # without ELR: it has caught up again
            elif not self._is_doubtful(member, name):
                what = f"ISR {registration.isr} and ELR {registration.elr} name {member}, which lacks {show(history.tail())}"
                self._violated("LeaderCandidateCompleteness", name, what)

    # ------------------------------------------------------------------------------------------------ what clients are told

    def _answered(self, broker: Broker, peer: str, message: object) -> None:
        """A broker's answer to a producer or consumer, on its way."""
        kind = type(message)
        if kind is FetchResponse and peer.partition("#")[0] in self._clients:
            for fetched in message.partitions:  # type: ignore[attr-defined]  # `kind` says so
                for batch in fetched.batches:
                    history = self._history(fetched.partition)
                    if history.is_committed(batch) or history.is_given_up(batch):
                        continue
                    if history.has_expired(batch):
                        self.waived["reads of what stands where committed records have expired"] += 1
                    else:
                        what = f"{peer} is shown {show(batch)} by broker {broker.broker_id}, which is not committed"
                        self._violated("ConsistentRead", fetched.partition, what)
        elif kind is ProduceResponse and peer.partition("#")[0] in self._waits_for_isr:
            for result in message.results:  # type: ignore[attr-defined]  # `kind` says so
                if result.error is not NO_ERROR or result.base_offset < 0:
                    continue
                history, log = self._history(result.partition), self._log(broker.broker_id, result.partition)
                acked = None if log is None else batch_at(log, result.base_offset)
                if acked is not None and not history.is_committed(acked) and not history.is_given_up(acked):
                    what = f"broker {broker.broker_id} tells {peer} that {show(acked)} is safe, and it is not committed"
                    self._violated("AckedIsCommitted", result.partition, what)

    # ------------------------------------------------------------------------------------------------ helpers

    def _leads(self, history: History, epoch: int, broker_id: int) -> None:
        """In `epoch` this broker leads, or writes as only a leader does."""
        known = history.leaders.setdefault(epoch, broker_id)
        if known != broker_id:
            self._violated("OneLeaderPerEpoch", history.partition, f"{broker_id} leads or writes in epoch {epoch}, whose leader is {known}")

    def _is_doubtful(self, broker_id: int, name: TopicPartition) -> bool:
        return name in self._doubtful.get(broker_id, ()) or (broker_id, name) in self._strays

    def _history(self, name: TopicPartition) -> History:
        found = self._histories.get(name)
        if found is None:
            found = self._histories[name] = History(name)
        return found

    def _replica(self, broker_id: int, name: TopicPartition) -> Seen:
        found = self._seen.get((broker_id, name))
        if found is None:
            found = self._seen[broker_id, name] = Seen()
        return found

    def _log(self, broker_id: int, name: TopicPartition) -> Log | None:
        return self._disks[broker_id].logs.get(name)

    def _violated(self, name: str, partition: TopicPartition, sentence: str) -> None:
        raise InvariantViolated(name, f"{(self._now - self._progress.zero) / 1000:.3f} s, {partition}: {sentence}")


def _sequence(batch: LogBatch) -> tuple[int, int, int]:
    return batch.batch.producer_id, batch.batch.producer_epoch, batch.batch.base_sequence
