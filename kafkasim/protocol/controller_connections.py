"""Whom a broker speaks to about the cluster: with one controller always the same, with a quorum whoever is active.

In Kafka: BrokerServer, with a NodeToControllerChannelManager for heartbeats and one for AlterPartition, and KafkaRaftManager, which reads
the metadata log as an observer (KIP-595). The observer is also who finds out which controller is active: a fetch goes to the leader as the
broker knows it, or to any voter where it knows none or cannot reach it; every answer names leader and epoch. A lower epoch than
the broker has seen is not believed: it is a leader's that was deposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.controller_channel import ActiveControllerChannel, ControllerChannel, RaftChannel
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import MetadataFetchRequest, MetadataFetchResponse
from kafkasim.protocol.node import Output, Random, controller_name
from kafkasim.protocol.raft_messages import NO_NODE
from kafkasim.protocol.raft_requests import RequestManager
from kafkasim.protocol.scheduled_tasks import Alarm

# Simplified: controller.socket.timeout.ms is a constant, at its default.
CONTROLLER_SOCKET_TIMEOUT_MS = 30_000.0


class ControllerReader:
    """Reads the metadata log of the one controller there is: one fetch at a time, kept until it is answered."""

    def __init__(self, broker_id: int, controller: str, config: BrokerConfig, outbox: list[Output], alarm: Alarm, random: Random) -> None:
        self._broker_id = broker_id
        self._correlation_id = 0
        self._channel = RaftChannel(f"{controller}#metadata", config.controller_quorum_request_timeout_ms, outbox, alarm, random)
        self.channels: Mapping[str, ControllerChannel] = {self._channel.peer: self._channel}

    def fetch(self, offset: int, now: float) -> None:
        """The broker has read up to `offset`: ask for what follows."""
        self._correlation_id += 1
        self._channel.send(MetadataFetchRequest(self._correlation_id, self._broker_id, offset), now)

    def takes(self, response: MetadataFetchResponse, _source: str, _now: float) -> bool:
        """Whether this answers the fetch that is under way; then the broker reads it, and fetches again."""
        if response.correlation_id != self._correlation_id:
            return False
        self._channel.answered()
        return True

    def wake(self, now: float) -> None:
        """Time has come."""
        self._channel.wake(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        return self._channel.next_deadline()

    def close(self) -> None:
        """The broker is stopping."""
        self._channel.close()


class QuorumObserver:
    """Reads the metadata log of a quorum, from whoever leads it, and knows who does: KafkaRaftClient.pollFollowerAsObserver and its like.

    Simplified: after an answer that is no help a voter is left alone for controller.quorum.retry.backoff.ms; Kafka asks again at once.
    """

    def __init__(
        self, broker_id: int, voters: Sequence[int], config: BrokerConfig, outbox: list[Output], alarm: Alarm, random: Random
    ) -> None:
        self._broker_id = broker_id
        self._voters = tuple(voters)
        self._alarm = alarm
        self._requests = RequestManager("metadata", voters, config, outbox, alarm, random)
        self._fetch_offset: int | None = None  # what is wanted
        self.channels: Mapping[str, ControllerChannel] = self._requests.channels
        self.leader_id = NO_NODE
        self.epoch = 0

    def active_controller(self) -> str | None:
        """The node name of the controller that leads, as far as the broker knows."""
        return None if self.leader_id == NO_NODE else controller_name(self.leader_id)

    def fetch(self, offset: int, now: float) -> None:
        """The broker has read up to `offset`: ask for what follows, whomever it may be."""
        self._fetch_offset = offset
        self._ask(now)

    def takes(self, response: MetadataFetchResponse, source: str, now: float) -> bool:
        """Whether these are the records that were wanted; else the answer says at best whom to ask (maybeHandleCommonResponse)."""
        voter = self._requests.answered(response.correlation_id, source)
        if voter is None:
            return False
        says_who = self.leader_id == NO_NODE and response.leader_id != NO_NODE
        if response.leader_epoch > self.epoch or (response.leader_epoch == self.epoch and says_who):
            self.epoch, self.leader_id = response.leader_epoch, response.leader_id
            self._requests.reset(now)
        if response.error is Error.NONE and response.leader_epoch == self.epoch:
            self._fetch_offset = None
            return True
        if voter != self.leader_id or response.error is not Error.FENCED_LEADER_EPOCH:
            self._requests.back_off(voter, now)
        self._ask(now)
        return False

    def wake(self, now: float) -> None:
        """Time has come: a fetch has failed, or a voter may be asked again."""
        self._requests.wake(now)
        self._ask(now)

    def next_deadline(self) -> float:
        """When `wake` has something to do."""
        wanted = () if self._fetch_offset is None or self._requests.busy else self._voters
        return self._requests.next_deadline(wanted)

    def close(self) -> None:
        """The broker is stopping."""
        self._fetch_offset = None
        self._requests.close()

    def _ask(self, now: float) -> None:
        offset = self._fetch_offset
        if offset is not None:
            request = (self._broker_id, offset, self.epoch)
            self._requests.request(self._requests.best_of(self.leader_id, now), lambda number: MetadataFetchRequest(number, *request), now)
        self._alarm.set(self.next_deadline())


class ControllerConnections(NamedTuple):
    """What a broker has of connections to controllers; `by_peer` tells whose an event is."""

    heartbeat: ControllerChannel
    alter: ControllerChannel
    metadata: ControllerReader | QuorumObserver
    by_peer: Mapping[str, ControllerChannel]


def connections_to(
    controllers: Sequence[int], broker_id: int, config: BrokerConfig, outbox: list[Output], alarm: Alarm, random: Random
) -> ControllerConnections:
    """The connections of one broker to the one controller or the quorum of them, by their ids."""
    session_half_ms = config.broker_session_timeout_ms / 2  # so that a lost heartbeat is not the last of a session (KAFKA-14392)
    rest = (outbox, alarm, random)
    names = [controller_name(controller) for controller in controllers]
    heartbeat: ControllerChannel
    alter: ControllerChannel
    metadata: ControllerReader | QuorumObserver
    if len(names) == 1:
        heartbeat = ControllerChannel(f"{names[0]}#heartbeat", session_half_ms, session_half_ms, *rest)
        alter = ControllerChannel(f"{names[0]}#alter", CONTROLLER_SOCKET_TIMEOUT_MS, inf, *rest)
        metadata = ControllerReader(broker_id, names[0], config, *rest)
    else:
        metadata = QuorumObserver(broker_id, controllers, config, *rest)
        heartbeat = ActiveControllerChannel("heartbeat", metadata.active_controller, session_half_ms, session_half_ms, *rest)
        alter = ActiveControllerChannel("alter", metadata.active_controller, CONTROLLER_SOCKET_TIMEOUT_MS, inf, *rest)
    by_peer: dict[str, ControllerChannel] = {f"{name}#heartbeat": heartbeat for name in names}
    by_peer |= {f"{name}#alter": alter for name in names}
    return ControllerConnections(heartbeat, alter, metadata, {**by_peer, **metadata.channels})
