"""An administrator's connection to brokers, past all faults: librdkafka's AdminClient, and a consumer that reads a log to its end.

A broker may be paused or cut off when it is asked. So every request is short, and is sent again, where it may be, to whichever broker the
client picks next.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    ElectionType,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # documented there, but not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.log_reader import PASSING, READING, error_of, may_pass, read_to_end
from kafkasim.cluster.reassignment_wire import alter_partition_reassignment

_CONNECT_S = 3.0
_METADATA_S = 1.5
_ALONE_S = 0.5  # for one broker that may be down: whoever asks has more to do
_REQUEST_S = 3.0
_OPERATION_S = 2.0
_PATIENCE_S = 30.0
_ACTION_S = 60.0  # for what a scenario wants done: AdminClientConfig's default.api.timeout.ms
_PAUSE_S = 0.05
_SETTINGS: Mapping[str, Any] = {
    "socket.timeout.ms": 1500,  # until a paused broker is left alone and another one asked
    "socket.connection.setup.timeout.ms": 3000,
    "reconnect.backoff.ms": 50,  # a broker that was started again is found at once
    "reconnect.backoff.max.ms": 500,
    "log_level": 0,
}
T = TypeVar("T")


class Described(NamedTuple):
    """One partition as one broker has it, which may be out of date. `leader` -1: none."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int


