"""A quorum in which everything fails, in an order drawn from a seed: what is committed is never lost, and no epoch has two leaders.

After Kafka's RaftEventSimulationTest.
"""

from __future__ import annotations

import pytest
from three_controllers import VOTERS, Quorum

from kafkasim.protocol.messages import MetadataRecord
from kafkasim.protocol.raft_messages import NO_NODE


class Storm(Quorum):
    def __init__(self, seed: int, voters: tuple[int, ...]) -> None:
        super().__init__(seed, voters)
        self.written = 0
        self.committed: list[tuple[int, MetadataRecord]] = []
        self.leader_of: dict[int, int] = {}
        self.vote_of: dict[tuple[int, int], int] = {}  # (epoch, voter) -> for whom

    def one_thing(self) -> None:
        """Something happens to somebody."""
        voter, other = self.random.sample(self.voters, 2)
        match self.random.randrange(12):
            case 0 if voter in self.alive:
                self.down(voter)
            case 1 | 2 if voter not in self.alive:
                self.up(voter)
            case 3:
                self.cut(f"controller-{voter}", f"controller-{other}")
            case 4 | 5:
                self.heal()
            case 6 | 7 | 8:
                for leader in self.leaders:  # also one that is cut off and does not know that it was deposed
                    self.written += 1
                    self.append(leader, self.written)
            case _:
                self.advance(self.random.choice((1, 20, 300, 1_500, 4_000)))

    def look(self) -> None:
        """The invariants."""
        for voter in self.leaders:
            assert self.leader_of.setdefault(self.raft(voter).quorum.epoch, voter) == voter, "an epoch has one leader"
        for voter, disk in self.disks.items():
            epoch, _, voted_for = disk.election
            if voted_for != NO_NODE:
                assert self.vote_of.setdefault((epoch, voter), voted_for) == voted_for, "a voter votes once an epoch"
        for voter in self.alive:
            raft = self.raft(voter)
            self.committed.extend(raft.log.entries[len(self.committed) : max(0, raft.high_watermark)])
            end = min(len(self.committed), max(0, raft.high_watermark))
            assert raft.log.entries[:end] == self.committed[:end], "what is committed never changes"
        for voter in self.leaders:
            if self.raft(voter).quorum.epoch == max(self.leader_of):
                entries = self.raft(voter).log.entries
                assert entries[: len(self.committed)] == self.committed, "the latest leader has all that is committed"


@pytest.mark.parametrize("voters", [VOTERS, (100, 101, 102, 103, 104)], ids=len)
@pytest.mark.parametrize("seed", range(6))
def test_in_a_storm_what_is_committed_is_never_lost_and_an_epoch_has_one_leader(seed: int, voters: tuple[int, ...]) -> None:
    storm = Storm(seed, voters)
    for _ in range(500):
        storm.one_thing()
        storm.look()
    storm.heal()
    for voter in voters:
        if voter not in storm.alive:
            storm.up(voter)
    storm.advance(20_000)
    storm.look()
    assert len(storm.committed) > 20
    assert len(storm.leader_of) > 5
    assert {len(disk.log.entries) for disk in storm.disks.values()} == {len(storm.committed)}
