"""The follower's side of replication: one fetcher for each broker that leads something this broker follows.

In Kafka: ReplicaFetcherManager, AbstractFetcherThread, ReplicaFetcherThread, BrokerBlockingSender; KIP-101, KIP-279, KIP-595.

* A fetcher has one request on its way, for all partitions it follows from that leader, and sends the next as soon as the answer is
  processed. What a follower asks for is also what it confirms: a fetch from offset n says that it has everything below n.
* A fetch carries the leader epoch the follower believes in, and the epoch of its last record. A leader whose log has no such
  record answers with the place where the logs part; the follower truncates there and fetches again. Nothing is ever truncated to
  the high watermark. Older generations went another way (truncation_policy.py), some with a phase before it (truncation_rounds.py).
* After an error a partition waits for replica.fetch.backoff.ms, after a broken connection or a request without an answer, all do.

Simplified: num.replica.fetchers is 1. Simplified: one timeout, replica.socket.timeout.ms, for connecting and for the answer, which in
Kafka has the broker's request.timeout.ms (30 s both). Simplified: no fetch sessions (KIP-227): every request names every partition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.messages import (
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from kafkasim.protocol.node import Close, Connect, Output, broker_name, new_send
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.partition_fetch_state import PartitionFetchState
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import Alarm
from kafkasim.protocol.truncation_policy import KIP_595, TruncationPolicy
from kafkasim.protocol.truncation_rounds import TruncationRounds

LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2

_new_request: Callable[[tuple[object, ...]], FetchRequest] = partial(tuple.__new__, FetchRequest)
_new_partition: Callable[[tuple[TopicPartition, int, int, int, int]], FetchPartition] = partial(tuple.__new__, FetchPartition)


class ReplicaFetcherThread:
    """Fetches from one leader. It keeps Kafka's name, but is no thread; what it waits for is one answer at a time.

    `peer` ends in this broker's own id: each of two brokers may fetch from the other, and their two connections need two names.
    """

    __slots__ = (
        "_connected",
        "_correlation_id",
        "_expires_at",
        "_manager",
        "_out_of_range",
        "_requested",
        "_states",
        "_truncating",
        "leader",
        "peer",
    )

    def __init__(self, leader: int, manager: ReplicaFetcherManager) -> None:
        self.leader = leader
        self.peer = f"{broker_name(leader)}#fetcher-{manager.broker_id}"
        self._manager = manager
        self._connected = False
        self._correlation_id = 0
        self._expires_at = inf  # of the connection attempt or request on its way; infinite if there is none
        self._states: dict[TopicPartition, PartitionFetchState] = {}
        self._truncating = TruncationRounds(manager.truncation, manager.broker_id)
        self._requested: tuple[FetchPartition, ...] = ()
        self._out_of_range: dict[TopicPartition, int | None] = {}  # with the leader's end, once it is known

    @property
    def idle(self) -> bool:
        """Nothing is followed from this leader."""
        return not self._states and not self._truncating.states

    def add(self, partition: Partition, leader_epoch: int, truncating: bool) -> None:
        """This broker became a follower of this leader; where a request is on its way, the next one will carry the partition.

        `truncating`: it is not to be fetched before the leader has said where to cut it.
        """
        manager = self._manager
        state = PartitionFetchState(partition, leader_epoch, manager.config.replica_fetch_max_bytes, manager.truncation)
        (self._truncating.states if truncating else self._states)[partition.partition] = state

    def remove(self, partition: TopicPartition) -> None:
        """This broker no longer follows it from here: what is on its way for it will be ignored."""
        self._states.pop(partition, None)
        self._truncating.states.pop(partition, None)
        self._out_of_range.pop(partition, None)

    def close(self) -> None:
        """Nothing is followed any more, or the broker stops."""
        if self._connected or self._expires_at < inf:
            self._manager.outbox.append(Close(self.peer))

    def connected(self, now: float) -> None:
        """The connection stands."""
        self._connected = True
        self._expires_at = inf
        self.proceed(now)

    def disconnected(self, now: float) -> None:
        """The connection broke or was refused: nothing is fetched from this leader for replica.fetch.backoff.ms."""
        self._connected = False
        self._expires_at = inf
        self._out_of_range.clear()
        for state in (*self._states.values(), *self._truncating.states.values()):
            state.ready_at = max(state.ready_at, now + self._manager.config.replica_fetch_backoff_ms)
        self.proceed(now)

    def fetched(self, response: FetchResponse, now: float) -> None:
        """The leader has answered a fetch: append, truncate, back off; and ask on."""
        if response.correlation_id != self._correlation_id:
            return
        self._expires_at = inf
        states = self._states
        for requested, fetched in zip(self._requested, response.partitions):  # noqa: B905 - it answers what was asked, in that order
            state = states.get(fetched.partition)
            if state is not None and fetched is state.told and requested is state.fetch:
                continue  # nothing new, neither asked nor answered
            # A partition may have gone, come back, or been truncated meanwhile: only an answer to where its log ends now is of use.
            if state is not None and state.ready_at <= now and requested.fetch_offset == state.log.log_end_offset:
                self._take(state, requested, fetched, now)
        self.proceed(now)

    def bounds_answered(self, response: ListOffsetsResponse, now: float) -> None:
        """The leader has told where the log of a partition ends or begins that was fetched out of range."""
        if response.correlation_id != self._correlation_id:
            return
        self._expires_at = inf
        for partition, error, offset, _ in response.partitions:
            if partition not in self._out_of_range:
                continue
            if error is not NO_ERROR:
                del self._out_of_range[partition]
                self._back_off(self._states[partition], now)
            else:
                self._take_bound(self._states[partition], offset)
        self.proceed(now)

    def epoch_ends_answered(self, response: OffsetForLeaderEpochResponse, now: float) -> None:
        """The leader has told where epochs ended: cut, and fetch what agrees with the leader now."""
        if response.correlation_id != self._correlation_id:
            return
        self._expires_at = inf
        for state in self._truncating.answered(response, now + self._manager.config.replica_fetch_backoff_ms):
            name = state.partition.partition
            self._states[name] = state
            self._manager.replicated(name, now)
        self.proceed(now)

    def wake(self, now: float) -> None:
        """A backoff is over, or an answer did not come in time: then the connection is given up (BrokerBlockingSender)."""
        if self._expires_at <= now:
            self._manager.outbox.append(Close(self.peer))
            self.disconnected(now)
        else:
            self.proceed(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        if self._expires_at < inf:
            return self._expires_at
        waiting = (*self._states.values(), *self._truncating.states.values()) if self._truncating.states else self._states.values()
        return min((state.ready_at for state in waiting), default=inf)

    # ------------------------------------------------------------------------------------------------ asking

    def proceed(self, now: float) -> None:
        """The next step, unless one is on its way: connect, ask for bounds or for ends of epochs, or fetch whatever is ready."""
        if self._expires_at < inf:
            return
        manager = self._manager
        ready = []
        for state in self._states.values():
            if state.ready_at > now:
                continue
            fetch, log = state.fetch, state.log
            latest_epoch = state.fetched_epochs.latest_epoch
            if fetch.fetch_offset != log.log_end_offset or fetch.last_fetched_epoch != latest_epoch:
                fetch = _new_partition((fetch.partition, log.log_end_offset, state.leader_epoch, latest_epoch, fetch.max_bytes))
                state.fetch = fetch  # asked for again as it is, as long as nothing is appended
            ready.append(fetch)
        truncating = bool(self._truncating.states) and self._truncating.ready(now)
        if not ready and not truncating:
            manager.alarm.set(self.next_deadline())
            return
        if not self._connected:
            manager.outbox.append(Connect(self.peer))
        else:
            self._correlation_id += 1
            asks = truncating or self._out_of_range
            manager.outbox.append(new_send((self.peer, self._ask(truncating, now) if asks else self._fetch(tuple(ready)))))
        self._expires_at = expires_at = now + manager.socket_timeout_ms
        if expires_at < manager.alarm.deadline:
            manager.alarm.set(expires_at)

    def _fetch(self, ready: tuple[FetchPartition, ...]) -> FetchRequest:
        self._requested = ready
        manager = self._manager
        # FetchRequest(correlation_id, replica_id, broker_epoch, ...) by the short way (see node.new_send).
        return _new_request((self._correlation_id, manager.broker_id, manager.broker_epoch(), *manager.fetch_settings, ready))

    def _ask(self, truncating: bool, now: float) -> OffsetForLeaderEpochRequest | ListOffsetsRequest:
        return self._truncating.ask(self._correlation_id, now) if truncating else self._ask_bound()

    def _ask_bound(self) -> ListOffsetsRequest:
        partition, leader_end = next(iter(self._out_of_range.items()))
        timestamp = LATEST_TIMESTAMP if leader_end is None else EARLIEST_TIMESTAMP
        return ListOffsetsRequest(self._correlation_id, (partition,), timestamp, self._manager.broker_id)

    # ------------------------------------------------------------------------------------------------ answers

    def _take(self, state: PartitionFetchState, requested: FetchPartition, fetched: FetchedPartition, now: float) -> None:
        """One partition's part of an answer (processFetchRequest)."""
        error = fetched.error
        if error is NO_ERROR:
            if fetched.diverging_epoch >= 0:
                # The rest of the answer is not believed before the logs agree again.
                state.partition.truncate_for_divergence(fetched)
                self._manager.replicated(fetched.partition, now)
                return
            if fetched.batches and fetched.batches[0].base_offset != requested.fetch_offset:
                # Out of order offsets: the logs have parted, and none of the older generations sees it. This replica stays behind.
                # Simplified: the partition alone fails, as since KIP-461 (2.3); before, its exception ended the whole fetcher.
                del self._states[fetched.partition]
                return
            if state.partition.append_records_to_follower(fetched, now):
                self._manager.replicated(fetched.partition, now)
            if not fetched.batches:
                state.told = fetched
            elif len(self._states) > 1:  # so that no partition always comes last, when answers are full
                self._states[fetched.partition] = self._states.pop(fetched.partition)
        elif error is Error.OFFSET_OUT_OF_RANGE:
            self._out_of_range[fetched.partition] = None
        elif error is Error.FENCED_LEADER_EPOCH and requested.current_leader_epoch == state.leader_epoch:
            # The leader knows of a newer epoch than this broker: nothing to do before the metadata log has told it, too.
            del self._states[fetched.partition]
        else:
            self._back_off(state, now)

    def _take_bound(self, state: PartitionFetchState, offset: int) -> None:
        """fetchOffsetAndTruncate: a leader's log that ends sooner cuts ours; one that begins later than ours ends replaces it."""
        partition, log = state.partition.partition, state.log
        if self._out_of_range[partition] is None:
            if offset >= log.log_end_offset:
                self._out_of_range[partition] = offset  # then it must be the other bound
                return
            state.partition.truncate_to(offset)
        elif offset > log.log_end_offset:
            state.partition.truncate_fully_and_start_at(offset)
        del self._out_of_range[partition]

    def _back_off(self, state: PartitionFetchState, now: float) -> None:
        state.ready_at = now + self._manager.config.replica_fetch_backoff_ms


