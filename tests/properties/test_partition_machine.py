"""One partition on three brokers, with a network and a controller played by hand: what its leaders believe, and what is committed.

Two models stand beside it. `Truth` is the controller: one registration, and the metadata log that every broker reads as late as it likes.
`PlainLeader` is one leader's view, computed anew each time from all the fetches that it has seen: who has caught up when, who belongs to
the ISR, and how far the high watermark may go. Requests and answers arrive late, twice, or never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from machine_budget import budget

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.isr import ProposedIsr
from kafkasim.protocol.log import Log
from kafkasim.protocol.messages import BrokerRegistration, FetchedPartition, FetchPartition, MetadataRecord, PartitionRegistration
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.records import RecordBatch, TopicPartition

BUDGET = (400, 50)  # examples, and rules in each

ORDERS = TopicPartition("orders", 0)
REPLICAS = (1, 2, 3)
LAG_MS = 100.0
BROKERS = st.sampled_from(REPLICAS)
REPLICATED = st.sampled_from(["by nobody", "by one", "by all"])
LEADERS = st.sampled_from([0, 0, 0, 0, *REPLICAS])  # 0: whoever leads in truth; another may believe that it does
PROPOSAL_ACTS = [
    *["is granted"] * 3,
    *["is decided"] * 2,
    *["is answered"] * 2,
    "answer is lost",
    Error.NOT_CONTROLLER,
    Error.UNKNOWN_SERVER_ERROR,
    Error.UNKNOWN_TOPIC_OR_PARTITION,
    Error.INVALID_REQUEST,
]
NEVER_RETRIED = {Error.FENCED_LEADER_EPOCH, Error.INVALID_UPDATE_VERSION, Error.INVALID_REQUEST, Error.UNKNOWN_TOPIC_OR_PARTITION}


# ---------------------------------------------------------------------------------------------------- the controller


class Truth:
    """What the controller has decided. Without ELR: the last member of an ISR stays in it, and it alone may lead again."""

    def __init__(self, isr: tuple[int, ...]) -> None:
        self.brokers = {broker: BrokerRegistration(broker, broker, 1, False, False) for broker in REPLICAS}
        self.partition = PartitionRegistration(ORDERS, REPLICAS, isr, 1, 0, 0)
        self.log: list[MetadataRecord] = [*self.brokers.values(), self.partition]

    def write(self, record: MetadataRecord) -> None:
        self.log.append(record)
        if isinstance(record, BrokerRegistration):
            self.brokers[record.broker_id] = record
        else:
            self.partition = record

    def change(self, leader: int, isr: tuple[int, ...]) -> None:
        before = self.partition
        after = before._replace(leader=leader, isr=isr, leader_epoch=before.leader_epoch + (leader != before.leader))
        if after != before:
            self.write(after._replace(partition_epoch=before.partition_epoch + 1))

    def is_active(self, broker: int) -> bool:
        return not self.brokers[broker].fenced

    def fence(self, broker: int) -> None:
        left = tuple(member for member in self.partition.isr if member != broker)
        leader = self.partition.leader
        if leader == broker:
            leader = next((member for member in REPLICAS if member in left and self.is_active(member)), -1)
        self.change(leader, left or self.partition.isr)
        self.write(self.brokers[broker]._replace(fenced=True))

    def unfence(self, broker: int) -> None:
        self.write(self.brokers[broker]._replace(fenced=False))
        if self.partition.leader == -1 and broker in self.partition.isr:
            self.change(broker, self.partition.isr)

    def alter(self, broker: int, proposed: ProposedIsr, broker_epochs: dict[int, int]) -> tuple[Error, PartitionRegistration]:
        """Grant a proposal, or say why not. A leader never knows more than the one controller."""
        known = self.partition
        if proposed.leader_epoch != known.leader_epoch:
            return Error.FENCED_LEADER_EPOCH, known
        if broker != known.leader:
            return Error.INVALID_REQUEST, known
        if proposed.partition_epoch != known.partition_epoch:
            return Error.INVALID_UPDATE_VERSION, known
        for member in proposed.isr:
            if not self.is_active(member) or broker_epochs[member] not in (-1, self.brokers[member].broker_epoch):
                return Error.INELIGIBLE_REPLICA, known
        self.change(broker, proposed.isr)
        return Error.NONE, self.partition


# ---------------------------------------------------------------------------------------------------- one leader's view


class Seen(NamedTuple):
    """A follower's fetch, as its leader saw it."""

    now: float
    offset: int
    leader_end: int
    broker_epoch: int
    leader_epoch: int


