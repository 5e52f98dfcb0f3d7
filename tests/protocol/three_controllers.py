"""Three voters of a metadata log on the pump of pump.py, without brokers: elections and the log alone."""

from __future__ import annotations

from random import Random
from typing import Any

from pump import Pump

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.messages import BrokerRegistration, MetadataRecord
from kafkasim.protocol.metadata_log import ControllerDisk
from kafkasim.protocol.node import Output
from kafkasim.protocol.quorum_state import Role
from kafkasim.protocol.raft import RaftNode

VOTERS = (100, 101, 102)


def record(number: int) -> MetadataRecord:
    return BrokerRegistration(number, number, 0, fenced=True, in_controlled_shutdown=False)


class Voter:
    """A RaftNode as a machine of the pump."""

    def __init__(self, voter: int, voters: tuple[int, ...], disk: ControllerDisk, random: Random, now: float, traced: list[object]) -> None:
        self.outbox: list[Output] = []
        self.raft = RaftNode(voter, voters, BrokerConfig(), disk, self.outbox, random.random, now, traced.append)

    def start(self, now: float) -> list[Output]:
        return self.wake(now)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        self.raft.receive(event, source, now)
        return self.wake(now)

    def next_deadline(self) -> float:
        return self.raft.next_deadline()

    def wake(self, now: float) -> list[Output]:
        self.raft.poll(now)
        outputs = self.outbox.copy()
        self.outbox.clear()
        return outputs


class Quorum(Pump):
    def __init__(self, seed: int = 1, voters: tuple[int, ...] = VOTERS) -> None:
        super().__init__()
        self.voters = voters
        self.random = Random(seed)
        self.traced: list[Any] = []
        self.disks = {voter: ControllerDisk() for voter in voters}
        for voter in voters:
            self.up(voter)

    def up(self, voter: int) -> None:
        name = f"controller-{voter}"
        self.start(name, Voter(voter, self.voters, self.disks[voter], self.random, self.now, self.traced))

    def down(self, voter: int) -> None:
        self.crash(f"controller-{voter}")

    def apart(self, voter: int) -> None:
        """Cut one voter off from the others."""
        self.cut(f"controller-{voter}", *(f"controller-{other}" for other in self.voters if other != voter))

    def raft(self, voter: int) -> RaftNode:
        node = self.nodes[f"controller-{voter}"]
        assert isinstance(node, Voter)
        return node.raft

    @property
    def alive(self) -> list[int]:
        return [voter for voter in self.voters if f"controller-{voter}" in self.nodes]

    @property
    def leaders(self) -> list[int]:
        return [voter for voter in self.alive if self.raft(voter).quorum.is_leader]

    def leader(self) -> int:
        """Wait until exactly one voter leads."""
        for _ in range(200):
            if len(self.leaders) == 1:
                return self.leaders[0]
            self.advance(100)
        raise AssertionError("nobody was elected")

    def others(self, voter: int) -> list[int]:
        return [other for other in self.voters if other != voter]

    def append(self, voter: int, *numbers: int) -> None:
        self.raft(voter).append([record(number) for number in numbers])
        self._take(f"controller-{voter}", self.nodes[f"controller-{voter}"].wake(self.now))
        self.pump()

    def numbers(self, voter: int) -> list[int]:
        """The records of a voter's log, its leaders' first records left out."""
        return [entry.broker_id for _, entry in self.disks[voter].log.entries if isinstance(entry, BrokerRegistration)]

    def roles(self, voter: int) -> list[str]:
        return [event.role for event in self.traced if event.controller_id == voter]

    def role(self, voter: int) -> Role:
        return self.raft(voter).quorum.role