class ReplicaFetcherManager:
    """All fetchers of one broker. `replicated(partition, now)` is told when a follower's log or high watermark changed."""

    __slots__ = (
        "_by_peer",
        "_fetchers",
        "_leader_of",
        "alarm",
        "broker_epoch",
        "broker_id",
        "config",
        "fetch_settings",
        "outbox",
        "replicated",
        "socket_timeout_ms",
        "truncation",
    )

    def __init__(
        self,
        broker_id: int,
        broker_epoch: Callable[[], int],
        config: BrokerConfig,
        replicated: Callable[[TopicPartition, float], None],
        outbox: list[Output],
        alarm: Alarm,
        truncation: TruncationPolicy = KIP_595,
    ) -> None:
        self.broker_id = broker_id
        self.broker_epoch = broker_epoch
        self.config = config
        self.socket_timeout_ms = config.replica_socket_timeout_ms
        # What every FetchRequest says, from `max_wait_ms` to `read_committed`.
        self.fetch_settings = (
            config.replica_fetch_wait_max_ms,
            config.replica_fetch_min_bytes,
            config.replica_fetch_response_max_bytes,
            False,
        )
        self.replicated = replicated
        self.outbox = outbox
        self.alarm = alarm
        self.truncation = truncation
        self._fetchers: dict[int, ReplicaFetcherThread] = {}
        self._by_peer: dict[str, ReplicaFetcherThread] = {}
        self._leader_of: dict[TopicPartition, int] = {}

    def get(self, peer: str) -> ReplicaFetcherThread | None:
        """The fetcher whose connection is named `peer`."""
        return self._by_peer.get(peer)

    def add_fetcher_for_partition(self, partition: Partition, leader: int, leader_epoch: int, truncating: bool) -> None:
        """This broker follows `leader` in a new leader epoch, `truncating` at first or not. Nothing is sent before `metadata_applied`."""
        fetcher = self._fetchers.get(leader)
        if fetcher is None:
            fetcher = self._fetchers[leader] = ReplicaFetcherThread(leader, self)
            self._by_peer[fetcher.peer] = fetcher
        self._leader_of[partition.partition] = leader
        fetcher.add(partition, leader_epoch, truncating)

    def remove_fetcher_for_partition(self, partition: TopicPartition) -> None:
        """This broker leads now, or there is no leader, or another one."""
        fetcher = self._fetchers.get(self._leader_of.pop(partition, -1))
        if fetcher is not None:
            fetcher.remove(partition)

    def metadata_applied(self, now: float) -> None:
        """After a metadata update: fetch what is new, and close the connections to those who lead nothing any more."""
        for fetcher in list(self._fetchers.values()):
            if fetcher.idle:
                self._close(fetcher)
            else:
                fetcher.proceed(now)

    def shutdown(self) -> None:
        """The broker stops."""
        for fetcher in list(self._fetchers.values()):
            self._close(fetcher)
        self._leader_of.clear()

    def wake(self, now: float) -> None:
        """Time has come for some fetcher."""
        for fetcher in self._fetchers.values():
            if fetcher.next_deadline() <= now:
                fetcher.wake(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return min((fetcher.next_deadline() for fetcher in self._fetchers.values()), default=inf)

    def _close(self, fetcher: ReplicaFetcherThread) -> None:
        fetcher.close()
        del self._fetchers[fetcher.leader]
        del self._by_peer[fetcher.peer]
