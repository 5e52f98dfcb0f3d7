"""Sender: what becomes of a batch that was not answered as hoped; and in which order batches arrive."""

from producer_by_hand import ONE_RECORD_A_BATCH, ORDERS, WITHOUT_IDEMPOTENCE, Hand

from kafkasim.protocol.calls import Outcome
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Close
from kafkasim.protocol.sender import BatchExpired, BatchRetried, BatchSent, EpochBumped

# ------------------------------------------------------------------------------------------------ retries


def test_a_lost_response_makes_the_producer_send_the_same_records_again() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE)
    hand.send(range(3), at=10.0)
    hand.to(15.0)
    hand.disconnect()
    hand.to(200.0)
    assert hand.numbers() == [[0, 1, 2], [0, 1, 2]]
    assert hand.batches()[0].base_sequence == -1
    hand.answer(hand.requests[1][1], base_offset=3)
    assert hand.outcomes == [Outcome(range(3), Error.NONE, ORDERS, 3)]


def test_with_idempotence_the_second_copy_carries_the_sequence_of_the_first() -> None:
    hand = Hand()
    hand.send(range(3), at=10.0)
    hand.to(15.0)
    hand.disconnect()
    hand.to(200.0)
    assert [(b.producer_id, b.producer_epoch, b.base_sequence) for b in hand.batches()] == [(7, 0, 0), (7, 0, 0)]


def test_a_request_without_an_answer_times_out_and_is_sent_again_on_a_new_connection() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE)
    hand.send(range(1), at=10.0)
    hand.to(15.0)
    hand.to(30_014.0)
    assert len(hand.requests) == 1
    hand.to(30_200.0)
    assert len(hand.requests) == 2
    assert Close("broker-1") in hand.others
    assert hand.traced(BatchRetried)[0].reason is Error.TIMEOUT  # type: ignore[attr-defined]


def test_while_the_leader_is_paused_nothing_more_is_sent_to_it_and_the_retries_go_out_when_it_goes_on() -> None:
    hand = Hand(request_timeout_ms=1000.0, **WITHOUT_IDEMPOTENCE, **ONE_RECORD_A_BATCH)
    hand.send(range(5), at=10.0)
    assert hand.numbers() == [[0], [1], [2], [3], [4]]  # all that may be in flight on one connection
    hand.paused.add("broker-1")
    hand.send(range(5, 8), at=500.0)
    hand.to(7000.0)
    assert Close("broker-1") in hand.others
    assert len(hand.unanswered) >= 2  # it connects again and again, and asks, and nobody answers
    assert len(hand.requests) == 5
    hand.unanswered = hand.unanswered[-1:]  # the connections before are closed
    hand.go_on()
    while len(hand.requests) < 13:
        hand.answer(hand.requests[len(hand.outcomes) + 5][1])
    assert sorted(hand.numbers()[5:]) == [[0], [1], [2], [3], [4], [5], [6], [7]]


def test_backoffs_double_up_to_their_maximum() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE)
    hand.send(range(1), at=0.0)
    hand.to(5.0)
    for _ in range(7):
        hand.answer(hand.requests[-1][1], Error.NOT_ENOUGH_REPLICAS)
        hand.to(hand.now + 1001.0)
    assert [round(event.backoff_ms) for event in hand.traced(BatchRetried)] == [100, 200, 400, 800, 1000, 1000, 1000]  # type: ignore[attr-defined]
    sent = [event.at for event in hand.traced(BatchSent)]  # type: ignore[attr-defined]
    answered = [event.at for event in hand.traced(BatchRetried)]  # type: ignore[attr-defined]
    assert [round(again - at) for again, at in zip(sent[1:], answered, strict=True)] == [100, 200, 400, 800, 1000, 1000, 1000]


def test_after_its_retries_a_batch_fails_with_the_last_error() -> None:
    hand = Hand(retries=2, **WITHOUT_IDEMPOTENCE)
    hand.send(range(2), at=0.0)
    hand.to(5.0)
    for _ in range(3):
        hand.answer(hand.requests[-1][1], Error.NOT_ENOUGH_REPLICAS)
        hand.to(hand.now + 500.0)
    assert len(hand.requests) == 3
    assert hand.outcomes == [Outcome(range(2), Error.NOT_ENOUGH_REPLICAS, ORDERS, -1)]