@dataclass
class PlainLeader:
    """A leader's view. `seen`: the fetches of each follower since this broker last began to lead. `asked`: the ISR it has proposed."""

    me: int
    min_isr: int
    high_watermark: int
    committed: set[int] = field(default_factory=set)
    asked: set[int] | None = None
    leader_epoch: int = -1
    began: float = -inf
    start_offset: int = -1
    first_epoch: bool = True
    trusted: set[int] = field(default_factory=set)
    seen: dict[int, list[Seen]] = field(default_factory=lambda: {broker: [] for broker in REPLICAS})

    @property
    def maximal(self) -> set[int]:
        """Everybody who may be in the ISR by now."""
        return self.committed | (self.asked or set())

    def known_end(self, follower: int) -> int:
        return self.seen[follower][-1].offset if self.seen[follower] else -1

    def caught_up_at(self, follower: int) -> float:
        """The last instant at which it had all there was: a fetch from the end, or the fetch before one from what was the end then.

        When a leader epoch begins, a member of the ISR counts as having everything, and any other as never having had.
        """
        instants = [self.began if follower in self.trusted else -inf]
        end = -1 if self.first_epoch else self.start_offset
        before = -inf if self.first_epoch else instants[0]
        for fetch in self.seen[follower]:
            if fetch.leader_epoch == self.leader_epoch:
                instants.append(fetch.now if fetch.offset >= fetch.leader_end else before if fetch.offset >= end else -inf)
                end, before = max(end, fetch.leader_end), fetch.now
        return max(instants)

    def keeps_up(self, follower: int, end: int, now: float) -> bool:
        return self.known_end(follower) == end or now - self.caught_up_at(follower) <= LAG_MS

    def is_eligible(self, follower: int, image: dict[int, BrokerRegistration]) -> bool:
        """Alive, and the process whose fetches were seen (KIP-841, KIP-903)."""
        seen = self.seen[follower]
        return bool(seen) and not image[follower].fenced and seen[-1].broker_epoch in (-1, image[follower].broker_epoch)

    def advance(self, end: int, now: float, image: dict[int, BrokerRegistration]) -> None:
        """The smallest end among all it has to wait for; never back; and not while the ISR is too small (KAFKA-15583)."""
        if len(self.committed) < self.min_isr:
            return
        joining = {f for f in REPLICAS if self.keeps_up(f, end, now) and self.is_eligible(f, image)}
        ends = [self.known_end(follower) for follower in (self.maximal | joining) - {self.me}]
        self.high_watermark = max(self.high_watermark, min([end, *ends]))


# ---------------------------------------------------------------------------------------------------- the brokers


class Request(NamedTuple):
    """A follower's fetch on its way to `leader`."""

    leader: int
    fetch: FetchPartition
    broker_epoch: int


@dataclass
class Broker:
    """A broker's process: its replica, its image of the metadata as far as `read`, and its one proposal to the controller."""

    partition: Partition
    image: dict[int, BrokerRegistration]
    read: int
    broker_epoch: int
    view: PlainLeader | None = None
    proposal: ProposedIsr | None = None
    broker_epochs: dict[int, int] = field(default_factory=dict)
    answer: tuple[ProposedIsr, Error, PartitionRegistration] | None = None
    request: Request | None = None
    response: tuple[int, FetchedPartition] | None = None  # to the fetch from this offset


