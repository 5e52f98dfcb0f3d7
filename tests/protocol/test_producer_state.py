"""Sequence numbers: what is a duplicate, what is a gap, and what a replica remembers (KIP-98, KIP-360)."""

from kafkasim.protocol.errors import Error
from kafkasim.protocol.producer_state import ProducerStateManager
from kafkasim.protocol.records import LogBatch, RecordBatch

SEQUENCE_MAX = 2147483647


def batch_of(sequence: int, count: int = 10, epoch: int = 0, producer_id: int = 7, created: float = 0.0) -> RecordBatch:
    return RecordBatch("shop", range(sequence, sequence + count), 1000, created, producer_id, epoch, sequence)


def in_log(batch: RecordBatch, base_offset: int) -> LogBatch:
    return LogBatch(base_offset, base_offset + batch.count, 0, batch, 0.0)


def state_after(*batches: RecordBatch) -> ProducerStateManager:
    state = ProducerStateManager()
    offset = 0
    for batch in batches:
        state.update(in_log(batch, offset))
        offset += batch.count
    return state


def test_the_next_sequence_number_is_accepted_and_a_gap_is_not() -> None:
    state = state_after(batch_of(0))
    assert state.check_append(batch_of(10)) is Error.NONE
    assert state.check_append(batch_of(20)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_retry_of_any_of_the_last_five_batches_is_found_with_its_offsets() -> None:
    state = state_after(*(batch_of(sequence) for sequence in range(0, 60, 10)))
    found = [state.find_duplicate_batch(batch_of(sequence)) for sequence in range(10, 60, 10)]
    assert [(batch.base_offset, batch.next_offset) for batch in found if batch] == [(10, 20), (20, 30), (30, 40), (40, 50), (50, 60)]


def test_a_retry_of_the_sixth_last_batch_is_out_of_order() -> None:
    state = state_after(*(batch_of(sequence) for sequence in range(0, 60, 10)))
    assert state.find_duplicate_batch(batch_of(0)) is None
    assert state.check_append(batch_of(0)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_the_same_first_sequence_number_with_another_count_is_no_duplicate() -> None:
    state = state_after(batch_of(0, count=10))
    assert state.find_duplicate_batch(batch_of(0, count=5)) is None
    assert state.check_append(batch_of(0, count=5)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_producer_without_state_may_begin_anywhere() -> None:
    assert ProducerStateManager().check_append(batch_of(4711)) is Error.NONE


def test_a_new_producer_epoch_begins_at_sequence_zero() -> None:
    state = state_after(batch_of(0, epoch=0))
    assert state.check_append(batch_of(10, epoch=1)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert state.check_append(batch_of(0, epoch=1)) is Error.NONE


def test_a_batch_of_the_old_epoch_is_no_duplicate_of_the_new_one() -> None:
    state = state_after(batch_of(0, epoch=0), batch_of(0, epoch=1))
    assert state.find_duplicate_batch(batch_of(0, epoch=0)) is None
    found = state.find_duplicate_batch(batch_of(0, epoch=1))
    assert found is not None
    assert found.base_offset == 10


def test_an_older_producer_epoch_is_fenced() -> None:
    state = state_after(batch_of(0, epoch=3))
    assert state.check_append(batch_of(10, epoch=2)) is Error.INVALID_PRODUCER_EPOCH


def test_sequence_numbers_wrap_to_zero_after_the_largest_int32() -> None:
    state = state_after(batch_of(SEQUENCE_MAX - 9, count=10))
    assert state.check_append(batch_of(0)) is Error.NONE
    over_the_edge = state_after(batch_of(SEQUENCE_MAX - 4, count=10))
    assert over_the_edge.check_append(batch_of(5)) is Error.NONE


def remembered(state: ProducerStateManager, until: int = 100) -> list[int]:
    """The sequence numbers, in tens, whose batches would be recognised as duplicates."""
    return [sequence for sequence in range(0, until, 10) if state.find_duplicate_batch(batch_of(sequence))]


def ten_batches() -> tuple[ProducerStateManager, list[LogBatch]]:
    batches = [in_log(batch_of(sequence), sequence) for sequence in range(0, 100, 10)]
    return state_after(*(log_batch.batch for log_batch in batches)), batches


def test_truncation_takes_the_state_back_to_what_the_log_still_holds() -> None:
    state, batches = ten_batches()
    state.truncate_and_reload(0, 70, batches[:7])
    assert state.check_append(batch_of(70)) is Error.NONE
    assert remembered(state) == [20, 30, 40, 50, 60]


def test_truncation_takes_an_epoch_bump_back() -> None:
    batches = [in_log(batch_of(0, epoch=0), 0), in_log(batch_of(0, epoch=1), 10)]
    state = state_after(batches[0].batch, batches[1].batch)
    state.truncate_and_reload(0, 10, batches[:1])
    assert state.check_append(batch_of(10, epoch=0)) is Error.NONE


def test_truncation_forgets_a_producer_of_which_nothing_is_left_and_leaves_others_alone() -> None:
    kept, gone = in_log(batch_of(0, producer_id=1), 0), in_log(batch_of(0, producer_id=2), 10)
    state = ProducerStateManager()
    state.update(kept)
    state.update(gone)
    state.truncate_and_reload(0, 10, [kept])
    assert state.entry(2) is None
    assert state.find_duplicate_batch(batch_of(0, producer_id=1)) is kept


def test_a_process_that_opens_a_log_knows_the_newest_batch_of_a_producer_and_what_it_appends_from_then_on() -> None:
    state, _ = ten_batches()
    state.load(100)
    assert remembered(state) == [90]
    assert state.check_append(batch_of(60)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert state.check_append(batch_of(100)) is Error.NONE
    for sequence in (100, 110):
        state.update(in_log(batch_of(sequence), sequence))
    assert remembered(state, until=200) == [90, 100, 110]


def test_truncation_begins_with_the_last_snapshot_that_is_still_true() -> None:
    state, batches = ten_batches()
    state.truncate_and_reload(0, 60, batches[:6])  # leaves a snapshot at 60
    for log_batch in batches[6:]:
        state.update(log_batch)
    state.truncate_and_reload(0, 80, batches[:8])
    assert remembered(state) == [50, 60, 70]


def test_a_snapshot_above_the_new_end_is_gone_and_the_log_is_read_from_the_one_below() -> None:
    state, batches = ten_batches()
    state.take_snapshot(100)
    state.truncate_and_reload(0, 80, batches[:8])
    assert remembered(state) == [30, 40, 50, 60, 70]


def test_recovery_after_a_crash_deletes_the_snapshots_before_it() -> None:
    state, batches = ten_batches()
    state.truncate_and_reload(0, 60, batches[:6])
    for log_batch in batches[6:]:
        state.update(log_batch)
    state.load(100)
    state.truncate_and_reload(0, 80, batches[:8])
    assert remembered(state) == [30, 40, 50, 60, 70]


def test_a_clean_stop_keeps_them() -> None:
    state, batches = ten_batches()
    state.truncate_and_reload(0, 60, batches[:6])
    for log_batch in batches[6:]:
        state.update(log_batch)
    state.take_snapshot(100)
    state.load(100)
    state.truncate_and_reload(0, 80, batches[:8])
    assert remembered(state) == [50, 60, 70]


def test_a_producer_silent_for_too_long_is_forgotten_and_its_retry_is_taken_for_new() -> None:
    state = state_after(batch_of(0, producer_id=1, created=0.0), batch_of(0, producer_id=2, created=900.0))
    state.remove_expired(now=1000.0, producer_id_expiration_ms=1000.0)
    assert state.find_duplicate_batch(batch_of(0, producer_id=1)) is None
    assert state.check_append(batch_of(0, producer_id=1)) is Error.NONE
    assert state.find_duplicate_batch(batch_of(0, producer_id=2)) is not None
