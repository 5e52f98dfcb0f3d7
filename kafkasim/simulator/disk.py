"""Disks: what a crash keeps and what a power failure takes.

kill -9 loses nothing that was written: the page cache is the kernel's. A power failure loses what neither Kafka (log.flush.*) nor
the kernel had brought to the platters. Linux writes a dirty page back when it is 30 s old, looking every 5 s
(vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs).

Simplified: writeback is exact at 30 s, by batch; memory pressure never flushes earlier.
Simplified: a torn batch is gone whole (as after log recovery).
"""

from __future__ import annotations

from kafkasim.protocol.broker import BrokerDisk

DIRTY_EXPIRE_MS = 30_000.0


def lose_power(disk: BrokerDisk, now: float) -> None:
    """Every log of this disk loses what was not flushed and is younger than the kernel's writeback age."""
    for log in disk.logs.values():
        log.lose_unflushed(log.written_back(before=now - DIRTY_EXPIRE_MS))
    disk.clean_shutdown_broker_epoch = -1