def test_an_error_that_is_not_retriable_fails_at_once() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE)
    hand.send(range(2), at=0.0)
    hand.to(5.0)
    hand.answer(hand.requests[0][1], Error.RECORD_TOO_LARGE)
    assert hand.outcomes == [Outcome(range(2), Error.RECORD_TOO_LARGE, ORDERS, -1)]


def test_a_batch_goes_to_the_new_leader_after_the_metadata_said_so() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE)
    hand.send(range(1), at=0.0)
    hand.to(5.0)
    hand.leaders, hand.leader_epoch = [2], 2
    hand.answer(hand.requests[0][1], Error.NOT_LEADER_OR_FOLLOWER)
    hand.to(1000.0)
    assert [peer for peer, _ in hand.requests] == ["broker-1", "broker-2"]


def test_an_error_that_names_the_new_leader_spares_metadata_and_backoff() -> None:
    hand = Hand(silent=False, **WITHOUT_IDEMPOTENCE)
    hand.send(range(1), at=0.0)
    hand.to(5.0)
    hand.silent = True
    hand.answer(hand.requests[0][1], Error.NOT_LEADER_OR_FOLLOWER, leader=2, epoch=2)
    assert [peer for peer, _ in hand.requests] == ["broker-1", "broker-2"]
    assert hand.now == 5.0


def test_delivery_timeout_fails_a_batch_that_waits_in_the_accumulator() -> None:
    hand = Hand(leaders=(-1,), **WITHOUT_IDEMPOTENCE)
    hand.send(range(3), at=10.0)
    hand.to(120_009.0)
    assert hand.outcomes == []
    hand.to(120_010.0)
    assert hand.outcomes == [Outcome(range(3), Error.DELIVERY_TIMEOUT, ORDERS, -1)]


def test_delivery_timeout_fails_a_batch_in_flight_although_the_broker_may_still_write_it() -> None:
    hand = Hand(delivery_timeout_ms=1000.0, **WITHOUT_IDEMPOTENCE)
    hand.send(range(3), at=10.0)
    hand.to(1010.0)
    assert hand.outcomes == [Outcome(range(3), Error.DELIVERY_TIMEOUT, ORDERS, -1)]
    assert hand.traced(BatchExpired) == [BatchExpired(1010.0, "shop", ORDERS, range(3), True)]
    hand.answer(hand.requests[0][1], base_offset=0)
    assert len(hand.outcomes) == 1


def test_no_batch_is_retried_after_its_delivery_timeout() -> None:
    hand = Hand(delivery_timeout_ms=1000.0, **WITHOUT_IDEMPOTENCE)
    hand.send(range(3), at=10.0)
    hand.to(1010.0)
    hand.disconnect()
    hand.to(5000.0)
    assert len(hand.requests) == 1


# ------------------------------------------------------------------------------------------------ order


def test_with_max_in_flight_1_nothing_overtakes_a_batch_in_retry() -> None:
    hand = Hand(max_in_flight=1, **WITHOUT_IDEMPOTENCE, **ONE_RECORD_A_BATCH)
    hand.send(range(3), at=0.0)
    assert hand.numbers() == [[0]]
    hand.answer(hand.requests[0][1], Error.NOT_ENOUGH_REPLICAS)
    hand.to(150.0)
    assert hand.numbers() == [[0], [0]]
    hand.answer(hand.requests[1][1])
    assert hand.numbers() == [[0], [0], [1]]


def test_with_five_in_flight_and_no_idempotence_a_retry_comes_after_its_successor() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE, **ONE_RECORD_A_BATCH)
    hand.send(range(2), at=0.0)
    assert hand.numbers() == [[0], [1]]
    hand.answer(hand.requests[0][1], Error.NOT_ENOUGH_REPLICAS)
    hand.answer(hand.requests[1][1], base_offset=0)
    hand.to(150.0)
    hand.answer(hand.requests[2][1], base_offset=1)
    assert [(list(o.numbers), o.base_offset) for o in hand.outcomes] == [([1], 0), ([0], 1)]


def test_no_more_than_max_in_flight_requests_are_open_on_a_connection() -> None:
    hand = Hand(**WITHOUT_IDEMPOTENCE, **ONE_RECORD_A_BATCH)
    hand.send(range(9), at=0.0)
    assert len(hand.requests) == 5
    hand.answer(hand.requests[0][1])
    assert len(hand.requests) == 6


