"""Three brokers with a replica each of one partition, without network or controller: the test plays both."""

from __future__ import annotations

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.log import Log
from kafkasim.protocol.messages import BrokerRegistration, FetchedPartition, FetchPartition, PartitionRegistration
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.records import RecordBatch, TopicPartition

ORDERS = TopicPartition("orders", 0)
CONSUMER = -1
LAG = 30_000.0


def batch_of(first: int = 0, count: int = 10, producer_id: int = -1, producer_epoch: int = 0) -> RecordBatch:
    sequence = first if producer_id >= 0 else -1
    return RecordBatch("shop", range(first, first + count), 100, 0.0, producer_id, producer_epoch, sequence)


def registration(leader: int, leader_epoch: int, isr: tuple[int, ...], partition_epoch: int = 0) -> PartitionRegistration:
    return PartitionRegistration(ORDERS, (1, 2, 3), isr, leader, leader_epoch, partition_epoch)


class Three:
    """Brokers 1, 2, 3 with a replica each; broker 1 leads in epoch 0. A test plays the network."""

    def __init__(self, min_isr: int = 1, isr: tuple[int, ...] = (1, 2, 3), replicas: tuple[int, ...] = (1, 2, 3)) -> None:
        self.config = TopicConfig(min_insync_replicas=min_isr)
        self.events: list[object] = []
        self.replicas = replicas
        self.brokers = {b: BrokerRegistration(b, 100 + b, 1, False, False) for b in replicas}
        self.logs = {b: Log(ORDERS, self.config) for b in replicas}
        self.at = {b: self.start(b) for b in replicas}
        self.elect(1, leader_epoch=0, isr=isr)

    def start(self, broker: int) -> Partition:
        return Partition(ORDERS, broker, self.logs[broker], self.config, BrokerConfig(), self.events.append, self.brokers)

    def elect(self, leader: int, leader_epoch: int, isr: tuple[int, ...], told: tuple[int, ...] = (), now: float = 0.0) -> None:
        """The controller's word, heard by the brokers `told` (all by default)."""
        news = PartitionRegistration(ORDERS, self.replicas, isr, leader, leader_epoch, leader_epoch)
        for broker in told or self.replicas:
            if broker == leader:
                self.at[broker].make_leader(news, now)
            else:
                self.at[broker].make_follower(news, now)

    def ask(self, follower: int, leader: int, now: float = 0.0) -> FetchedPartition:
        """A follower's fetch arrives at the leader."""
        log = self.logs[follower]
        fetch = FetchPartition(ORDERS, log.log_end_offset, self.at[follower].leader_epoch, log.latest_epoch, 1_000_000)
        fetched = self.at[leader].read_for_fetch(fetch, follower, False)
        if fetched.error is Error.NONE and fetched.diverging_end_offset < 0:
            self.at[leader].update_follower_fetch_state(follower, 100 + follower, fetch.fetch_offset, now)
        return fetched

    def fetch(self, follower: int, leader: int, now: float = 0.0) -> FetchedPartition:
        """The same, and the answer arrives at the follower."""
        fetched = self.ask(follower, leader, now)
        if fetched.diverging_end_offset >= 0:
            self.at[follower].truncate_for_divergence(fetched)
        elif fetched.error is Error.NONE:
            self.at[follower].append_records_to_follower(fetched, now)
        return fetched

    def replicate(self, leader: int, *followers: int, now: float = 0.0) -> None:
        """Twice round: the second fetch tells the leader what the first one brought, a third tells the high watermark."""
        for _ in range(3):
            for follower in followers:
                self.fetch(follower, leader, now)

    def numbers(self, broker: int) -> list[int]:
        return [number for log_batch in self.logs[broker].batches for number in log_batch.batch.numbers]

    def told(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]


def consume(partition: Partition, offset: int, epoch: int = -1) -> FetchedPartition:
    return partition.read_for_fetch(FetchPartition(ORDERS, offset, epoch, -1, 1_000_000), CONSUMER, False)