class Admin:
    """A connection to the cluster at `bootstrap` ("HOST:PORT,…"). Raises ClusterError where no broker answers there within five seconds."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        # librdkafka complains on standard error of every broker that is away; here that is what is meant to happen.
        self._quiet = logging.Logger("kafkasim.cluster.admin", logging.CRITICAL + 1)
        self._settings: dict[str, Any] = {**_SETTINGS, "bootstrap.servers": bootstrap}
        try:
            self._client: AdminClient | None = AdminClient(self._settings, logger=self._quiet)
        except KafkaException as problem:
            raise ClusterError(f"{bootstrap} is no address of Kafka brokers: {_words(problem)}.") from None
        try:
            self._patiently("answer", self._metadata, _CONNECT_S)
        except ClusterError:
            self.close()
            raise ClusterError(f"No Kafka broker answers at {bootstrap}.") from None

    def close(self) -> None:
        """End the connection; nothing may be asked afterwards."""
        self._client = None

    # ------------------------------------------------------------------------------------------------ looking

    def brokers(self) -> list[int]:
        """The ids of the brokers that are registered and not fenced, as some broker has it."""
        return sorted(self._patiently("list its brokers", self._metadata).brokers)

    def topic_exists(self, name: str) -> bool:
        """Whether some broker knows the topic."""
        return bool(self.describe(name))

    def answers(self, broker_id: int) -> bool:
        """Whether this broker answers by itself, and holds itself to be registered and not fenced."""
        there = self._patiently("list its brokers", self._metadata).brokers.get(broker_id)
        if there is None:
            return False
        # A client that was told of one broker alone has its first answer from it, or none.
        address = f"[{there.host}]:{there.port}" if ":" in there.host else f"{there.host}:{there.port}"
        alone = AdminClient({**self._settings, "bootstrap.servers": address}, logger=self._quiet)
        try:
            return broker_id in alone.list_topics(timeout=_ALONE_S).brokers
        except KafkaException:
            return False

    def describe(self, topic: str) -> list[Described]:
        """The topic's partitions by index, as some broker has them; none where it does not know the topic."""
        # All topics are asked for: to ask for one by name would create it where the brokers allow that.
        found = self._patiently(f"describe the topic {topic}", self._metadata).topics.get(topic)
        partitions = {} if found is None else found.partitions
        return [Described(tuple(each.replicas), tuple(each.isrs), each.leader) for _, each in sorted(partitions.items())]

    def broker_config(self, broker_id: int) -> dict[str, str]:
        """The configuration of one broker, defaults included; a value that it keeps secret, or has not, is ""."""
        resource = ConfigResource(ResourceType.BROKER, str(broker_id))
        entries = self._patiently(
            f"tell the configuration of broker {broker_id}",
            lambda: _result(self._admin.describe_configs([resource], request_timeout=_REQUEST_S)[resource]),
            _REQUEST_S,
        )
        return {name: entry.value or "" for name, entry in entries.items()}

    def coordinator(self, group: str) -> int | None:
        """The broker that coordinates the group, whether the group exists or not; None where nobody does at the moment."""
        # A client keeps the coordinator it once found, and waits for it when it is gone: a new one has to ask.
        fresh = AdminClient(self._settings, logger=self._quiet)
        try:
            described = _result(fresh.describe_consumer_groups([group], request_timeout=_METADATA_S)[group])
        except (KafkaException, TimeoutError):
            return None
        return None if described.coordinator is None or described.coordinator.id < 0 else described.coordinator.id

    # ------------------------------------------------------------------------------------------------ changing

    def create_topic(self, name: str, assignment: Sequence[Sequence[int]], config: Mapping[str, str]) -> None:
        """A topic whose partition i is on brokers `assignment[i]`, the preferred leader first. Returns once its partitions have leaders."""
        placed = [list(replicas) for replicas in assignment]
        self._create(NewTopic(name, num_partitions=len(placed), replica_assignment=placed, config=dict(config)))

    def create_topic_anywhere(self, name: str, partitions: int, replication_factor: int, config: Mapping[str, str]) -> None:
        """A topic whose replicas the controller places. Returns once its partitions have leaders."""
        self._create(NewTopic(name, num_partitions=partitions, replication_factor=replication_factor, config=dict(config)))

    def delete_topics(self, names: Sequence[str]) -> None:
        """Delete those of these topics that exist."""
        left = list(names)

        def delete() -> None:
            for name, future in self._admin.delete_topics(left, request_timeout=_REQUEST_S, operation_timeout=_OPERATION_S).items():
                try:
                    _result(future)
                except KafkaException as problem:
                    if error_of(problem).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise
                left.remove(name)

        if left:
            self._patiently(f"delete the topics {', '.join(names)}", delete)

    def forget(self, topics: Sequence[str], groups: Sequence[str]) -> None:
        """Delete topics, and groups as far as they have no members: the brokers themselves forget a group in time."""
        self.delete_topics(topics)
        if groups:
            for future in self._admin.delete_consumer_groups(list(groups), request_timeout=_REQUEST_S).values():
                with contextlib.suppress(TimeoutError):
                    future.exception(2 * _REQUEST_S)

    def elect(self, election: str, partitions: Sequence[tuple[str, int]]) -> list[KafkaError]:
        """Let the "preferred" replica of each of these (topic, index) lead, or anybody where nobody does ("unclean"). Returns refusals."""
        wanted = [TopicPartition(topic, index) for topic, index in partitions]
        kind = ElectionType.PREFERRED if election == "preferred" else ElectionType.UNCLEAN

        def elect() -> list[KafkaError]:
            # Without the timeouts: confluent-kafka 2.16.1 takes none here (SystemError), and falls back on socket.timeout.ms.
            refusals = [problem for problem in _result(self._admin.elect_leaders(kind, wanted)).values() if problem is not None]
            for problem in refusals:
                if problem.code() in PASSING:
                    raise KafkaException(problem)
            return refusals

        names = ", ".join(f"{topic}-{index}" for topic, index in partitions)
        return self._patiently(f"elect the {election} leaders of {names}", elect, _ACTION_S)

    def elect_preferred(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Let the first replica of each of these (topic, index) lead again. Raises ClusterError where one may not lead."""
        for problem in self.elect("preferred", partitions):
            if problem.code() != KafkaError.ELECTION_NOT_NEEDED:
                raise ClusterError(f"Kafka at {self._bootstrap} did not elect the preferred leaders: {_words(KafkaException(problem))}.")

    def reassign(self, topic: str, index: int, replicas: Sequence[int]) -> KafkaError | None:
        """Begin to move the partition to these brokers, the preferred leader first; without any, move it back. Returns what is refused."""
        places = [_address(each) for each in self._bootstrap.split(",")]

        def ask() -> KafkaError | None:
            place = places[0]
            places.append(places.pop(0))  # the next attempt asks the next broker
            try:
                code = alter_partition_reassignment(place, topic, index, replicas, _REQUEST_S)
            except OSError:
                raise KafkaException(KafkaError(KafkaError._TRANSPORT)) from None
            if code in PASSING:
                raise KafkaException(KafkaError(code))
            return KafkaError(code) if code else None

        return self._patiently(f"reassign {topic}-{index}", ask, _ACTION_S)

    def alter_topic_config(self, topic: str, name: str, value: str) -> KafkaError | None:
        """Give one setting of a topic another value. Returns what is refused."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])

        def ask() -> KafkaError | None:
            try:
                _result(self._admin.incremental_alter_configs([resource], request_timeout=_REQUEST_S)[resource])
            except KafkaException as problem:
                if may_pass(problem):
                    raise
                return error_of(problem)
            return None

        return self._patiently(f"set {name} of {topic}", ask, _ACTION_S)

    def commit_beginning(self, group: str, topics: Sequence[tuple[str, int]]) -> None:
        """Set the group's offsets to 0 in every partition of these (topic, number of partitions), as kafka-consumer-groups.sh would."""
        zeros = [TopicPartition(topic, index, 0) for topic, partitions in topics for index in range(partitions)]

        def alter() -> None:
            wanted = [ConsumerGroupTopicPartitions(group, zeros)]
            for future in self._admin.alter_consumer_group_offsets(wanted, request_timeout=_REQUEST_S).values():
                for answered in _result(future).topic_partitions:
                    if answered.error is not None:
                        raise KafkaException(answered.error)

        self._patiently(f"set the offsets of {group}", alter)

    # ------------------------------------------------------------------------------------------------ reading

    def end_offsets(self, topic: str, partitions: int) -> list[int | None]:
        """The leaders' high watermarks of partitions 0 … `partitions` - 1; None for one that has no leader."""

        def ask() -> list[int | None]:
            found = self._metadata().topics.get(topic)
            led = [] if found is None else [index for index, each in found.partitions.items() if each.leader >= 0]
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library's, which says nothing of types
            wanted = {TopicPartition(topic, index): latest for index in led if index < partitions}
            if not wanted:
                return [None] * partitions
            futures = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_REQUEST_S)
            ends = {each.partition: _result(future).offset for each, future in futures.items()}
            if min(ends.values()) < 0:  # a leader that did not answer: librdkafka gives no error, but the offset -1001
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return [ends.get(index) for index in range(partitions)]

        return self._patiently(f"tell the end offsets of {topic}", ask)

    def read_log(self, topic: str, partition: int, timeout_s: float) -> Iterator[list[tuple[int, bytes]]]:
        """Chunks of (offset, value), from the log's start to the high watermark at the time of the call, open transactions included.

        Raises ClusterError, the iterator too, where the partition has no leader or the end is not reached within `timeout_s`.
        """
        end = self.end_offsets(topic, partition + 1)[partition]
        if end is None:
            raise ClusterError(f"{topic}-{partition} cannot be read: it has no leader.")
        settings = {**self._settings, **READING}
        consumer = Consumer(settings, logger=self._quiet)
        return read_to_end(consumer, TopicPartition(topic, partition, OFFSET_BEGINNING), end, time.monotonic() + timeout_s)

    # ------------------------------------------------------------------------------------------------ helpers

    @property
    def _admin(self) -> AdminClient:
        assert self._client is not None, "nothing is asked of a closed Admin"
        return self._client

    def _metadata(self) -> Any:  # ClusterMetadata, whose attributes have no types
        return self._admin.list_topics(timeout=_METADATA_S)

    def _patiently(self, what: str, ask: Callable[[], T], patience_s: float = _PATIENCE_S) -> T:
        """`ask` again while it fails with what may pass. `what` completes the sentence that is raised in the end."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return ask()
            except (KafkaException, TimeoutError) as problem:
                if not may_pass(problem) or time.monotonic() >= deadline:
                    raise ClusterError(f"Kafka at {self._bootstrap} did not {what}: {_words(problem)}.") from None
            time.sleep(_PAUSE_S)
            # Any broker is named as the controller, one that has just died too; only new metadata brings another name.
            with contextlib.suppress(KafkaException):
                self._metadata()

    def _create(self, topic: NewTopic) -> None:
        attempts = 0

        def create() -> None:
            nonlocal attempts
            attempts += 1
            try:
                _result(self._admin.create_topics([topic], request_timeout=_REQUEST_S, operation_timeout=_OPERATION_S)[topic.topic])
            except KafkaException as problem:
                # An attempt that was not answered may have been carried out.
                if attempts == 1 or error_of(problem).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

        self._patiently(f"create the topic {topic.topic}", create)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            shown = self.describe(topic.topic)
            if len(shown) == topic.num_partitions and all(each.leader >= 0 for each in shown):
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"Kafka at {self._bootstrap} created the topic {topic.topic}, but its partitions got no leaders.")
            time.sleep(_PAUSE_S)


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    return host.strip("[]"), int(port)


def _result(future: Future[Any]) -> Any:
    return future.result(2 * _REQUEST_S)  # librdkafka gives up earlier; this is the net below it


def _words(problem: KafkaException | TimeoutError) -> str:
    if isinstance(problem, TimeoutError):
        return "no answer came"
    error = error_of(problem)
    return (error.str() or error.name()).rstrip(".")
