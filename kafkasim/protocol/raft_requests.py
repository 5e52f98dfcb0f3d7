"""Connections to the voters of a controller quorum, and what each was asked: org.apache.kafka.raft.RequestManager, KafkaNetworkChannel.

The other voters have them, and every broker, which reads the metadata log as an observer. One request at a time goes to each voter. One
that fails is not sent again: after controller.quorum.retry.backoff.ms its sender asks what it then wants to know. When its part in the
quorum changes, answers to what it asked before count no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.controller_channel import VoterChannel
from kafkasim.protocol.node import Output, Random, controller_name
from kafkasim.protocol.scheduled_tasks import Alarm


class RequestManager:
    """Requests to `voters`, each over a connection of its own that both ends call `channel`."""

    def __init__(
        self, channel: str, voters: Sequence[int], config: BrokerConfig, outbox: list[Output], alarm: Alarm, random: Random
    ) -> None:
        self._retry_backoff_ms = config.controller_quorum_retry_backoff_ms
        self._random = random
        self._correlation_id = 0
        timeout_ms = config.controller_quorum_request_timeout_ms
        self._channels = {voter: VoterChannel(f"{controller_name(voter)}#{channel}", timeout_ms, outbox, alarm, random) for voter in voters}
        self.channels = {channel.peer: channel for channel in self._channels.values()}
        self._voter_of = {channel.peer: voter for voter, channel in self._channels.items()}
        self._in_flight: dict[int, int] = {}  # voter -> correlation id of the request that it has not answered
        self._backoff_until = dict.fromkeys(voters, -inf)

    def request(self, voters: Sequence[int], make: Callable[[int], object], now: float) -> None:
        """Send to each that is ready what `make` makes of a correlation id."""
        for voter in voters:
            channel = self._channels[voter]
            if not channel.busy and self._backoff_until[voter] <= now:
                self._correlation_id += 1
                self._in_flight[voter] = self._correlation_id
                channel.send(make(self._correlation_id), now)

    def best_of(self, leader_id: int, now: float) -> Sequence[int]:
        """Whom to ask for the log: nobody while any request is under way; the leader; while that backs off, anybody who does not."""
        if any(channel.busy for channel in self._channels.values()):
            return ()
        ready = [voter for voter, until in self._backoff_until.items() if until <= now]
        if leader_id in ready:
            return (leader_id,)
        return ready and (ready[int(self._random() * len(ready))],)

    def answered(self, correlation_id: int, source: str) -> int | None:
        """The voter whose answer this is, or None: the request was given up, or the state has changed since."""
        voter = self._voter_of.get(source)
        if voter is None or not self._channels[voter].busy or self._in_flight[voter] != correlation_id:
            return None
        self._channels[voter].answered()
        return voter

    def back_off(self, voter: int, now: float) -> None:
        """Leave this voter alone for a while."""
        self._backoff_until[voter] = now + self._retry_backoff_ms

    def reset(self, now: float) -> None:
        """The state has changed: nothing that was asked is waited for, and nobody backs off (resetConnections)."""
        for voter, channel in self._channels.items():
            channel.answered()
            self._backoff_until[voter] = now

    # ------------------------------------------------------------------------------------------------ time and connections

    def wake(self, now: float) -> None:
        """Time has come: a request that is out of time, or whose connection broke, has failed."""
        for voter, channel in self._channels.items():
            if channel.wake(now):
                self.back_off(voter, now)

    def next_deadline(self, wanted: Sequence[int]) -> float:
        """When a request fails or a connection is tried again, or one of those that a request is `wanted` to is ready."""
        deadline = min((channel.next_deadline() for channel in self._channels.values()), default=inf)
        return min([deadline, *(self._backoff_until[voter] for voter in wanted if not self._channels[voter].busy)])

    @property
    def busy(self) -> bool:
        """Some voter has not answered."""
        return any(channel.busy for channel in self._channels.values())

    def close(self) -> None:
        """Nothing more is asked."""
        for channel in self._channels.values():
            channel.close()
