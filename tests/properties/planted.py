"""Deliberate bugs: each takes one rule of Kafka away, in one line, while its `with` lasts. The properties must find every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from kafkasim import workload
from kafkasim.protocol import election, local_replica, partition, replication_control
from kafkasim.protocol.errors import NO_ERROR
from kafkasim.protocol.isr import PendingExpandIsr, PendingShrinkIsr
from kafkasim.protocol.local_replica import LocalReplica
from kafkasim.protocol.log import Log
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.producer_state import ProducerStateManager
from kafkasim.protocol.replica_manager import ReplicaManager
from kafkasim.protocol.replication_control import ReplicationControl
from kafkasim.testing.options import CLUSTER_BASE

Bug = Callable[[], AbstractContextManager[Any]]
_isr_changed = Partition._isr_changed
_make_follower = Partition.make_follower
_increment = Partition._maybe_increment_leader_high_watermark
_change_partition = election.change_partition
_target_elr = election._target_elr
_truncation_offset = local_replica.truncation_offset
_append_records = ReplicaManager.append_records
_broker_shut_down = ReplicationControl.broker_shut_down
_read_for_fetch = LocalReplica.read_for_fetch


def high_watermark_is_the_leaders_end() -> AbstractContextManager[Any]:
    """The leader waits for nobody before it moves its high watermark."""

    def wrong(self: Any) -> None:
        _isr_changed(self)
        self._awaited = self._not_awaited = ()

    return patch.object(Partition, "_isr_changed", wrong)


def high_watermark_ignores_who_is_about_to_join() -> AbstractContextManager[Any]:
    """AsyncIsr: with an expansion under way, only the committed ISR counts."""
    return patch.object(PendingExpandIsr, "maximal_isr", PendingExpandIsr.isr)


def shrink_is_not_waited_for() -> AbstractContextManager[Any]:
    """The leader lives with the smaller ISR before the controller has agreed."""
    return patch.object(PendingShrinkIsr, "maximal_isr", property(lambda self: self.proposed.isr))


def high_watermark_moves_below_min_isr() -> AbstractContextManager[Any]:
    """KAFKA-15583 undone: the high watermark moves while the ISR is below min.insync.replicas."""

    def wrong(self: Any, now: float) -> bool:
        held, self._high_watermark_held = self._high_watermark_held, False
        moved = _increment(self, now)
        self._high_watermark_held = held
        return moved

    return patch.object(Partition, "_maybe_increment_leader_high_watermark", wrong)


def leader_epoch_is_not_bumped() -> AbstractContextManager[Any]:
    """An election leaves the leader epoch as it was."""

    def wrong(before: Any, *args: Any, **kwargs: Any) -> Any:
        after = _change_partition(before, *args, **kwargs)
        return after and after._replace(leader_epoch=before.leader_epoch)

    return patch.object(replication_control, "change_partition", wrong)


def election_is_unclean_unasked() -> AbstractContextManager[Any]:
    """The controller elects whoever is alive, whatever unclean.leader.election.enable says."""
    return patch.object(ReplicationControl, "allows_unclean", lambda *_: True)


def elr_survives_an_unclean_shutdown() -> AbstractContextManager[Any]:
    """KIP-966 half done: whoever shut down uncleanly stays eligible."""
    return patch.object(election, "_target_elr", lambda before, isr, _unclean: _target_elr(before, isr, ()))


def every_shutdown_counts_as_clean() -> AbstractContextManager[Any]:
    """The controller takes back nothing of what it trusted a killed process with."""
    return patch.object(ReplicationControl, "broker_shut_down", lambda self, broker, _clean: _broker_shut_down(self, broker, True))


@contextmanager
def fenced_brokers_may_join_the_isr() -> Iterator[None]:
    """KIP-841 undone: neither the leader nor the controller asks whether a follower is fenced."""
    with (
        patch.object(partition, "is_replica_isr_eligible", lambda *_: True),
        patch.object(ReplicationControl, "_is_eligible", lambda *_: True),
    ):
        yield


def isr_expands_at_once() -> AbstractContextManager[Any]:
    """A follower joins the ISR with its first fetch, whatever it lacks."""
    return patch.object(partition, "is_follower_in_sync", lambda *_: True)


def isr_expands_below_the_epochs_start() -> AbstractContextManager[Any]:
    """The high watermark alone decides who is in sync, though a new leader's lags."""
    return patch.object(partition, "is_follower_in_sync", lambda replica, high_watermark, _: replica.log_end_offset >= high_watermark)


