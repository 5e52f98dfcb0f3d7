"""What a power failure takes from a disk, and what it leaves."""

from __future__ import annotations

from kafkasim.protocol.broker import BrokerDisk
from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import RecordBatch, TopicPartition
from kafkasim.simulator.disk import lose_power

ORDERS = TopicPartition("orders", 0)


def written_at(*instants: float) -> BrokerDisk:
    log = Log(ORDERS, TopicConfig())
    for number, instant in enumerate(instants):
        log.append_as_leader(RecordBatch("shop", range(number, number + 1), 100, instant), 0, instant)
    return BrokerDisk({ORDERS: log}, clean_shutdown_broker_epoch=7)


def test_the_kernel_has_written_back_what_is_30_s_old() -> None:
    disk = written_at(0.0, 1000.0, 20_000.0, 31_000.0)
    lose_power(disk, now=31_500.0)
    assert disk.logs[ORDERS].log_end_offset == 2


def test_what_kafka_flushed_is_kept_however_young_it_is() -> None:
    disk = written_at(0.0, 1.0, 2.0)
    disk.logs[ORDERS].flush(3.0)
    lose_power(disk, now=4.0)
    assert disk.logs[ORDERS].log_end_offset == 3


def test_young_and_unflushed_is_gone() -> None:
    disk = written_at(0.0, 1.0, 2.0)
    lose_power(disk, now=100.0)
    assert disk.logs[ORDERS].log_end_offset == 0


def test_a_power_failure_leaves_no_mark_of_a_clean_shutdown() -> None:
    disk = written_at(0.0)
    lose_power(disk, now=1.0)
    assert disk.clean_shutdown_broker_epoch == -1
