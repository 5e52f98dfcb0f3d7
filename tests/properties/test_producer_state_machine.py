"""What a replica knows of its producers, against the log read from its beginning: which batch is the next one, a duplicate, or a mistake.

The model keeps all batches of each producer and nothing else. Its verdict is Kafka's ProducerAppendInfo.checkSequence and
ProducerStateEntry.findDuplicateBatch, written down once more from the text.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from machine_budget import budget

from kafkasim.protocol.config import TopicConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.log import Log
from kafkasim.protocol.records import LogBatch, RecordBatch, TopicPartition

BUDGET = (250, 40)  # examples, and rules in each

LARGEST = 2147483647
EXPIRATION_MS = 100.0
PRODUCERS = st.integers(1, 3)
COUNTS = st.integers(1, 3)


def last_sequence(batch: RecordBatch) -> int:
    """Kafka's incrementSequence, spelled out."""
    over = batch.base_sequence + batch.count - 1 - LARGEST
    return batch.base_sequence + batch.count - 1 if over <= 0 else over - 1


class PlainProducers:
    """All batches of each producer that a replica has seen, the oldest first. A snapshot: where the log ended, and the newest of each."""

    def __init__(self) -> None:
        self.seen: dict[int, list[LogBatch]] = {}
        self.snapshots: list[tuple[int, list[LogBatch]]] = []

    def snapshot(self, end: int) -> None:
        if end > max((offset for offset, _ in self.snapshots), default=0):
            self.snapshots.append((end, [batches[-1] for batches in self.seen.values()]))

    def cut(self, start: int, left: list[LogBatch], end: int) -> None:
        """The log ends at `end` now, with `left` in it: read the last snapshot that is still true, and what was appended after it."""
        self.snapshots = [(offset, newest) for offset, newest in self.snapshots if start < offset <= end]
        if self.seen:
            offset, newest = self.snapshots[-1] if self.snapshots else (start, [])
            self.seen = {}
            for log_batch in [*newest, *(log_batch for log_batch in left if log_batch.base_offset >= offset)]:
                self.seen.setdefault(log_batch.batch.producer_id, []).append(log_batch)
            self.snapshot(end)

    def opened(self, end: int) -> None:
        """A new process knows the newest batch of each."""
        if not self.snapshots or self.snapshots[-1][0] != end:
            self.snapshots = []
            self.snapshot(end)
        self.seen = {producer_id: batches[-1:] for producer_id, batches in self.seen.items()}

    def in_epoch(self, producer_id: int) -> list[LogBatch]:
        """Those of the newest epoch since it last changed."""
        run: list[LogBatch] = []
        for log_batch in reversed(self.seen.get(producer_id, [])):
            if run and log_batch.batch.producer_epoch != run[0].batch.producer_epoch:
                break
            run.insert(0, log_batch)
        return run

    def verdict(self, batch: RecordBatch) -> Error | LogBatch:
        """The duplicate, or the error, or NONE: it is the next one."""
        run = self.in_epoch(batch.producer_id)
        if not run:
            return Error.NONE  # nothing is known of it: any sequence number will do
        epoch, last = run[-1].batch.producer_epoch, last_sequence(run[-1].batch)
        sequences = (batch.base_sequence, last_sequence(batch))
        for known in run[-5:]:
            if batch.producer_epoch == epoch and sequences == (known.batch.base_sequence, last_sequence(known.batch)):
                return known
        if batch.producer_epoch < epoch:
            return Error.INVALID_PRODUCER_EPOCH
        if batch.producer_epoch > epoch:
            return Error.NONE if batch.base_sequence == 0 else Error.OUT_OF_ORDER_SEQUENCE_NUMBER
        follows = batch.base_sequence == last + 1 or (batch.base_sequence == 0 and last == LARGEST)
        return Error.NONE if follows else Error.OUT_OF_ORDER_SEQUENCE_NUMBER


