"""Long polls: how a fetch waits for data. In Kafka: ReplicaManager.readFromLog, kafka.server.DelayedFetch and its purgatory.

A fetch is answered at once where there are `min_bytes` to read, an error, or a divergence (KIP-595). Else it is parked, and read again
whenever something happened to one of its partitions, until `max_wait_ms` is over: then it gets whatever there is, mostly nothing.

Simplified: the answer names every partition that was asked for; with fetch sessions (KIP-227) only those with news.
"""

from __future__ import annotations

from kafkasim.protocol.errors import Error
from kafkasim.protocol.hosted_partitions import HostedPartitions
from kafkasim.protocol.messages import FetchedPartition, FetchPartition, FetchRequest, FetchResponse
from kafkasim.protocol.purgatory import DelayedFetch, ExpirationQueue, FetchWatchers
from kafkasim.protocol.request_channel import Connection, RequestChannel
from kafkasim.protocol.scheduled_tasks import Alarm


class FetchPurgatory:
    """The parked fetches of one broker, of followers and of consumers, and how they are read."""

    __slots__ = ("_channel", "_expiring", "_hosted")

    def __init__(self, hosted: HostedPartitions, channel: RequestChannel, alarm: Alarm) -> None:
        self._hosted = hosted
        self._channel = channel
        self._expiring: ExpirationQueue[DelayedFetch] = ExpirationQueue(alarm)

    def read_from_log(self, request: FetchRequest) -> tuple[list[FetchedPartition], bool]:
        """All partitions of a fetch in its order, and whether that is an answer or should wait.

        `max_bytes` of the request ends the reading, but never before one batch: else a large one would never be read.
        """
        results = []
        size = 0
        answers = False
        for wanted in request.partitions:
            fetch = wanted
            hosted = self._hosted.get(fetch.partition)
            if hosted is None:
                results.append(self._absent(fetch))
                answers = True
                continue
            remaining = request.max_bytes - size
            if remaining < fetch.max_bytes:
                fetch = fetch._replace(max_bytes=max(remaining, 0))
            result = hosted.partition.read_for_fetch(fetch, request.replica_id, request.read_committed)
            if result.batches:
                if size and remaining <= 0:
                    result = result._replace(batches=())
                for log_batch in result.batches:
                    size += log_batch.batch.size
            elif result.error is not Error.NONE or result.diverging_epoch >= 0:
                answers = True
            results.append(result)
        return results, answers or size >= request.min_bytes

    def park(self, request: FetchRequest, connection: Connection, now: float) -> None:
        """A fetch that found too little, and may wait."""
        operation = DelayedFetch(now + request.max_wait_ms, request, connection)
        is_follower = request.replica_id >= 0
        for fetch in request.partitions:
            hosted = self._hosted[fetch.partition]
            watchers = hosted.follower_fetches if is_follower else hosted.consumer_fetches
            watchers[operation] = None
            operation.watched.append(watchers)
        self._expiring.add(operation, request.max_wait_ms)

    def try_complete(self, fetches: FetchWatchers) -> None:
        """Something happened to a partition that these fetches watch."""
        for operation in list(fetches):
            results, answers = self.read_from_log(operation.request)
            if answers:
                self._complete(operation, results)

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
            watchers.pop(operation, None)
        self._channel.respond(operation.connection, FetchResponse(operation.request.correlation_id, tuple(results)))

    def _absent(self, fetch: FetchPartition) -> FetchedPartition:
        error = self._hosted.error_of_absent(fetch.partition)
        leader, leader_epoch = self._hosted.current_leader(fetch.partition)
        return FetchedPartition(fetch.partition, error, -1, -1, current_leader=leader, current_leader_epoch=leader_epoch)
