"""The consumer against one broker played by hand: a log a partition, a real group coordinator, and a queue of deliveries."""

from __future__ import annotations

import heapq
from itertools import count

from kafkasim.protocol.calls import (
    ClientClosed,
    CloseClient,
    CommitOffsets,
    Committed,
    PartitionsAssigned,
    PartitionsRevoked,
    Polled,
    PollFailed,
    PollRecords,
    PositionReset,
)
from kafkasim.protocol.config import BrokerConfig, JavaConsumerConfig, LibrdkafkaConsumerConfig
from kafkasim.protocol.consumer import Consumer
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import consumer_settings
from kafkasim.protocol.group_coordinator import GroupCoordinator, refusal
from kafkasim.protocol.leader_epoch import LeaderEpochCache
from kafkasim.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FetchedPartition,
    FetchRequest,
    FetchResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataRequest,
    MetadataResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    PartitionMetadata,
)
from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Send
from kafkasim.protocol.records import LogBatch, RecordBatch, TopicPartition

P0 = TopicPartition("orders", 0)
P1 = TopicPartition("orders", 1)
LATENCY = 0.5


class World:
    """One broker, any number of consumers, and the time. `auto` consumers poll by themselves, again and again."""

    def __init__(self, partitions=(P0,), initial_delay=0):
        self.now = 0.0
        self.partitions = partitions
        self.leader_epoch = 0
        self.logs = {partition: [] for partition in partitions}
        self.begin = {}
        self.offsets = {}
        self.consumers = {}
        self.answers = {}
        self.auto = {}
        self.links = {}
        self.muted = {}
        self.parked = []
        self.seen = []
        self.commit_error = Error.NONE
        self.fetch_error = Error.NONE
        self.epoch_error = Error.NONE
        self.no_epochs = False
        self.silent = set()
        self.coordinator = self.new_coordinator(initial_delay)
        self._initial_delay = initial_delay
        self._queue = []
        self._order = count()

    def new_coordinator(self, initial_delay):
        config = BrokerConfig(group_initial_rebalance_delay_ms=initial_delay)
        return GroupCoordinator(1, 0, config, lambda _: self.partitions)

    def add(self, name, client="java", auto_poll=None, **config):
        kind = JavaConsumerConfig if client == "java" else LibrdkafkaConsumerConfig
        settings = consumer_settings(kind(**{"auto_offset_reset": "earliest", **config}))
        consumer = Consumer(name, "billing", settings, ("orders",), (1,), lambda: 0.5)
        self.consumers[name] = consumer
        self.answers.setdefault(name, [])
        self.auto[name] = auto_poll
        self.handle(name, consumer.start(self.now))
        if auto_poll is not None:
            self.call(name, PollRecords(auto_poll))
        return consumer

    def crash(self, name):
        del self.consumers[name]
        for link in [link for link in self.links if link[0] == name]:
            self.hang_up(*link)
        self.links = {link: up for link, up in self.links.items() if link[0] != name}

    def append(self, partition, *sizes):
        """Append batches of so many records each, all at once."""
        for records in sizes:
            base = self.end(partition)
            batch = RecordBatch("shop", range(base, base + records), 100, self.now)
            self.logs[partition].append(LogBatch(base, base + records, self.leader_epoch, batch, self.now))
        parked, self.parked = self.parked, []
        for request, source, deadline in parked:
            self.fetch(request, source, deadline)

    def elect(self, *cut):
        """A new leader epoch; each partition of `cut` loses its log from that offset on (a batch goes whole)."""
        self.leader_epoch += 1
        for partition, offset in cut:
            self.logs[partition] = [batch for batch in self.logs[partition] if batch.next_offset <= offset]

    def delete(self, partition, offset):
        """Retention: the log begins at `offset`."""
        self.begin[partition] = offset
        self.logs[partition] = [batch for batch in self.logs[partition] if batch.base_offset >= offset]

    def offset_of(self, partition, timestamp):
        if timestamp < 0:
            return self.begin.get(partition, 0) if timestamp == -2 else self.end(partition)
        return next((batch.base_offset for batch in self.logs[partition] if batch.batch.created >= timestamp), -1)

    def end(self, partition):
        return self.logs[partition][-1].next_offset if self.logs[partition] else self.begin.get(partition, 0)

    # ---- what the consumer asks for

    def call(self, name, call):
        """Make a call, and return the index of the answers to come."""
        start = len(self.answers[name])
        self.handle(name, self.consumers[name].receive(call, "", self.now))
        return start

    def poll(self, name, timeout=100.0):
        """Poll and wait for the answer: the numbers that came."""
        start = self.call(name, PollRecords(timeout))
        while True:
            for answer in self.answers[name][start:]:
                if isinstance(answer, Polled):
                    return [number for piece in answer.slices for number in piece.numbers]
                if isinstance(answer, PollFailed):
                    return answer
            self.step()

    def commit(self, name, *offsets):
        start = self.call(name, CommitOffsets(offsets))
        while True:
            for answer in self.answers[name][start:]:
                if isinstance(answer, Committed) and answer.sync:
                    return answer.error
            self.step()

    def handle(self, name, outputs):
        for output in outputs:
            if isinstance(output, Connect):
                self.links[name, output.peer] = True
                self.post(name, Connected(output.peer), output.peer)
            elif isinstance(output, Close):
                self.links.pop((name, output.peer), None)
                self.hang_up(name, output.peer)
            elif isinstance(output, Send):
                self.post("broker", output.message, (name, output.peer))
            else:
                self.answers[name].append(output)
                if isinstance(output, Polled) and self.auto[name] is not None:
                    self.post(name, PollRecords(self.auto[name]), "")

    def disconnect(self, name, peer):
        del self.links[name, peer]
        self.hang_up(name, peer)
        self.post(name, Disconnected(peer), peer)

    def hang_up(self, name, peer):
        self.muted.pop((name, peer), None)
        self.parked = [parked for parked in self.parked if parked[1] != (name, peer)]

    # ---- time

    def post(self, to, event, source, delay=LATENCY):
        heapq.heappush(self._queue, (self.now + delay, next(self._order), to, event, source))

    def step(self, until=1e9):
        """The next delivery or deadline, unless it lies after `until`."""
        deadlines = [(c.next_deadline(), name) for name, c in self.consumers.items() if c.next_deadline() is not None]
        deadlines.append((self.coordinator.next_deadline() or 1e9, ""))
        deadlines += [(deadline, "fetch") for _, _, deadline in self.parked]
        deadline, who = min(deadlines)
        if min(deadline, self._queue[0][0] if self._queue else deadline) > until:
            self.now = until
            return
        if self._queue and self._queue[0][0] <= deadline:
            self.now, _, to, event, source = heapq.heappop(self._queue)
            self.deliver(to, event, source)
            return
        assert deadline > self.now - 1e-9, f"{who} wants to be woken at {deadline}, which is past"
        self.now = deadline
        if who == "fetch":
            parked, self.parked = self.parked, []
            for request, source, deadline in parked:
                self.fetch(request, source, deadline)
        elif who:
            self.handle(who, self.consumers[who].wake(self.now))
        else:
            self.respond(self.coordinator.wake(self.now))

    def run(self, until):
        for _ in range(200_000):
            if self.now >= until:
                return
            self.step(until)
        raise AssertionError("the world spins")

    def deliver(self, to, event, source):
        if to == "broker":
            waiting = self.muted.setdefault(source, [])
            waiting.append(event)  # a broker takes the next request of a connection when it has answered the one before
            if len(waiting) == 1:
                self.serve(event, source)
        elif to in self.consumers and (not source or source in [p for n, p in self.links if n == to] or isinstance(event, Disconnected)):
            self.handle(to, self.consumers[to].receive(event, source, self.now))

    # ---- the broker

    def serve(self, request, source):
        self.seen.append((self.now, source[0], request))
        if type(request) in self.silent:
            return
        match request:
            case ApiVersionsRequest():
                self.respond([(source, ApiVersionsResponse(request.correlation_id))])
            case MetadataRequest():
                found = tuple(PartitionMetadata(p, Error.NONE, 1, self.leader_epoch) for p in self.partitions)
                self.respond([(source, MetadataResponse(request.correlation_id, (1,), found))])
            case FindCoordinatorRequest():
                self.respond([(source, FindCoordinatorResponse(request.correlation_id, Error.NONE, 1))])
            case ListOffsetsRequest():
                found = tuple((p, Error.NONE, self.offset_of(p, request.timestamp), 0) for p in request.partitions)
                self.respond([(source, ListOffsetsResponse(request.correlation_id, found))])
            case OffsetForLeaderEpochRequest():
                found = tuple(self.end_of_epoch(*wanted) for wanted in request.partitions)
                self.respond([(source, OffsetForLeaderEpochResponse(request.correlation_id, found))])
            case FetchRequest():
                self.fetch(request, source, self.now + request.max_wait_ms)
            case OffsetCommitRequest():
                values = self.coordinator.commit(request, self.now) if self.commit_error is Error.NONE else self.commit_error
                if isinstance(values, Error):
                    self.respond([(source, refusal(request, values))])
                else:
                    self.committed_values = values
                    self.coordinator.committed(values)
                    self.offsets.update({value.partition: value.offset for value in values})
                    self.respond([(source, OffsetCommitResponse(request.correlation_id, Error.NONE))])
            case _:
                self.respond(self.coordinator.handle(request, source, self.now))

    def fetch(self, request, source, deadline):
        fetched = []
        for wanted in request.partitions:
            log = self.logs[wanted.partition]
            error = self.fetch_error
            if error is Error.NONE and wanted.current_leader_epoch < self.leader_epoch:
                error = Error.FENCED_LEADER_EPOCH
            elif error is Error.NONE and not self.begin.get(wanted.partition, 0) <= wanted.fetch_offset <= self.end(wanted.partition):
                error = Error.OFFSET_OUT_OF_RANGE
            batches = tuple(b for b in log if b.next_offset > wanted.fetch_offset) if error is Error.NONE else ()
            if batches or error is not Error.NONE:
                fetched.append(FetchedPartition(wanted.partition, error, self.end(wanted.partition), 0, batches))
        if fetched or self.now >= deadline:
            self.respond([(source, FetchResponse(request.correlation_id, tuple(fetched)))])
        else:
            self.parked.append((request, source, deadline))

    def end_of_epoch(self, partition, current_leader_epoch, epoch):
        if current_leader_epoch < self.leader_epoch or self.epoch_error is not Error.NONE:
            return partition, self.epoch_error if current_leader_epoch == self.leader_epoch else Error.FENCED_LEADER_EPOCH, -1, -1
        if self.no_epochs:
            return partition, Error.NONE, -1, -1
        cache = LeaderEpochCache()
        for batch in self.logs[partition]:
            cache.assign(batch.leader_epoch, batch.base_offset)
        cache.assign(self.leader_epoch, self.end(partition))
        return partition, Error.NONE, *cache.end_offset_for(epoch, self.end(partition))

    def respond(self, answers):
        for (name, peer), response in answers:
            self.post(name, response, peer)
            waiting = self.muted.get((name, peer), [])
            if waiting:
                waiting.pop(0)
            if waiting:
                self.serve(waiting[0], (name, peer))

    # ---- what was seen

    def requests(self, kind, name=None):
        return [(at, request) for at, who, request in self.seen if isinstance(request, kind) and name in (None, who)]

    def told(self, name, kind):
        return [answer for answer in self.answers[name] if isinstance(answer, kind)]