def test_idempotent_batches_come_back_in_the_order_of_their_sequences_and_one_at_a_time() -> None:
    hand = Hand(**ONE_RECORD_A_BATCH)
    hand.send(range(3), at=0.0)
    hand.disconnect()
    hand.to(500.0)
    assert [b.base_sequence for b in hand.batches()] == [0, 1, 2, 0]
    hand.answer(hand.requests[3][1])
    assert [b.base_sequence for b in hand.batches()] == [0, 1, 2, 0, 1]


# ------------------------------------------------------------------------------------------------ idempotence


def test_an_idempotent_producer_sends_nothing_before_it_has_an_id() -> None:
    hand = Hand(without_id=True)
    hand.send(range(1), at=0.0)
    hand.to(20_000.0)
    assert hand.requests == []
    hand.without_id = False
    hand.to(30_200.0)  # the unanswered InitProducerId times out, the next is answered
    assert hand.batches()[0].producer_id == 7


def test_a_duplicate_sequence_is_a_success_without_an_offset() -> None:
    hand = Hand()
    hand.send(range(2), at=0.0)
    hand.to(5.0)
    hand.answer(hand.requests[0][1], Error.DUPLICATE_SEQUENCE_NUMBER, base_offset=-1)
    assert hand.outcomes == [Outcome(range(2), Error.NONE, ORDERS, -1)]


def test_a_successor_that_is_out_of_order_is_retried_with_its_own_sequence() -> None:
    hand = Hand(**ONE_RECORD_A_BATCH)
    hand.send(range(2), at=0.0)
    hand.answer(hand.requests[0][1], Error.NOT_ENOUGH_REPLICAS)
    hand.answer(hand.requests[1][1], Error.OUT_OF_ORDER_SEQUENCE_NUMBER)
    hand.to(150.0)
    hand.answer(hand.requests[2][1], base_offset=0)
    hand.to(1000.0)
    hand.answer(hand.requests[3][1], base_offset=1)
    assert [(b.producer_epoch, b.base_sequence) for b in hand.batches()] == [(0, 0), (0, 1), (0, 0), (0, 1)]
    assert [(list(o.numbers), o.base_offset) for o in hand.outcomes] == [([0], 0), ([1], 1)]


def test_a_gap_in_the_log_bumps_the_epoch_and_starts_the_sequences_again() -> None:
    hand = Hand(**ONE_RECORD_A_BATCH)
    hand.send(range(1), at=0.0)
    hand.answer(hand.requests[0][1])
    hand.send(range(1, 2), at=10.0)
    hand.answer(hand.requests[1][1], Error.OUT_OF_ORDER_SEQUENCE_NUMBER)
    hand.to(150.0)
    assert [(b.producer_epoch, b.base_sequence) for b in hand.batches()] == [(0, 0), (0, 1), (1, 0)]
    assert hand.traced(EpochBumped) == [EpochBumped(10.0, "shop", 7, 1)]


def test_a_failure_for_good_bumps_the_epoch_so_that_no_gap_is_left() -> None:
    hand = Hand(**ONE_RECORD_A_BATCH)
    hand.send(range(1), at=0.0)
    hand.answer(hand.requests[0][1], Error.RECORD_TOO_LARGE)
    hand.send(range(1, 2), at=10.0)
    assert [(b.producer_epoch, b.base_sequence) for b in hand.batches()] == [(0, 0), (1, 0)]


def test_after_a_retried_batch_expired_nothing_new_is_sent_until_its_fate_is_settled_by_a_new_epoch() -> None:
    hand = Hand(delivery_timeout_ms=1000.0, **ONE_RECORD_A_BATCH)
    hand.send(range(1), at=0.0)
    hand.answer(hand.requests[0][1], Error.NOT_ENOUGH_REPLICAS)
    hand.to(150.0)
    assert len(hand.requests) == 2
    hand.to(1000.0)
    assert [o.error for o in hand.outcomes] == [Error.DELIVERY_TIMEOUT]
    hand.send(range(1, 2), at=1001.0)
    assert [(b.producer_epoch, b.base_sequence) for b in hand.batches()] == [(0, 0), (0, 0), (1, 0)]
