"""What the machines of a Cluster said to each other, one line a message, to be compared with a text that stands in the test.

    transcript = Transcript(cluster)              from here on: Produce, Fetch, OffsetsForLeaderEpoch, ListOffsets, AlterPartition, and
                                                  what a broker reads about the partition in the metadata log
    transcript.note("broker-2 crashes")           a line of the test's own:      -- broker-2 crashes
    transcript.pause() / transcript.resume()      nothing is written meanwhile
    transcript.lines(), transcript.text()         what was said so far

Beside messages there are lines for what a broker does to its log (`broker-2: truncates orders-0 from 2 to 1`). A fetch, or an answer to
one, that repeats the last from the same sender to the same receiver is left out, unless one of them did something in between: fetches
of the idle are no news. Of what a broker reads in the metadata log, the newest about each partition is told. What else should be told is a
keyword: `Transcript(cluster, says={BrokerHeartbeatRequest: lambda request: "Heartbeat"})`; None as a value (or as what the
function returns) silences a type. `events={Type: function}` likewise for what is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pump import Cluster

from kafkasim.protocol.errors import Error
from kafkasim.protocol.local_replica import Truncated
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    FetchRequest,
    FetchResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataFetchResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    PartitionRegistration,
    ProduceRequest,
    ProduceResponse,
)
from kafkasim.protocol.partition import LeaderEpochStarted
from kafkasim.protocol.records import LogBatch, TopicPartition

Says = Callable[[Any], str | None]


class Transcript:
    """See the module. It takes over `cluster.on_deliver` and listens to `cluster.traced`."""

    def __init__(
        self, cluster: Cluster, says: Mapping[type, Says | None] | None = None, events: Mapping[type, Says | None] | None = None
    ) -> None:
        self._says = {**MESSAGES, **(says or {})}
        self._events = {**EVENTS, **(events or {})}
        self._lines: list[str] = []
        self._last: dict[tuple[str, str, type], str] = {}
        self._silent = False
        self._cluster = cluster
        self._traced = len(cluster.traced)
        cluster.on_deliver = self._deliver

    def note(self, text: str) -> None:
        """What the test does, or wants to be noticed."""
        self._catch_up()
        self._lines.append(f"-- {text}")

    def pause(self) -> None:
        self._catch_up()
        self._silent = True

    def resume(self) -> None:
        self._catch_up()
        self._silent = False

    def lines(self) -> list[str]:
        self._catch_up()
        return list(self._lines)

    def text(self) -> str:
        """The lines, each ended, so that a text in triple quotes can be compared with it."""
        return "".join(f"{line}\n" for line in self.lines())

    def _deliver(self, target: str, event: object, source: str) -> None:
        self._catch_up()
        said = self._says.get(type(event))
        text = None if said is None else said(event)
        if text is None:
            return
        origin = source.partition("#")[0]
        way = (origin, target, type(event))
        if isinstance(event, FetchRequest | FetchResponse) and self._last.get(way) == text:
            return
        self._last[way] = text
        if not self._silent:
            self._lines.append(f"{origin} -> {target}  {text}")

    def _catch_up(self) -> None:
        """What has been traced since the last line."""
        traced = self._cluster.traced
        for event in traced[self._traced :]:
            said = self._events.get(type(event))
            text = None if said is None else said(event)
            if text is None:
                continue
            self._last = {way: last for way, last in self._last.items() if text.partition(":")[0] not in way}
            if not self._silent:
                self._lines.append(text)
        self._traced = len(traced)


def partition_name(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def records(batches: tuple[LogBatch, ...]) -> str:
    """`m1@0 m2@1`: the records by their numbers, and their offsets."""
    return " ".join(
        f"m{number}@{log_batch.base_offset + place}" for log_batch in batches for place, number in enumerate(log_batch.batch.numbers)
    )


# -------------------------------------------------------------------------------------------------- how each message is told


def _produce(request: ProduceRequest) -> str:
    sent = " ".join(f"m{number}" for _, batch in request.batches for number in batch.numbers)
    acks = "all" if request.acks == -1 else request.acks
    return f"Produce({', '.join(partition_name(name) for name, _ in request.batches)}, {sent}, acks={acks})"


def _produced(response: ProduceResponse) -> str:
    return ", ".join(
        f"acknowledged at offset {result.base_offset}" if result.error is Error.NONE else result.error.name for result in response.results
    )


def _fetch(request: FetchRequest) -> str:
    told = []
    for fetch in request.partitions:
        epoch = "" if fetch.current_leader_epoch < 0 else f", epoch {fetch.current_leader_epoch}"
        last = "" if fetch.last_fetched_epoch < 0 else f", last record of epoch {fetch.last_fetched_epoch}"
        told.append(f"Fetch({partition_name(fetch.partition)}, offset {fetch.fetch_offset}{epoch}{last})")
    return ", ".join(told)


def _fetched(response: FetchResponse) -> str:
    told = []
    for fetched in response.partitions:
        if fetched.error is not Error.NONE:
            told.append(fetched.error.name)
        elif fetched.diverging_epoch >= 0:
            told.append(f"the logs part: epoch {fetched.diverging_epoch} ends at {fetched.diverging_end_offset}")
        else:
            told.append(f"{records(fetched.batches) or 'no records'}, high watermark {fetched.high_watermark}")
    return ", ".join(told)


def _ask_epoch_end(request: OffsetForLeaderEpochRequest) -> str:
    told = []
    for name, current_leader_epoch, leader_epoch in request.partitions:
        current = "" if current_leader_epoch < 0 else f", current epoch {current_leader_epoch}"
        told.append(f"OffsetsForLeaderEpoch({partition_name(name)}, epoch {leader_epoch}{current})")
    return ", ".join(told)


def _epoch_end(response: OffsetForLeaderEpochResponse) -> str:
    told = []
    for _, error, leader_epoch, end_offset in response.partitions:
        if error is not Error.NONE:
            told.append(error.name)
        elif end_offset < 0:
            told.append("unknown")
        else:
            told.append(f"end offset {end_offset}" if leader_epoch < 0 else f"epoch {leader_epoch} ends at {end_offset}")
    return ", ".join(told)


def _ask_bound(request: ListOffsetsRequest) -> str:
    which = "latest" if request.timestamp == -1 else "earliest"
    return f"ListOffsets({', '.join(partition_name(name) for name in request.partitions)}, {which})"


def _bound(response: ListOffsetsResponse) -> str:
    return ", ".join(f"offset {offset}" if error is Error.NONE else error.name for _, error, offset, _ in response.partitions)


def _alter(request: AlterPartitionRequest) -> str:
    told = [f"{partition_name(name)}, ISR {_brokers(tuple(broker for broker, _ in isr))}" for name, _, _, isr in request.partitions]
    return f"AlterPartition({', '.join(told)})"


def _metadata(response: MetadataFetchResponse) -> str | None:
    """Registrations of brokers are left out: elections tell what came of them."""
    newest = {record.partition: record for record in response.records if isinstance(record, PartitionRegistration)}
    return "; ".join(map(registration, newest.values())) or None


def registration(record: PartitionRegistration) -> str:
    leader = f"leader {record.leader}" if record.leader >= 0 else "no leader"
    elr = f", ELR {_brokers(record.elr)}" if record.elr else ""
    return f"{partition_name(record.partition)}: {leader}, epoch {record.leader_epoch}, ISR {_brokers(record.isr)}{elr}"


def _brokers(brokers: tuple[int, ...]) -> str:
    return "{" + " ".join(str(broker) for broker in brokers) + "}"


MESSAGES: Mapping[type, Says] = {
    ProduceRequest: _produce,
    ProduceResponse: _produced,
    FetchRequest: _fetch,
    FetchResponse: _fetched,
    OffsetForLeaderEpochRequest: _ask_epoch_end,
    OffsetForLeaderEpochResponse: _epoch_end,
    ListOffsetsRequest: _ask_bound,
    ListOffsetsResponse: _bound,
    AlterPartitionRequest: _alter,
    MetadataFetchResponse: _metadata,
}

EVENTS: Mapping[type, Says] = {
    Truncated: lambda event: (
        f"broker-{event.broker}: truncates {partition_name(event.partition)} from {event.from_offset} to {event.to_offset}"
    ),
    LeaderEpochStarted: lambda event: (
        f"broker-{event.broker}: leads {partition_name(event.partition)} in epoch {event.leader_epoch} from offset {event.start_offset} on"
    ),
}