def joined(client="java", records=0, **config):
    """A world in which `billing-0` owns orders-0, has read `records`, and is out of poll()."""
    world = World()
    world.add("billing-0", client, **config)
    while not world.told("billing-0", PartitionsAssigned):
        world.poll("billing-0")
    got = []
    if records:
        world.append(P0, records)
    while len(got) < records:
        got += world.poll("billing-0")
    assert got == list(range(records))
    return world


# ---------------------------------------------------------------------------------------------------- reading


def test_a_consumer_joins_is_assigned_and_reads_from_the_earliest_offset() -> None:
    world = World()
    world.append(P0, 10)
    world.add("billing-0")
    assert world.poll("billing-0", 5_000) == list(range(10))
    assert world.told("billing-0", PartitionsAssigned) == [PartitionsAssigned((P0,))]
    assert world.told("billing-0", PositionReset) == [PositionReset(P0, -1, 0)]


def test_latest_skips_what_was_there_before_the_first_poll() -> None:
    world = World()
    world.append(P0, 10)
    world.add("billing-0", auto_offset_reset="latest")
    assert world.poll("billing-0") == []
    assert world.told("billing-0", PositionReset) == [PositionReset(P0, -1, 10)]
    world.append(P0, 5)
    assert world.poll("billing-0") == [10, 11, 12, 13, 14]


