"""Everything at once, in an order drawn from a seed: nothing committed is ever lost (StrongIsr of the formal models)."""

from __future__ import annotations

from random import Random

import pytest
from three_brokers import LAG, Three, batch_of, registration

from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import PartitionRegistration


class Storm(Three):
    """Appends, fetches, elections from the ISR, late news, restarts and lost answers, in an order drawn from a seed."""

    def __init__(self, seed: int, min_isr: int) -> None:
        super().__init__(min_isr)
        self.random = Random(seed)
        self.metadata_log = [registration(1, 0, (1, 2, 3))]
        self.read = dict.fromkeys(self.replicas, 1)
        self.written = 0
        self.now = 0.0
        self.committed: list[object] = []  # the batches below the highest high watermark ever, in order

    @property
    def truth(self) -> PartitionRegistration:
        return self.metadata_log[-1]

    def tell(self, broker: int) -> None:
        """The broker reads the next record of the metadata log, if there is one."""
        for news in self.metadata_log[self.read[broker] :][:1]:
            self.read[broker] += 1
            if news.leader == broker:
                self.at[broker].make_leader(news, self.now)
            else:
                self.at[broker].make_follower(news, self.now)

    def append(self, broker: int) -> None:
        self.at[broker].append_records_to_leader(batch_of(self.written), acks=self.random.choice((-1, 1)), now=self.now)
        self.written += 10

    def follow(self, broker: int) -> None:
        leader = self.at[broker].leader
        if leader not in (broker, -1):
            self.random.choice((self.fetch, self.fetch, self.ask))(broker, leader, self.now)

    def elect_one(self, broker: int) -> None:
        if broker in self.truth.isr:
            isr = tuple(b for b in self.truth.isr if b == broker or self.random.random() < 0.7)
            self.metadata_log.append(registration(broker, self.truth.leader_epoch + 1, isr, self.truth.partition_epoch + 1))

    def restart(self, broker: int) -> None:
        self.logs[broker].high_watermark_checkpoint = self.random.randint(0, self.at[broker].high_watermark)
        self.at[broker] = self.start(broker)
        self.read[broker] = len(self.metadata_log) - 1  # it knows nothing, and begins with the latest image

    def alter_isr(self, broker: int) -> None:
        partition = self.at[broker]
        partition.maybe_shrink_isr(self.now)
        asked = partition.take_alter_partition()
        if asked is None:
            return
        truth = self.truth
        error = Error.NONE
        if asked.leader_epoch != truth.leader_epoch:
            error = Error.FENCED_LEADER_EPOCH
        elif asked.partition_epoch != truth.partition_epoch:
            error = Error.INVALID_UPDATE_VERSION
        else:
            truth = registration(truth.leader, truth.leader_epoch, asked.isr, truth.partition_epoch + 1)
            self.metadata_log.append(truth)
        if self.random.random() < 0.3:
            error = Error.NETWORK_EXCEPTION
        if error is Error.NONE:  # what came before is known before the answer; its own record may be or not
            while self.read[broker] < len(self.metadata_log) - self.random.randint(0, 1):
                self.tell(broker)
        partition.alter_partition_answered(error, truth.leader, truth.leader_epoch, truth.isr, truth.partition_epoch, self.now)
        while error is Error.NONE and self.read[broker] < len(self.metadata_log):
            self.tell(broker)

    def step(self) -> None:
        self.now += LAG if self.random.random() < 0.05 else 1.0
        acts = (self.append, self.follow, self.tell, self.alter_isr, self.elect_one, self.restart)
        (act,) = self.random.choices(acts, weights=(20, 60, 15, 20, 2, 2))
        act(self.random.choice(self.replicas))
        self.check()

    def check(self) -> None:
        """Whatever any broker holds for committed is the same everywhere and for ever, and every member of the ISR has it."""
        for broker, partition in self.at.items():
            below = [b.batch for b in self.logs[broker].batches if b.next_offset <= partition.high_watermark]
            shorter = min(len(below), len(self.committed))
            assert below[:shorter] == self.committed[:shorter]
            if len(below) > len(self.committed):
                self.committed = list(below)
        for broker in self.truth.isr:
            held = [b.batch for b in self.logs[broker].batches[: len(self.committed)]]
            assert held == self.committed


@pytest.mark.parametrize("seed", range(60))
def test_nothing_committed_is_ever_lost_while_leaders_come_from_the_isr_and_disks_keep_what_they_have(seed: int) -> None:
    storm = Storm(seed, min_isr=1 + seed % 2)
    for _ in range(400):
        storm.step()
    assert storm.committed, "a storm in which nothing was committed tests nothing"