def truncation_cuts_a_batch_too_many() -> AbstractContextManager[Any]:
    """A follower cuts off the last batch that both logs have, too."""
    return patch.object(local_replica, "truncation_offset", lambda log, *told: max(0, _truncation_offset(log, *told) - 1))


def divergence_is_not_looked_for() -> AbstractContextManager[Any]:
    """The leader does not compare epochs: a follower goes on behind what the leader never had."""
    return patch.object(local_replica, "diverging_epoch", lambda *_: False)


def followers_truncate_to_the_high_watermark() -> AbstractContextManager[Any]:
    """As before KIP-101."""

    def wrong(self: Any, registration: Any, now: float) -> bool:
        if registration.leader_epoch > self.leader_epoch:
            self.truncate_to(self.high_watermark)
        return _make_follower(self, registration, now)

    return patch.object(Partition, "make_follower", wrong)


def acks_all_is_answered_at_once() -> AbstractContextManager[Any]:
    """A leader treats acks=all as acks=1."""
    return patch.object(ReplicaManager, "append_records", lambda self, acks, *rest: _append_records(self, abs(acks), *rest))


@contextmanager
def duplicates_are_appended() -> Iterator[None]:
    """A leader forgets the sequence numbers it has seen."""
    with (
        patch.object(ProducerStateManager, "find_duplicate_batch", lambda *_: None),
        patch.object(ProducerStateManager, "check_append", lambda *_: NO_ERROR),
    ):
        yield


def followers_learn_no_sequences() -> AbstractContextManager[Any]:
    """Only who appended as a leader knows a producer: a new leader takes a retry for a new batch."""

    def wrong(self: Any, log_batch: Any, now: float) -> None:
        producers, self.producers = self.producers, ProducerStateManager()
        self._append(log_batch, now)
        self.producers = producers

    return patch.object(Log, "append_as_follower", wrong)


def consumers_read_to_the_logs_end() -> AbstractContextManager[Any]:
    """A consumer is shown what no follower has yet."""

    def wrong(self: Any, fetch: Any, replica_id: int, read_committed: bool) -> Any:
        high_watermark = self.high_watermark
        self.high_watermark = self.log.log_end_offset if replica_id < 0 else high_watermark
        try:
            return _read_for_fetch(self, fetch, replica_id, read_committed)
        finally:
            self.high_watermark = high_watermark

    return patch.object(LocalReplica, "read_for_fetch", wrong)


def commits_run_ahead() -> AbstractContextManager[Any]:
    """The application commits before it handles what it polled, and calls that at least once."""
    return patch.object(workload, "after_processing", workload.before_processing)


# Some bugs need settings and failures that seldom meet: with these given, as a user gives his own, they are found as soon as the others.
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "high watermark moves below min isr": {
        "topics": {"orders": {"config": {"min.insync.replicas": 2}}},
        "targeted": ["ISR shrinks, then the leader fails", "follower falls behind, then the leader fails", "the in-sync die together"],
    },
    "election is unclean unasked": {"topics": {"orders": {}}, "targeted": ["all but one die", "ISR shrinks, then the leader fails"]},
    "isr expands below the epochs start": {
        "topics": {"orders": {"config": {"min.insync.replicas": 2}}},
        "cluster": {"startup.ms": 300, "config": CLUSTER_BASE},
        "targeted": ["the in-sync die together"],
    },
    "divergence is not looked for": {"targeted": ["zombie leader", "leaders fail in a row", "all but one die"]},
    "commits run ahead": {
        "consumers": [{"group": "billing", "topics": ["orders"], "processing.ms": 5, "config": {"auto.offset.reset": "earliest"}}],
        "targeted": ["a client dies at work"],
    },
}
BUGS: Mapping[str, Bug] = {
    bug.__name__.replace("_", " "): bug
    for bug in (
        high_watermark_is_the_leaders_end,
        high_watermark_ignores_who_is_about_to_join,
        shrink_is_not_waited_for,
        high_watermark_moves_below_min_isr,
        leader_epoch_is_not_bumped,
        election_is_unclean_unasked,
        elr_survives_an_unclean_shutdown,
        every_shutdown_counts_as_clean,
        fenced_brokers_may_join_the_isr,
        isr_expands_at_once,
        isr_expands_below_the_epochs_start,
        truncation_cuts_a_batch_too_many,
        divergence_is_not_looked_for,
        followers_truncate_to_the_high_watermark,
        acks_all_is_answered_at_once,
        duplicates_are_appended,
        followers_learn_no_sequences,
        consumers_read_to_the_logs_end,
        commits_run_ahead,
    )
}
