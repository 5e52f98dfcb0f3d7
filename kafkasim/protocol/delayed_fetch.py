"""Long polls: how a fetch waits for data. In Kafka: ReplicaManager.readFromLog, kafka.server.DelayedFetch and its purgatory.

A fetch is answered at once where there are `min_bytes` to read, an error, or a divergence (KIP-595). Else it is parked, and read again
whenever something happened to one of its partitions, until `max_wait_ms` is over: then it gets whatever there is, mostly nothing.

Simplified: the answer names every partition that was asked for; with fetch sessions (KIP-227) only those with news.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kafkasim.protocol.errors import NO_ERROR
from kafkasim.protocol.hosted_partitions import HostedPartition, HostedPartitions
from kafkasim.protocol.messages import FetchedPartition, FetchPartition, FetchRequest, FetchResponse
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.purgatory import DelayedFetch, ExpirationQueue, FetchWatchers
from kafkasim.protocol.request_channel import Connection, RequestChannel
from kafkasim.protocol.scheduled_tasks import Alarm

# FetchResponse(correlation_id, partitions) by the short way (see node.new_send).
_new_response: Callable[[tuple[int, tuple[FetchedPartition, ...]]], FetchResponse] = partial(tuple.__new__, FetchResponse)


class FetchPurgatory:
    """The parked fetches of one broker, of followers and of consumers, and how they are read."""

    __slots__ = ("_channel", "_expiring", "_hosted")

    def __init__(self, hosted: HostedPartitions, channel: RequestChannel, alarm: Alarm) -> None:
        self._hosted = hosted
        self._channel = channel
        self._expiring: ExpirationQueue[DelayedFetch] = ExpirationQueue(alarm)

    def nothing_to_read(self, request: FetchRequest) -> list[HostedPartition] | None:
        """A fetch for which there is nothing to read yet, and which may wait: its partitions. None: it must be read to know."""
        _, replica_id, _, max_wait_ms, min_bytes, _, _, partitions = request
        if min_bytes <= 0 or max_wait_ms <= 0 or not partitions:
            return None
        hosts = []
        for fetch in partitions:
            hosted = self._hosted.get(fetch[0])
            if hosted is None or not hosted.partition.nothing_to_read(fetch, replica_id):
                return None
            hosts.append(hosted)
        return hosts

    def read_from_log(self, request: FetchRequest) -> tuple[list[FetchedPartition], bool]:
        """All partitions of a fetch in its order, and whether that is an answer or should wait.

        `max_bytes` of the request ends the reading, but never before one batch: else a large one would never be read.
        """
        _, replica_id, _, _, min_bytes, max_bytes, read_committed, partitions = request
        results = []
        size = 0
        answers = False
        for fetch in partitions:
            hosted = self._hosted.get(fetch.partition)
            if hosted is None:
                results.append(self._absent(fetch))
                answers = True
                continue
            remaining = max_bytes - size
            wanted = fetch if remaining >= fetch.max_bytes else fetch._replace(max_bytes=max(remaining, 0))
            result = hosted.partition.read_for_fetch(wanted, replica_id, read_committed)
            if result.batches:
                if size and remaining <= 0:
                    result = result._replace(batches=())
                for log_batch in result.batches:
                    size += log_batch.batch.size
            elif result.error is not NO_ERROR or result.diverging_epoch >= 0:
                answers = True
            results.append(result)
        return results, answers or size >= min_bytes

    def park(self, request: FetchRequest, connection: Connection, hosts: list[HostedPartition], found_nothing: bool, now: float) -> None:
        """A fetch that found too little in `hosts`, and may wait."""
        max_wait_ms = request.max_wait_ms
        operation = DelayedFetch(now + max_wait_ms, request, connection, found_nothing)
        is_follower = request.replica_id >= 0
        for hosted in hosts:
            watchers = hosted.follower_fetches if is_follower else hosted.consumer_fetches
            watchers[operation] = None
            operation.watched.append(watchers)
        self._expiring.add(operation, max_wait_ms)

    def try_complete(self, fetches: FetchWatchers) -> None:
        """Something happened to a partition that these fetches watch."""
        for operation in list(fetches):
            results, answers = self.read_from_log(operation.request)
            if answers:
                self._complete(operation, results)
            else:
                operation.found_nothing = False

    def try_complete_with(self, news: Partition, fetches: FetchWatchers) -> None:
        """There is more to read in `news`, which these fetches watch, and nothing else has happened.

        Who had found nothing before finds this and nothing else. What could make it differ (leadership, truncation) answers parked
        fetches itself, so it need not be asked again. Readers that stand at one place, as followers do, are given the same.
        """
        name = news.partition
        asked = told = None
        size, fits = 0, False
        for operation in list(fetches):
            request = operation.request
            results = []
            for fetch in request.partitions:
                if fetch.partition != name:
                    results.append(self._hosted[fetch.partition].partition.nothing_read())
                    continue
                if told is None or fetch != asked:
                    asked, told = fetch, news.read_for_fetch(fetch, request.replica_id, request.read_committed)
                    size = 0
                    for log_batch in told.batches:
                        size += log_batch.batch.size
                fits = fetch.max_bytes <= request.max_bytes
                results.append(told)
            if fits and operation.found_nothing and size >= request.min_bytes:
                self._complete(operation, results)
            else:
                self.try_complete({operation: None})

    def wake(self, now: float) -> None:
        """The wait of some is over: they get what there is."""
        for operation in self._expiring.expired(now):
            results, _ = self.read_from_log(operation.request)
            self._complete(operation, results)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return self._expiring.next_deadline()

    # ------------------------------------------------------------------------------------------------ helpers

    def _complete(self, operation: DelayedFetch, results: list[FetchedPartition]) -> None:
        operation.done = True
        for watchers in operation.watched:
            del watchers[operation]
        self._channel.respond(operation.connection, _new_response((operation.request.correlation_id, tuple(results))))

    def _absent(self, fetch: FetchPartition) -> FetchedPartition:
        error = self._hosted.error_of_absent(fetch.partition)
        leader, leader_epoch = self._hosted.current_leader(fetch.partition)
        return FetchedPartition(fetch.partition, error, -1, -1, current_leader=leader, current_leader_epoch=leader_epoch)