class PartitionMachine(RuleBasedStateMachine):
    """Three brokers. Each rule is one step of one of them, of the controller, or of the network between."""

    @initialize(
        min_isr=st.integers(1, 2), isr=st.sampled_from([REPLICAS, REPLICAS, (1, 2), (1,)]), batches=st.lists(REPLICATED, max_size=2)
    )
    def a_cluster(self, min_isr: int, isr: tuple[int, ...], batches: list[str]) -> None:
        self.now = 0.0
        self.written = 0
        self.config = TopicConfig(min_insync_replicas=min_isr)
        self.truth = Truth(isr)
        self.logs = {broker: Log(ORDERS, self.config) for broker in REPLICAS}
        self.at = {broker: self.start(broker) for broker in REPLICAS}
        for replicated in batches:
            self.a_batch_is_produced(0, -1, 2, replicated)

    def start(self, broker: int) -> Broker:
        """A process begins with the metadata as it is now, and with nothing else but its disk."""
        image = dict(self.truth.brokers)
        config = BrokerConfig(replica_lag_time_max_ms=LAG_MS)
        partition = Partition(ORDERS, broker, self.logs[broker], self.config, config, None, image)
        started = Broker(partition, image, len(self.truth.log), self.truth.brokers[broker].broker_epoch)
        self.becomes(started, self.truth.partition)
        return started

    def becomes(self, broker: Broker, news: PartitionRegistration) -> None:
        """What the metadata log says of the partition reaches the broker."""
        partition, view = broker.partition, broker.view
        if news.partition_epoch < partition.partition_epoch:
            return
        if news.leader_epoch != partition.leader_epoch:
            broker.response = None
        if news.leader != partition.broker_id:
            partition.make_follower(news, self.now)
            broker.view = None
            return
        if view is None:
            view = broker.view = PlainLeader(partition.broker_id, self.config.min_insync_replicas, partition.high_watermark)
        else:
            view.first_epoch = view.first_epoch and news.leader_epoch == view.leader_epoch
        if news.leader_epoch != view.leader_epoch:
            view.leader_epoch, view.began, view.start_offset = news.leader_epoch, self.now, partition.log.log_end_offset
            view.trusted = set(news.isr)
        view.committed, view.asked = set(news.isr), None
        view.advance(partition.log.log_end_offset, self.now, broker.image)
        partition.make_leader(news, self.now)

    def proposes(self, broker: Broker) -> None:
        """A new proposal takes the place of one that is not answered yet, as in AlterPartitionManager."""
        proposed = broker.partition.take_alter_partition()
        if proposed is not None:
            assert broker.view is not None
            assert broker.view.asked == set(proposed.isr)
            broker.proposal = proposed
            broker.broker_epochs = {member: broker.partition.broker_epoch_of(member) for member in proposed.isr}
            broker.broker_epochs[broker.partition.broker_id] = broker.broker_epoch

    # ------------------------------------------------------------------------------------------------ records

    def leader(self, at: int) -> Broker:
        return self.at[at or max(1, self.truth.partition.leader)]

    @rule(at=LEADERS, acks=st.sampled_from([-1, 1]), count=st.integers(1, 2), replicated=REPLICATED)
    def a_batch_is_produced(self, at: int, acks: int, count: int, replicated: str) -> None:
        broker = self.leader(at)
        end, view = broker.partition.log.log_end_offset, broker.view
        batch = RecordBatch("shop", range(self.written, self.written + count), 100, self.now)
        self.written += count
        result = broker.partition.append_records_to_leader(batch, acks, self.now)
        if view is None:
            assert result.error is Error.NOT_LEADER_OR_FOLLOWER
        elif acks == -1 and len(view.committed) < view.min_isr:
            assert result.error is Error.NOT_ENOUGH_REPLICAS
        else:
            before = view.high_watermark
            view.advance(end + count, self.now, broker.image)
            assert result == (Error.NONE, end, end + count, view.high_watermark > before)
        if replicated == "by all":
            self.all_keep_up()
        if replicated == "by one":
            self.a_follower_keeps_up(min({*self.truth.partition.isr, *REPLICAS[1:]} - {self.truth.partition.leader}), 1)

    @rule(follower=BROKERS, act=st.sampled_from(["asks", "asks", "is heard", "is heard", "is heard twice", "is answered", "is answered"]))
    def a_follower(self, follower: int, act: str) -> None:
        """One step of a fetch."""
        if act == "asks":
            self.a_follower_asks(follower, 0)
        elif act == "is answered":
            self.a_follower_gets_its_answer(follower)
        else:
            self.the_leader_is_asked(follower, act == "is heard twice")

    @rule(follower=BROKERS, behind=st.integers(1, 2))
    def a_follower_asks(self, follower: int, behind: int) -> None:
        """From its end; or, as one delayed on the way would, from an earlier place."""
        broker = self.at[follower]
        leader, log = broker.partition.leader, self.logs[follower]
        if leader not in (-1, follower):
            bases = [0, *(batch.next_offset for batch in log.batches)]
            offset = bases[max(0, len(bases) - 1 - behind)]
            epoch = log.latest_epoch if not behind else log.leader_epochs.epoch_for_offset(offset - 1)
            broker.request = Request(leader, FetchPartition(ORDERS, offset, broker.partition.leader_epoch, epoch, 150), broker.broker_epoch)
            broker.response = None

    def the_leader_is_asked(self, follower: int, again: bool) -> None:
        request = self.at[follower].request
        if request is None:
            return
        if not again:
            self.at[follower].request = None
        leader = self.at[request.leader]
        fetched = leader.partition.read_for_fetch(request.fetch, follower, False)
        self.judge(leader, request, fetched)
        if fetched.error is Error.NONE and fetched.diverging_epoch < 0:
            self.is_counted(leader, follower, request)
        if request.broker_epoch == self.at[follower].broker_epoch:
            self.at[follower].response = (request.fetch.fetch_offset, fetched)

    def judge(self, leader: Broker, request: Request, fetched: FetchedPartition) -> None:
        epoch = request.fetch.current_leader_epoch
        if epoch != leader.partition.leader_epoch:
            wanted = Error.FENCED_LEADER_EPOCH if epoch < leader.partition.leader_epoch else Error.UNKNOWN_LEADER_EPOCH
            assert fetched.error is wanted
        else:
            assert leader.view is not None, "a leader epoch has one leader"
            assert fetched.error in (Error.NONE, Error.OFFSET_OUT_OF_RANGE)
            assert fetched.error is not Error.NONE or fetched.high_watermark == leader.view.high_watermark

    def is_counted(self, leader: Broker, follower: int, request: Request) -> None:
        """A fetch of a former process, where the leader knows that there is a new one that is alive, counts for nothing."""
        view, partition = leader.view, leader.partition
        assert view is not None
        end = partition.log.log_end_offset
        known = leader.image[follower]
        if known.fenced or request.broker_epoch >= known.broker_epoch:
            before = view.known_end(follower)
            offset = request.fetch.fetch_offset
            view.seen[follower].append(Seen(self.now, offset, end, request.broker_epoch, view.leader_epoch))
            has_all = offset >= view.high_watermark and offset >= view.start_offset
            if view.asked is None and follower not in view.committed and view.is_eligible(follower, leader.image) and has_all:
                view.asked = {*view.committed, follower}
            if offset != before:
                view.advance(end, self.now, leader.image)
        partition.update_follower_fetch_state(follower, request.broker_epoch, request.fetch.fetch_offset, self.now)
        self.proposes(leader)

    def a_follower_gets_its_answer(self, follower: int) -> None:
        """It counts where the follower still follows in that epoch, and stands where it asked from."""
        broker = self.at[follower]
        response, broker.response = broker.response, None
        if response is None or response[0] != self.logs[follower].log_end_offset or response[1].error is not Error.NONE:
            return
        fetched = response[1]
        if fetched.diverging_epoch >= 0:
            broker.partition.truncate_for_divergence(fetched)
        else:
            broker.partition.append_records_to_follower(fetched, self.now)

    @rule(follower=BROKERS, rounds=st.integers(1, 2))
    def a_follower_keeps_up(self, follower: int, rounds: int) -> None:
        """Question and answer, without anything between; the second round confirms the first."""
        for _ in range(rounds):
            self.a_follower_asks(follower, 0)
            self.the_leader_is_asked(follower, False)
            self.a_follower_gets_its_answer(follower)

    @rule()
    def all_keep_up(self) -> None:
        """As in a cluster in which nothing happens."""
        self.all_brokers_read_the_metadata_log()
        for broker in REPLICAS:
            self.a_follower_keeps_up(broker, 2)

    # ------------------------------------------------------------------------------------------------ time, and the ISR

    @rule(waited=st.sampled_from([1.0, LAG_MS / 2, LAG_MS, LAG_MS + 1]), at=LEADERS)
    def time_passes(self, waited: float, at: int) -> None:
        """And isr-expiration comes round at one of the brokers."""
        self.now += waited
        self.laggards_are_to_go(at)

    @rule(rounds=st.integers(2, 4))
    def nobody_ever_stands_at_the_end(self, rounds: int) -> None:
        """Steady load: whenever a follower asks, there is one batch more. All are heard before anyone is answered."""
        for _ in range(rounds):
            self.now += LAG_MS / 2
            self.a_batch_is_produced(0, 1, 1, "by nobody")
            for step in (self.a_follower_asks, self.the_leader_is_asked):
                for follower in REPLICAS:
                    step(follower, False)
            for follower in REPLICAS:
                self.a_follower_gets_its_answer(follower)
        self.laggards_are_to_go(0)

    def laggards_are_to_go(self, at: int) -> None:
        broker = self.leader(at)
        at = broker.partition.broker_id
        view, end = broker.view, broker.partition.log.log_end_offset
        broker.partition.maybe_shrink_isr(self.now)
        if view is not None and view.asked is None:
            out = {member for member in view.committed if member != at and not view.keeps_up(member, end, self.now)}
            view.asked = view.committed - out if out else None
        self.proposes(broker)

    @rule(at=LEADERS, act=st.sampled_from(PROPOSAL_ACTS))
    def a_proposal(self, at: int, act: str | Error) -> None:
        """One step of an AlterPartition; or all of them; or an error that says nothing about it."""
        broker = self.leader(at)
        if act in {"is granted", "is decided"} and broker.proposal is not None:  # perhaps again, where the first answer was lost
            broker.answer = (broker.proposal, *self.truth.alter(broker.partition.broker_id, broker.proposal, broker.broker_epochs))
        if act in {"is granted", "is answered"} and broker.answer is not None:
            self.is_answered(broker, *broker.answer)
        if act == "answer is lost":
            broker.answer = None
        if isinstance(act, Error) and broker.proposal is not None:
            self.is_answered(broker, broker.proposal, act, self.truth.partition)

    def is_answered(self, broker: Broker, proposed: ProposedIsr, error: Error, granted: PartitionRegistration) -> None:
        broker.answer = None
        if proposed is not broker.proposal:
            return  # it is about a proposal that another has replaced
        broker.proposal = None
        view, partition = broker.view, broker.partition
        leader, leader_epoch, isr, partition_epoch = granted.leader, granted.leader_epoch, granted.isr, granted.partition_epoch
        is_pending = view is not None and view.asked is not None and proposed.partition_epoch == partition.partition_epoch
        if view is not None and is_pending and proposed.leader_epoch == view.leader_epoch:
            if error is Error.NONE:
                view.committed, view.asked = set(isr), None
                view.advance(partition.log.log_end_offset, self.now, broker.image)
            elif error is Error.INELIGIBLE_REPLICA:
                view.asked = None
            asked_again = error is not Error.NONE and error is not Error.INELIGIBLE_REPLICA and error not in NEVER_RETRIED
        else:
            asked_again = False
        partition.alter_partition_answered(error, leader, leader_epoch, isr, partition_epoch, self.now)
        self.proposes(broker)
        assert (broker.proposal is not None) == asked_again
        if error is Error.NONE:
            # Its own record comes at once. Later than the next proposal, it would take that one back while the controller may grant it:
            # a gap that Kafka has, too (see Partition.make_leader).
            while broker.read <= self.truth.log.index(granted):
                self.reads_one(broker)

    # ------------------------------------------------------------------------------------------------ the controller's decisions

    @rule(at=BROKERS, records=st.integers(1, 4))
    def a_broker_reads_the_metadata_log(self, at: int, records: int) -> None:
        for _ in range(records):
            self.reads_one(self.at[at])

    def all_brokers_read_the_metadata_log(self) -> None:
        for broker in REPLICAS:
            self.a_broker_reads_the_metadata_log(broker, len(self.truth.log))

    def reads_one(self, broker: Broker) -> None:
        for record in self.truth.log[broker.read :][:1]:
            broker.read += 1
            if isinstance(record, BrokerRegistration):
                broker.image[record.broker_id] = record
            else:
                self.becomes(broker, record)

    @rule(broker=BROKERS, decision=st.sampled_from(["fence", "unfence", "unfence", "unfence", "elect"]), told=st.booleans())
    def the_controller_acts(self, broker: int, decision: str, told: bool) -> None:
        truth, active = self.truth, self.truth.is_active(broker)
        if decision == "fence" and active:
            truth.fence(broker)
        if decision == "unfence" and not active:
            truth.unfence(broker)
        if decision == "elect" and active and broker in truth.partition.isr:
            truth.change(broker, truth.partition.isr)
        if told:
            self.all_brokers_read_the_metadata_log()

    @rule(broker=BROKERS, forgotten=st.integers(0, 3), quickly=st.booleans())
    def a_broker_restarts(self, broker: int, forgotten: int, quickly: bool) -> None:
        """Its disk keeps everything, but the checkpoint of the high watermark is old. A fetch of the old process may still be on its way;
        where it all went `quickly`, the leader gets that now.
        """
        if quickly:
            self.a_follower_asks(broker, 0)
        old = self.at[broker]
        if self.truth.is_active(broker):
            self.truth.fence(broker)
        registration = self.truth.brokers[broker]
        self.truth.write(registration._replace(broker_epoch=len(self.truth.log), incarnation=registration.incarnation + 1))
        self.logs[broker].high_watermark_checkpoint = max(0, old.partition.high_watermark - forgotten)
        self.at[broker] = self.start(broker)
        self.at[broker].request = old.request
        if quickly:
            self.the_controller_acts(broker, "unfence", True)
            self.the_leader_is_asked(broker, False)

    # ------------------------------------------------------------------------------------------------ what always holds

    @invariant()
    def a_leader_believes_what_follows_from_what_it_has_seen(self) -> None:
        for broker in self.at.values():
            partition, view = broker.partition, broker.view
            assert partition.is_leader == (view is not None)
            if view is not None:
                assert (set(partition.isr), set(partition.maximal_isr)) == (view.committed, view.maximal)
                assert partition.high_watermark == view.high_watermark

    @invariant()
    def a_high_watermark_lies_within_the_log(self) -> None:
        for broker in self.at.values():
            log = broker.partition.log
            assert log.log_start_offset <= broker.partition.high_watermark <= log.log_end_offset

    @invariant()
    def the_leader_counts_on_nobody_less_than_the_controller_does(self) -> None:
        truth = self.truth.partition
        if truth.leader >= 0:
            partition = self.at[truth.leader].partition
            if partition.is_leader and partition.leader_epoch == truth.leader_epoch:
                assert set(truth.isr) <= set(partition.maximal_isr)
        for broker in self.at.values():
            assert set(broker.partition.isr) <= set(broker.partition.maximal_isr)

    @invariant()
    def whatever_a_leader_holds_for_committed_every_member_of_the_isr_has(self) -> None:
        for broker in self.at.values():
            if broker.partition.is_leader:
                committed = _below(broker.partition.log, broker.partition.high_watermark)
                for member in self.truth.partition.isr:
                    assert _below(self.logs[member], broker.partition.high_watermark) == committed


def _below(log: Log, offset: int) -> list[RecordBatch]:
    return [batch.batch for batch in log.batches if batch.next_offset <= offset]


def test_leaders_believe_what_they_have_seen_and_what_they_hold_for_committed_is_in_every_in_sync_replica() -> None:
    run_state_machine_as_test(PartitionMachine, settings=budget(*BUDGET))