def test_none_tells_the_application_that_there_is_no_position() -> None:
    world = World()
    world.add("billing-0", auto_offset_reset="none")
    failure = world.poll("billing-0")
    while failure == []:
        failure = world.poll("billing-0")
    assert failure == PollFailed(Error.OFFSET_OUT_OF_RANGE, (P0,))


def test_max_poll_records_cuts_in_the_middle_of_a_batch() -> None:
    world = joined(max_poll_records=4)
    world.append(P0, 3, 6)
    world.run(world.now + 10)
    start = len(world.answers["billing-0"])
    assert [world.poll("billing-0") for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    slices = [piece for answer in world.answers["billing-0"][start:] for piece in answer.slices]
    assert [(piece.base_offset, len(piece.numbers)) for piece in slices] == [(0, 3), (3, 1), (4, 4), (8, 1)]


def test_records_below_the_committed_offset_are_skipped_though_their_batch_is_fetched() -> None:
    world = World()
    world.append(P0, 10)
    world.add("billing-0", enable_auto_commit=False)
    world.poll("billing-0", 5_000)
    assert world.commit("billing-0", (P0, 7)) is Error.NONE
    world.call("billing-0", CloseClient())
    world.add("billing-1")
    assert world.poll("billing-1", 5_000) == [7, 8, 9]


def test_java_returns_at_once_what_is_there_and_the_next_fetch_is_already_on_its_way() -> None:
    world = joined()
    world.append(P0, 3)
    world.run(world.now + 10)
    before = world.now
    fetches = len(world.requests(FetchRequest))
    assert world.poll("billing-0", 1_000) == [0, 1, 2]
    assert world.now == before
    world.run(before + 5)  # the application is busy
    assert len(world.requests(FetchRequest)) == fetches + 1
    assert world.requests(FetchRequest)[-1][1].partitions[0].fetch_offset == 3


def test_java_fetches_nothing_more_while_the_application_is_busy_and_the_buffer_full() -> None:
    world = joined(max_poll_records=1)
    world.append(P0, 3)
    assert world.poll("billing-0") == [0]
    fetches = len(world.requests(FetchRequest))
    world.append(P0, 3)
    world.run(world.now + 1_000)
    assert len(world.requests(FetchRequest)) == fetches


def test_librdkafka_waits_for_n_records_or_the_timeout() -> None:
    world = joined("librdkafka", max_poll_records=5)
    world.append(P0, 3)
    before = world.now
    assert world.poll("billing-0", 300) == [0, 1, 2]
    assert world.now == before + 300
    world.append(P0, 5)
    before = world.now
    assert world.poll("billing-0", 300) == [3, 4, 5, 6, 7]
    assert world.now < before + 10


def test_librdkafka_fetches_ahead_while_the_application_is_busy() -> None:
    world = joined("librdkafka", max_poll_records=1)
    world.append(P0, 3)
    world.run(world.now + 10)
    world.append(P0, 3)
    world.run(world.now + 10)
    assert world.requests(FetchRequest)[-1][1].partitions[0].fetch_offset == 6


def test_an_offset_out_of_range_is_answered_by_the_reset_policy_not_by_an_error() -> None:
    world = World()
    world.append(P0, 3)
    world.offsets[P0] = 10
    world.add("billing-0", enable_auto_commit=False)
    world.poll("billing-0", 5_000)
    world.commit("billing-0", (P0, 10))
    world.call("billing-0", CloseClient())
    world.add("billing-1", auto_offset_reset="latest")
    world.poll("billing-1", 1_000)
    assert world.told("billing-1", PositionReset) == [PositionReset(P0, 10, 3)]


def test_a_leader_that_has_moved_makes_the_client_ask_for_metadata_and_rest_a_moment() -> None:
    world = joined(records=2)
    asked = len(world.requests(MetadataRequest))
    fetched = len(world.requests(FetchRequest))
    world.fetch_error = Error.NOT_LEADER_OR_FOLLOWER
    world.append(P0, 1)
    world.poll("billing-0", 1_000)
    assert len(world.requests(MetadataRequest)) > asked
    assert 5 <= len(world.requests(FetchRequest)) - fetched <= 12
    world.fetch_error = Error.NONE
    assert world.poll("billing-0", 1_000) == [2]


def test_a_broken_connection_is_made_again_and_the_fetch_repeated() -> None:
    world = joined(records=2)
    world.call("billing-0", PollRecords(2_000))
    world.run(world.now + 10)
    world.disconnect("billing-0", "broker-1")
    world.run(world.now + 200)
    start = len(world.answers["billing-0"])
    world.append(P0, 1)
    world.run(world.now + 10)
    assert [piece.numbers for piece in world.answers["billing-0"][start].slices] == [range(2, 3)]


# ---------------------------------------------------------------------------------------------------- automatic commits


def test_java_commits_within_poll_the_positions_of_earlier_polls() -> None:
    world = joined(records=5)
    world.run(world.now + 6_000)  # the application processes for longer than auto.commit.interval.ms
    assert world.offsets == {}
    world.append(P0, 3)
    world.run(world.now + 10)
    assert world.poll("billing-0") == [5, 6, 7]
    world.run(world.now + 10)
    assert world.offsets == {P0: 5}  # of what this very poll returned, nothing
    world.run(world.now + 6_000)
    assert world.offsets == {P0: 5}
    world.poll("billing-0")
    assert world.offsets == {P0: 8}


def test_java_commits_nothing_before_the_interval_is_over() -> None:
    world = joined(records=5)
    world.poll("billing-0")
    world.poll("billing-0")
    world.run(world.now + 10)
    assert world.requests(OffsetCommitRequest) == []


def test_librdkafka_commits_what_was_handed_out_though_it_is_not_processed() -> None:
    world = joined("librdkafka", records=5)
    world.run(world.now + 6_000)  # the application is still processing its first record
    assert world.offsets == {P0: 5}
    [answer] = world.told("billing-0", Committed)
    assert answer == Committed(((P0, 5),), Error.NONE, sync=False)


def test_librdkafka_does_not_commit_twice_what_has_not_moved() -> None:
    world = joined("librdkafka", records=5)
    world.run(world.now + 30_000)
    assert len(world.requests(OffsetCommitRequest)) == 1


def test_librdkafka_without_offset_store_commits_nothing_by_itself() -> None:
    world = joined("librdkafka", records=5, enable_auto_offset_store=False)
    world.run(world.now + 12_000)
    assert world.offsets == {}


def test_a_crash_after_an_automatic_commit_repeats_with_java_and_loses_with_librdkafka() -> None:
    for client, first in (("java", 0), ("librdkafka", 5)):
        world = joined(client, records=5)
        world.run(world.now + 6_000)
        world.crash("billing-0")  # in the middle of processing the five
        world.append(P0, 1)
        world.add("billing-0", client)
        got = world.poll("billing-0", 120_000)
        assert got[0] == first, client


def test_closing_commits_leaves_the_group_and_says_so() -> None:
    for client in ("java", "librdkafka"):
        world = joined(client, records=5)
        start = world.call("billing-0", CloseClient())
        world.run(world.now + 5)
        assert world.offsets == {P0: 5}
        assert world.answers["billing-0"][start:] == [
            Committed(((P0, 5),), Error.NONE, sync=False),
            PartitionsRevoked((P0,), lost=False),
            ClientClosed(),
        ]
        assert len(world.requests(LeaveGroupRequest)) == 1
        assert world.consumers["billing-0"].next_deadline() is None


def test_closing_without_automatic_commits_commits_nothing() -> None:
    world = joined(records=5, enable_auto_commit=False)
    world.call("billing-0", CloseClient())
    world.run(world.now + 5)
    assert world.offsets == {}
    assert world.told("billing-0", ClientClosed) == [ClientClosed()]


def test_a_call_while_closing_is_not_heard_and_does_not_hold_the_close_up() -> None:
    world = joined(records=5)
    start = world.call("billing-0", CloseClient())
    world.call("billing-0", PollRecords(100))
    world.run(world.now + 5)
    assert world.answers["billing-0"][start:][-1] == ClientClosed()
    assert Polled(()) not in world.answers["billing-0"][start:]


# ---------------------------------------------------------------------------------------------------- commitSync


def test_commit_sync_commits_what_was_polled_so_far() -> None:
    world = joined(records=5, enable_auto_commit=False)
    assert world.commit("billing-0") is Error.NONE
    assert world.offsets == {P0: 5}


def test_commit_sync_tries_again_after_retriable_errors() -> None:
    world = joined(records=5, enable_auto_commit=False)
    world.commit_error = Error.COORDINATOR_LOAD_IN_PROGRESS
    start = world.call("billing-0", CommitOffsets(()))
    world.run(world.now + 500)
    assert world.answers["billing-0"][start:] == []
    assert len(world.requests(OffsetCommitRequest)) == 3  # at once, after 100 ms and after another 200 ms
    world.commit_error = Error.NONE
    world.run(world.now + 1_000)
    assert world.answers["billing-0"][start:] == [Committed(((P0, 5),), Error.NONE)]


def test_commit_sync_looks_for_the_coordinator_where_it_has_moved() -> None:
    world = joined(records=5, enable_auto_commit=False)
    found = len(world.requests(FindCoordinatorRequest))
    world.commit_error = Error.NOT_COORDINATOR
    start = world.call("billing-0", CommitOffsets(()))
    world.run(world.now + 20)
    world.commit_error = Error.NONE
    world.run(world.now + 1_000)
    assert len(world.requests(FindCoordinatorRequest)) == found + 1
    assert world.answers["billing-0"][start:] == [Committed(((P0, 5),), Error.NONE)]


def test_commit_sync_gives_up_after_the_default_api_timeout() -> None:
    world = joined(records=5, enable_auto_commit=False)
    world.silent.add(OffsetCommitRequest)
    before = world.now
    assert world.commit("billing-0") is Error.TIMEOUT
    assert world.now == before + 60_000


def test_a_commit_with_a_stale_generation_fails_and_the_partitions_are_lost() -> None:
    world = joined(records=5, enable_auto_commit=False)
    world.silent.add(HeartbeatRequest)
    world.run(world.now + 46_000)  # a long pause: the coordinator has seen no heartbeat
    world.silent.clear()
    assert world.commit("billing-0") is Error.COMMIT_FAILED
    assert world.offsets == {}
    assert world.told("billing-0", PartitionsRevoked) == []  # it learns of that in poll() only
    world.poll("billing-0")
    assert world.told("billing-0", PartitionsRevoked) == [PartitionsRevoked((P0,), lost=True)]


# ---------------------------------------------------------------------------------------------------- the group


def test_a_second_member_shares_and_the_first_commits_before_it_gives_up() -> None:
    world = World((P0, P1))
    world.append(P0, 4)
    world.append(P1, 4)
    world.add("billing-0", auto_poll=100)
    world.run(1_000)
    world.add("billing-1", auto_poll=100)
    world.run(6_000)
    assert world.offsets == {P0: 4, P1: 4}
    assert world.told("billing-0", PartitionsRevoked) == [PartitionsRevoked((P0, P1), lost=False)]
    assert [a.partitions for a in world.told("billing-0", PartitionsAssigned)] == [(P0, P1), (P0,)]
    assert [a.partitions for a in world.told("billing-1", PartitionsAssigned)] == [(P1,)]
    world.append(P1, 1)
    world.run(6_100)
    assert [list(s.numbers) for a in world.told("billing-1", Polled) for s in a.slices] == [[4]]  # nothing twice


def test_a_second_member_takes_over_when_the_session_of_a_crashed_one_ends() -> None:
    world = World((P0, P1))
    world.add("billing-0", auto_poll=100)
    world.add("billing-1", auto_poll=100)
    world.run(20_000)
    world.crash("billing-0")
    last_heartbeat = world.requests(HeartbeatRequest, "billing-0")[-1][0]
    world.run(70_000)
    assigned = world.told("billing-1", PartitionsAssigned)
    assert assigned[-1].partitions == (P0, P1)
    rejoined = world.requests(JoinGroupRequest, "billing-1")[-1][0]
    assert last_heartbeat + 45_000 < rejoined < last_heartbeat + 48_100


def test_a_restarted_member_is_new_and_waits_for_its_own_old_session() -> None:
    world = World()
    world.add("billing-0", auto_poll=100, enable_auto_commit=False)
    world.run(20_000)
    last_heartbeat = world.requests(HeartbeatRequest)[-1][0]
    world.crash("billing-0")
    world.run(22_000)
    world.answers["billing-0"].clear()
    world.add("billing-0", auto_poll=100, enable_auto_commit=False)
    world.run(last_heartbeat + 44_990)
    assert world.told("billing-0", PartitionsAssigned) == []
    world.run(last_heartbeat + 45_010)
    assert world.told("billing-0", PartitionsAssigned) == [PartitionsAssigned((P0,))]


def test_a_member_that_closes_is_replaced_at_once() -> None:
    world = World()
    world.append(P0, 4)
    world.add("billing-0")
    world.poll("billing-0", 5_000)
    world.call("billing-0", CloseClient())
    world.run(world.now + 10)
    closed = world.now
    world.add("billing-1")
    world.append(P0, 1)
    assert world.poll("billing-1", 5_000) == [4]
    assert world.now < closed + 100


def test_who_does_not_poll_within_max_poll_interval_leaves_the_group_and_loses_its_partitions() -> None:
    for client in ("java", "librdkafka"):
        world = joined(client, records=3, enable_auto_commit=False, max_poll_interval_ms=50_000)
        busy_since = world.now
        world.run(busy_since + 49_000)
        assert len(world.requests(HeartbeatRequest)) >= 15  # heartbeats go on while the application is busy
        assert world.requests(LeaveGroupRequest) == []
        world.run(busy_since + 52_000)
        assert len(world.requests(LeaveGroupRequest)) == 1
        assert world.commit("billing-0") is Error.COMMIT_FAILED
        world.poll("billing-0", 1_000)
        assert world.told("billing-0", PartitionsRevoked) == [PartitionsRevoked((P0,), lost=True)]
        assert len(world.told("billing-0", PartitionsAssigned)) == 2


def test_a_rebalance_is_noticed_by_a_heartbeat_and_acted_upon_in_the_next_poll_only() -> None:
    world = World((P0, P1))
    world.add("billing-0")
    world.poll("billing-0", 1_000)
    world.add("billing-1", auto_poll=100)
    world.run(world.now + 10_000)  # billing-0 is busy; billing-1 waits in JoinGroup
    assert world.told("billing-0", PartitionsRevoked) == []
    assert world.told("billing-1", PartitionsAssigned) == []
    world.poll("billing-0", 1_000)
    world.run(world.now + 200)
    assert world.told("billing-0", PartitionsRevoked) == [PartitionsRevoked((P0, P1), lost=False)]
    assert world.told("billing-1", PartitionsAssigned) == [PartitionsAssigned((P1,))]


def test_a_new_coordinator_with_the_group_in_its_log_disturbs_nobody() -> None:
    world = World()
    world.add("billing-0", auto_poll=100)
    world.run(5_000)
    log = world.coordinator.take_records()
    world.coordinator = world.new_coordinator(0)
    world.coordinator.load(log, world.now)
    world.disconnect("billing-0", "broker-1#coordinator")
    world.run(60_000)
    assert world.told("billing-0", PartitionsRevoked) == []
    assert len(world.requests(JoinGroupRequest)) == 2


def test_a_new_coordinator_that_does_not_know_the_group_makes_it_join_again() -> None:
    world = World()
    world.add("billing-0", auto_poll=100)
    world.run(5_000)
    world.coordinator = world.new_coordinator(0)
    world.disconnect("billing-0", "broker-1#coordinator")
    world.run(12_000)
    assert world.told("billing-0", PartitionsRevoked) == [PartitionsRevoked((P0,), lost=True)]
    assert len(world.told("billing-0", PartitionsAssigned)) == 2


def test_a_silent_coordinator_is_looked_for_again_once_a_session_is_over() -> None:
    world = World()
    world.add("billing-0", auto_poll=100, request_timeout_ms=100_000, default_api_timeout_ms=100_000)
    world.run(5_000)
    found = len(world.requests(FindCoordinatorRequest))
    world.silent.add(HeartbeatRequest)
    world.run(40_000)
    assert len(world.requests(FindCoordinatorRequest)) == found
    world.run(52_000)
    assert len(world.requests(FindCoordinatorRequest)) > found


def test_while_the_coordinator_is_unknown_java_waits_out_the_timeout_before_it_returns_records() -> None:
    world = joined()
    world.append(P0, 3)
    world.run(world.now + 10)
    world.silent.add(FindCoordinatorRequest)
    world.disconnect("billing-0", "broker-1#coordinator")
    world.run(world.now + 10)
    before = world.now
    assert world.poll("billing-0", 300) == [0, 1, 2]
    assert world.now == before + 300


def test_no_records_are_returned_while_the_commit_before_a_revocation_is_in_flight() -> None:
    world = World((P0, P1))
    world.add("billing-0", max_poll_records=1)
    world.append(P0, 5)
    assert world.poll("billing-0", 1_000) == [0]
    world.add("billing-1", auto_poll=100)
    world.run(world.now + 10_000)
    world.silent.add(OffsetCommitRequest)
    assert world.poll("billing-0", 1_000) == []
    assert world.told("billing-0", PartitionsRevoked) == []
