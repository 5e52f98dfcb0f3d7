"""Each state machine finds what it is there for: small mistakes in Kafka's rules, planted one at a time, within the budget of every day."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import pytest
import test_controller_machine
import test_log_machine
import test_partition_machine
import test_producer_state_machine
from hypothesis import Phase
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from machine_budget import budget

from kafkasim.protocol import election, isr, local_replica, producer_state
from kafkasim.protocol import partition as partitions
from kafkasim.protocol.errors import NO_ERROR, Error
from kafkasim.protocol.heartbeats import BrokerHeartbeatManager
from kafkasim.protocol.leader_epoch import EpochEndOffset, EpochEntry, LeaderEpochCache
from kafkasim.protocol.log import Log
from kafkasim.protocol.producer_state import ProducerStateManager
from kafkasim.protocol.records import LogBatch, RecordBatch
from kafkasim.protocol.replica import Replica
from kafkasim.protocol.replication_control import ReplicationControl


class Planted(NamedTuple):
    """`bug` takes the place of what stands at `where.name`; it is given what stood there, and its arguments."""

    what: str
    where: Any
    name: str
    bug: Callable[..., Any]


def _flushed_stays(true: Any, log: Log, offset: int) -> Any:
    flushed, removed = log.recovery_point, true(log, offset)
    log.recovery_point = flushed
    return removed


def _assigned_beside(_true: Any, cache: LeaderEpochCache, epoch: int, start_offset: int) -> None:
    if epoch != cache.latest_epoch:
        cache.entries.append(EpochEntry(epoch, start_offset))
        cache.latest_epoch = epoch


def _a_new_epoch_begins_anywhere(true: Any, state: ProducerStateManager, batch: RecordBatch) -> Error:
    entry = state.entry(batch.producer_id)
    return NO_ERROR if entry is not None and batch.producer_epoch > entry.producer_epoch else true(state, batch)


def _the_first_sequence_decides(true: Any, state: ProducerStateManager, batch: RecordBatch) -> LogBatch | None:
    entry = state.entry(batch.producer_id)
    known = entry.batches if entry is not None and entry.producer_epoch == batch.producer_epoch else ()
    return next((other for other in known if other.batch.base_sequence == batch.base_sequence), None)


def _caught_up_only_at_the_end(true: Any, replica: Replica, fetch_offset: int, end: int, *rest: Any) -> None:
    before = replica.last_caught_up_time
    true(replica, fetch_offset, end, *rest)
    if fetch_offset < end:
        replica.last_caught_up_time = before


def _given_up(_true: Any, in_sync: isr.InSyncReplicas, pending: isr.PendingPartitionChange, _error: Error) -> None:
    in_sync.state = pending.last_committed


LOG = (
    Planted("an epoch outlives its records", LeaderEpochCache, "truncate_from_end", lambda *_: None),
    Planted("retention forgets no epochs", LeaderEpochCache, "truncate_from_start", lambda *_: None),
    Planted("a new epoch stands beside one in which nothing was written", LeaderEpochCache, "assign", _assigned_beside),
    Planted("an epoch above all known ones ends with the log", LeaderEpochCache, "end_offset_for",
            lambda true, cache, epoch, end: true(cache, epoch, end) if epoch < cache.latest_epoch else EpochEndOffset(epoch, end)),
    Planted("what was cut away counts as flushed", Log, "truncate_to", _flushed_stays),
    Planted("a read goes beyond its bound", Log, "read", lambda true, log, offset, below, size: true(log, offset, below + 1, size)),
)  # fmt: skip

PRODUCERS = (
    Planted("four batches are remembered", producer_state, "NUM_BATCHES_TO_RETAIN", lambda _: 4),
    Planted("sequence numbers do not wrap", producer_state, "_SEQUENCE_MASK", lambda _: 0xFFFFFFFF),
    Planted("a new epoch begins anywhere", ProducerStateManager, "check_append", _a_new_epoch_begins_anywhere),
    Planted("a duplicate may have another length", ProducerStateManager, "find_duplicate_batch", _the_first_sequence_decides),
    Planted("what was cut away is still a duplicate", ProducerStateManager, "truncate_and_reload", lambda *_: None),
)  # fmt: skip

PARTITION = (
    Planted("the high watermark does not wait for whom a leader lets in", isr.PendingExpandIsr, "maximal_isr",
            lambda _: property(lambda state: state.last_committed.isr)),
    Planted("the high watermark does not wait for whom a leader throws out", isr.PendingShrinkIsr, "maximal_isr",
            lambda _: property(lambda state: state.proposed.isr)),
    Planted("records are committed below min.insync.replicas", partitions.Partition, "_effective_min_isr", lambda *_: 0),
    Planted("a follower joins before it has what the leader began with", partitions, "is_follower_in_sync",
            lambda _true, replica, high_watermark, _start: replica.log_end_offset >= high_watermark),
    Planted("a former process joins", partitions, "is_replica_isr_eligible",
            lambda _true, replica, brokers: not brokers[replica.broker_id].fenced),
    Planted("under steady load nobody has caught up", Replica, "update_fetch_state", _caught_up_only_at_the_end),
    Planted("every refusal takes the proposal back", isr.InSyncReplicas, "refused", _given_up),
    Planted("logs that part are not told apart", local_replica, "diverging_epoch", lambda *_: False),
)  # fmt: skip

CONTROLLER = (
    Planted("who lost its tail stays eligible", election, "_target_elr", lambda true, partition, isr, _lost: true(partition, isr, ())),
    Planted("an unclean restart counts as clean", ReplicationControl, "broker_shut_down",
            lambda true, control, broker, _clean: true(control, broker, True)),
    Planted("a last known leader need not be alive (KAFKA-19522)", election, "_can_elect_last_known_leader",
            lambda true, candidates: true(candidates._replace(is_acceptable_leader=lambda _: True))),
    Planted("a former process is let in", ReplicationControl, "_is_eligible",
            lambda true, control, replica, _epoch: true(control, replica, -1)),
    Planted("a broker stops before all know its successors", BrokerHeartbeatManager, "_lowest_active_offset", lambda *_: inf),
    Planted("a session ends with the first look at it", BrokerHeartbeatManager, "_is_expired", lambda *_: True),
)  # fmt: skip


def plant(monkeypatch: pytest.MonkeyPatch, planted: Planted) -> None:
    true = planted.where.__dict__[planted.name]
    if callable(true):
        bug = planted.bug
        monkeypatch.setattr(planted.where, planted.name, lambda *args: bug(true, *args))
    else:
        monkeypatch.setattr(planted.where, planted.name, planted.bug(true))


def is_caught(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    with pytest.raises((AssertionError, LookupError)):
        run_state_machine_as_test(machine, settings=budget(examples, steps, phases=(Phase.generate,)))


@pytest.mark.parametrize("planted", LOG, ids=lambda planted: planted.what)
def test_a_mistake_in_the_log_is_caught(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, planted)
    is_caught(test_log_machine.LogMachine, *test_log_machine.BUDGET)


@pytest.mark.parametrize("planted", PRODUCERS, ids=lambda planted: planted.what)
def test_a_mistake_in_the_producer_state_is_caught(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, planted)
    is_caught(test_producer_state_machine.ProducerStateMachine, *test_producer_state_machine.BUDGET)


@pytest.mark.parametrize("planted", PARTITION, ids=lambda planted: planted.what)
def test_a_mistake_in_a_leaders_view_is_caught(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, planted)
    is_caught(test_partition_machine.PartitionMachine, *test_partition_machine.BUDGET)


@pytest.mark.parametrize("planted", CONTROLLER, ids=lambda planted: planted.what)
def test_a_mistake_in_the_controller_is_caught(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, planted)
    is_caught(test_controller_machine.ControllerMachine, *test_controller_machine.BUDGET)
