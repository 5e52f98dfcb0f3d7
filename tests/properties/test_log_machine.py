"""The log against a plain list of records: whatever is appended, cut, deleted, flushed or lost, both say the same.

The model keeps every record that was ever appended and not cut away, also those that retention deleted, and computes each answer anew
from that list. It knows nothing of bisection, of a cache of epochs, or of what has to be updated when.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from machine_budget import budget

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.log import Log
from kafkasim.protocol.log_retention import delete_old_segments
from kafkasim.protocol.records import LogBatch, RecordBatch, TopicPartition

BUDGET = (250, 40)  # examples, and rules in each

ORDERS = TopicPartition("orders", 0)
NEVER = 2**63 - 1


class Record(NamedTuple):
    """One record. `batch` is the batch it travels in: records of one batch stay together."""

    offset: int
    epoch: int
    batch: RecordBatch


class PlainLog:
    """All records since the log last began anew, and four numbers. `led`: a leader began this epoch at the end, and wrote nothing yet.

    `rolled`: where the active segment begins. Each takes one batch, and what lies before the active one is flushed.
    """

    def __init__(self, flush_messages: int) -> None:
        self.flush_messages = flush_messages
        self.records: list[Record] = []
        self.end = self.start = self.flushed = self.rolled = 0
        self.led: int | None = None

    def append(self, batch: RecordBatch, epoch: int) -> None:
        self.rolled = max(self.rolled, self.end)
        self.records += [Record(self.end + number, epoch, batch) for number in range(batch.count)]
        self.end += batch.count
        self.led = None
        if self.end - self.flushed >= self.flush_messages:
            self.flushed = self.end

    def cut(self, offset: int) -> None:
        """Down to `offset`, or the start of the batch that lies across it."""
        while self.records and self.end > max(offset, self.start):
            torn = self.records[-1].batch
            self.records = [record for record in self.records if record.batch is not torn]
            self.end -= torn.count
        if offset < self.start:
            self.records, self.end, self.start = [], offset, offset
        self.flushed = min(self.flushed, self.end)
        self.rolled = min(self.rolled, self.end)
        self.opened()

    def opened(self) -> None:
        """An epoch in which nothing was written is forgotten."""
        self.led = None
        if self.end == self.start:
            self.records = []  # nothing is left, and so nothing is known of epochs

    def live(self) -> list[LogBatch]:
        """The batches that retention has left."""
        first: dict[int, Record] = {}
        for record in self.records:
            first.setdefault(id(record.batch), record)
        return [
            LogBatch(offset, offset + batch.count, epoch, batch, 0.0) for offset, epoch, batch in first.values() if offset >= self.start
        ]

    def epochs(self) -> list[tuple[int, int]]:
        """(epoch, first offset): the one in force at the start of the log begins there."""
        begun = {}
        for record in reversed(self.records):
            begun[record.epoch] = record.offset
        if self.led is not None:
            begun[self.led] = self.end
        in_force = max((epoch for epoch, offset in begun.items() if offset <= self.start), default=None)
        return sorted((epoch, max(offset, self.start)) for epoch, offset in begun.items() if offset > self.start or epoch == in_force)

    def end_of(self, epoch: int) -> tuple[int, int]:
        """Of all that is not above `epoch`: the newest epoch, and where what is above begins."""
        epochs = self.epochs()
        known = [other for other, _ in epochs if other <= epoch]
        later = [offset for other, offset in epochs if other > epoch]
        if epoch < 0 or not (later or (known and known[-1] == epoch)):
            return (-1, -1)
        return (known[-1] if known else epoch, min(later, default=self.end))


class LogMachine(RuleBasedStateMachine):
    """One replica's log, that is now a leader's and now a follower's. Epochs only rise, as the divergence check sees to it."""

    @initialize(flush_messages=st.sampled_from([1, 5, NEVER]))
    def a_new_log(self, flush_messages: int) -> None:
        self.log = Log(ORDERS, TopicConfig(flush_messages=flush_messages, segment_bytes=1))
        self.model = PlainLog(flush_messages)
        self.epoch = 0
        self.written = 0
        self.ever = 0
        self.created = 0.0

    def next_batch(self, count: int, waited: float) -> RecordBatch:
        self.created += waited
        self.written += count
        self.ever += 1
        return RecordBatch("shop", range(self.written - count, self.written), 10 * count, self.created)

    @rule(later=st.integers(0, 2))
    def begins_to_lead(self, later: int) -> None:
        self.epoch = max(self.epoch, self.log.latest_epoch) + later
        before = self.log.latest_epoch
        self.log.leader_epochs.assign(self.epoch, self.log.log_end_offset)
        if self.epoch != before:
            self.model.led = self.epoch

    @rule(count=st.integers(1, 4), waited=st.sampled_from([0.0, 1.0, -1.0]), later=st.integers(0, 1))
    def appends_as_leader(self, count: int, waited: float, later: int) -> None:
        self.epoch += later
        batch = self.next_batch(count, waited)
        appended = self.log.append_as_leader(batch, self.epoch, 0.0)
        assert (appended.base_offset, appended.next_offset) == (self.model.end, self.model.end + count)
        self.model.append(batch, self.epoch)

    @rule(counts=st.lists(st.integers(1, 4), min_size=1, max_size=3), later=st.integers(0, 2))
    def appends_as_follower(self, counts: list[int], later: int) -> None:
        self.epoch += later
        for count in counts:
            batch = self.next_batch(count, 1.0)
            end = self.log.log_end_offset
            self.log.append_as_follower(LogBatch(end, end + count, self.epoch, batch, 0.0), 0.0)
            self.model.append(batch, self.epoch)

    @rule(data=st.data())
    def is_cut(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(max(0, self.model.start - 3), self.model.end + 1), "offset")
        before = self.model.live()
        removed = self.log.truncate_to(offset)
        self.model.cut(offset)
        assert _places(removed) == _places(before[len(self.model.live()) :])

    @rule(offset=st.integers(0, 30))
    def is_thrown_away(self, offset: int) -> None:
        removed = self.log.truncate_fully_and_start_at(offset)
        assert _places(removed) == _places(self.model.live())
        self.model.records, self.model.led = [], None
        self.model.start = self.model.end = self.model.flushed = self.model.rolled = offset

    @precondition(lambda self: len(self.model.live()) > 1)
    @rule(data=st.data())
    def retention_deletes(self, data: st.DataObject) -> None:
        """Every segment holds one batch here. The last one stays: it is the active segment."""
        offset = data.draw(st.sampled_from([batch.next_offset for batch in self.model.live()[:-1]]), "offset")
        before = self.model.live()
        self.log.increment_log_start_offset(offset)
        removed = delete_old_segments(self.log, self.log.log_end_offset, now=0.0)
        self.model.start = offset
        self.model.flushed = max(self.model.flushed, offset)
        assert _places(removed) == _places(before[: len(before) - len(self.model.live())])

    @rule()
    def is_flushed(self) -> None:
        self.log.flush(1.0)
        self.model.flushed = self.model.end

    @rule(data=st.data())
    def power_fails(self, data: st.DataObject) -> None:
        written_back = data.draw(st.integers(0, self.model.end), "written back")
        self.log.lose_unflushed(written_back)
        self.model.cut(max(self.model.flushed, self.model.rolled, written_back))

    @rule()
    def is_opened(self) -> None:
        self.log.load()
        self.model.opened()

    @rule(data=st.data(), max_bytes=st.integers(1, 200))
    def is_read(self, data: st.DataObject, max_bytes: int) -> None:
        offset = data.draw(st.integers(self.model.start, self.model.end + 1), "offset")
        max_offset = data.draw(st.integers(self.model.start, self.model.end), "below")
        wanted = [batch for batch in self.model.live() if batch.next_offset > offset and batch.next_offset <= max_offset]
        if offset >= max_offset:
            wanted = []
        fits = [batch for number, batch in enumerate(wanted) if sum(b.batch.size for b in wanted[: number + 1]) <= max_bytes]
        assert _places(self.log.read(offset, max_offset, max_bytes)) == _places(fits or wanted[:1])

    @rule(epoch=st.integers(-1, 12))
    def is_asked_where_an_epoch_ended(self, epoch: int) -> None:
        assert self.log.end_offset_for_epoch(epoch) == self.model.end_of(epoch)

    @rule(timestamp=st.integers(-2, 12))
    def is_asked_for_a_time(self, timestamp: int) -> None:
        found = [batch.base_offset for batch in self.model.live() if batch.batch.created >= timestamp]
        assert self.log.offset_for_timestamp(timestamp) == (found[0] if found else -1)

    @invariant()
    def both_hold_the_same_batches(self) -> None:
        assert _places(self.log.batches) == _places(self.model.live())
        assert (self.log.log_start_offset, self.log.log_end_offset) == (self.model.start, self.model.end)
        assert self.log.appends == self.ever

    @invariant()
    def offsets_have_no_holes(self) -> None:
        expected = self.log.log_start_offset
        for batch in self.log.batches:
            assert batch.base_offset == expected
            expected = batch.next_offset
        assert expected == self.log.log_end_offset

    @invariant()
    def what_is_known_of_epochs_follows_from_the_records(self) -> None:
        cache = self.log.leader_epochs
        assert list(cache.entries) == self.model.epochs()
        assert cache.latest_epoch == max((epoch for epoch, _ in self.model.epochs()), default=-1)
        for batch in self.log.batches:
            assert cache.epoch_for_offset(batch.base_offset) == cache.epoch_for_offset(batch.next_offset - 1) == batch.leader_epoch

    @invariant()
    def what_is_flushed_is_known(self) -> None:
        assert self.log.recovery_point == self.model.flushed
        assert self.log.log_start_offset <= self.log.recovery_point <= self.log.log_end_offset


def _places(batches: object) -> list[tuple[int, int, int, int]]:
    return [(b.base_offset, b.next_offset, b.leader_epoch, id(b.batch)) for b in batches]  # type: ignore[attr-defined]


def test_a_log_says_what_a_plain_list_of_its_records_says() -> None:
    run_state_machine_as_test(LogMachine, settings=budget(*BUDGET))