class ProducerStateMachine(RuleBasedStateMachine):
    """Up to three producers and one replica, that is now the leader and now a follower."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log(TopicPartition("orders", 0), TopicConfig())
        self.model = PlainProducers()
        self.now = 0.0
        self.epochs = dict.fromkeys((1, 2, 3), 0)
        self.sequences = dict.fromkeys((1, 2, 3), 0)  # the next one, as the producer itself counts
        self.sent: dict[int, list[RecordBatch]] = {1: [], 2: [], 3: []}

    def batch_of(self, producer_id: int, epoch: int, sequence: int, count: int) -> RecordBatch:
        return RecordBatch("shop", range(count), 100, self.now, producer_id, epoch, sequence)

    def arrives(self, batch: RecordBatch) -> None:
        """At the leader, which does as Partition.append_records_to_leader does."""
        producers = self.log.producers
        expected = self.model.verdict(batch)
        duplicate = producers.find_duplicate_batch(batch)
        assert (duplicate or producers.check_append(batch)) == expected
        if expected is Error.NONE:
            self.appended(self.log.append_as_leader(batch, 0, self.now))

    def appended(self, log_batch: LogBatch) -> None:
        batch = log_batch.batch
        self.model.seen.setdefault(batch.producer_id, []).append(log_batch)
        self.sent[batch.producer_id].append(batch)
        if batch.producer_epoch == self.epochs[batch.producer_id]:
            self.sequences[batch.producer_id] = (last_sequence(batch) + 1) % (LARGEST + 1)

    @rule(producer_id=PRODUCERS, count=COUNTS)
    def sends_the_next(self, producer_id: int, count: int) -> None:
        self.arrives(self.batch_of(producer_id, self.epochs[producer_id], self.sequences[producer_id], count))

    @rule(producer_id=PRODUCERS, counts=st.lists(COUNTS, min_size=2, max_size=7))
    def sends_several(self, producer_id: int, counts: list[int]) -> None:
        for count in counts:
            self.sends_the_next(producer_id, count)

    @rule(producer_id=PRODUCERS, back=st.integers(1, 8), count=st.one_of(st.none(), COUNTS))
    def retries(self, producer_id: int, back: int, count: int | None) -> None:
        """An older batch; with a `count`, another batch that begins like it."""
        for batch in self.sent[producer_id][-back:][:1]:
            self.arrives(self.batch_of(producer_id, batch.producer_epoch, batch.base_sequence, count or batch.count))

    @rule(producer_id=PRODUCERS, ahead=st.integers(1, 4), count=COUNTS)
    def leaves_a_gap(self, producer_id: int, ahead: int, count: int) -> None:
        self.arrives(self.batch_of(producer_id, self.epochs[producer_id], self.sequences[producer_id] + ahead, count))

    @rule(producer_id=PRODUCERS, sequence=st.sampled_from([0, 0, 1, LARGEST - 1]), count=COUNTS)
    def bumps_its_epoch(self, producer_id: int, sequence: int, count: int) -> None:
        self.epochs[producer_id] += 1
        self.sequences[producer_id] = 0
        self.arrives(self.batch_of(producer_id, self.epochs[producer_id], sequence, count))

    @rule(producer_id=PRODUCERS, count=COUNTS, back=st.integers(1, 2))
    def a_zombie_sends(self, producer_id: int, count: int, back: int) -> None:
        """An earlier instance of the producer, in an epoch that is over."""
        if self.epochs[producer_id] >= back:
            self.arrives(self.batch_of(producer_id, self.epochs[producer_id] - back, self.sequences[producer_id], count))

    @rule(producer_id=PRODUCERS, count=COUNTS, room=st.integers(0, 3), later=st.integers(0, 1))
    def follows(self, producer_id: int, count: int, room: int, later: int) -> None:
        """A follower appends what its leader accepted without a question; that leader may have known less of the producer."""
        self.epochs[producer_id] += later
        sequence = self.sequences[producer_id] + 1 if later == 0 else LARGEST - room
        end = self.log.log_end_offset
        log_batch = LogBatch(end, end + count, 0, self.batch_of(producer_id, self.epochs[producer_id], sequence % LARGEST, count), self.now)
        self.log.append_as_follower(log_batch, self.now)
        self.appended(log_batch)

    @rule(data=st.data())
    def is_cut(self, data: st.DataObject) -> None:
        """Who was forgotten and has batches in what is left is known again."""
        offset = data.draw(st.integers(max(self.log.log_start_offset, self.log.log_end_offset - 12), self.log.log_end_offset), "offset")
        if self.log.truncate_to(offset):
            self.model.cut(self.log.log_start_offset, self.log.batches, self.log.log_end_offset)

    @rule(cleanly=st.booleans())
    def its_process_starts_anew(self, cleanly: bool) -> None:
        if cleanly:
            self.log.close(self.now)
            self.model.snapshot(self.log.log_end_offset)
        self.log.load()
        self.model.opened(self.log.log_end_offset)

    @rule(data=st.data())
    def retention_deletes(self, data: st.DataObject) -> None:
        """Which producers know nothing of."""
        ends = [log_batch.next_offset for log_batch in self.log.batches]
        if ends:
            self.log.remove_below(data.draw(st.sampled_from(ends[:3]), "offset"))

    @rule(offset=st.integers(0, 5))
    def is_thrown_away(self, offset: int) -> None:
        self.log.truncate_fully_and_start_at(offset)
        self.model.seen.clear()
        self.model.snapshots.clear()

    @rule(waited=st.sampled_from([1.0, EXPIRATION_MS / 2, EXPIRATION_MS]))
    def time_passes_and_the_silent_are_forgotten(self, waited: float) -> None:
        self.now += waited
        self.log.producers.remove_expired(self.now, EXPIRATION_MS)
        for producer_id, seen in list(self.model.seen.items()):
            if seen and seen[-1].batch.created + EXPIRATION_MS <= self.now:
                del self.model.seen[producer_id]

    @invariant()
    def what_is_known_of_a_producer_follows_from_its_batches(self) -> None:
        for producer_id in (1, 2, 3):
            run = self.model.in_epoch(producer_id)
            entry = self.log.producers.entry(producer_id)
            assert (entry is None) == (not run)
            if entry is not None:
                assert list(entry.batches) == run[-5:]
                assert entry.producer_epoch == run[-1].batch.producer_epoch
                assert entry.next_sequence == (last_sequence(run[-1].batch) + 1) % (LARGEST + 1)


def test_a_replica_judges_a_producers_batches_as_one_does_who_reads_the_whole_log() -> None:
    run_state_machine_as_test(ProducerStateMachine, settings=budget(*BUDGET))
