"""KafkaProducer: what goes on the wire, and a send() that waits."""

from array import array
from random import Random

from producer_by_hand import ONE_RECORD_A_BATCH, ORDERS, WITHOUT_IDEMPOTENCE, Hand

from kafkasim.protocol.calls import CloseClient, Outcome, ProducerReady, SendRecords, SendUnblocked
from kafkasim.protocol.errors import Error
from kafkasim.protocol.node import Close

# ------------------------------------------------------------------------------------------------ the good case


def test_a_batch_is_sent_after_linger_and_its_callbacks_come_with_the_answer() -> None:
    hand = Hand()
    hand.send(range(3), at=10.0)
    assert hand.requests == []
    assert hand.producer.next_deadline() == 15.0
    hand.to(15.0)
    ((peer, request),) = hand.requests
    assert (peer, request.acks, request.timeout_ms) == ("broker-1", -1, 30_000)
    assert request.batches[0][1].numbers == range(3)
    assert hand.outcomes == []
    hand.answer(request, base_offset=40)
    assert hand.outcomes == [Outcome(range(3), Error.NONE, ORDERS, 40)]


def test_what_is_handed_over_in_pieces_is_one_range_on_the_wire() -> None:
    hand = Hand()
    hand.send(range(2), at=10.0)
    hand.send(range(2, 5), at=12.0)
    hand.to(15.0)
    assert hand.batches()[0].numbers == range(5)


def test_records_with_keys_are_spread_and_batches_carry_arrays_of_numbers() -> None:
    hand = Hand(leaders=(1, 1))
    hand.send(range(20), at=10.0, keys=list(range(20)))
    hand.to(15.0)
    ((_, request),) = hand.requests
    by_partition = {tp.partition: batch.numbers for tp, batch in request.batches}
    assert sorted(by_partition) == [0, 1]
    assert all(isinstance(numbers, array) for numbers in by_partition.values())
    assert sorted(n for numbers in by_partition.values() for n in numbers) == list(range(20))


def test_all_ready_partitions_of_one_broker_go_in_one_request_and_each_broker_gets_its_own() -> None:
    hand = Hand(leaders=(1, 2, 1))
    hand.send(range(30), at=10.0, keys=list(range(30)))
    hand.to(15.0)
    assert sorted((peer, len(request.batches)) for peer, request in hand.requests) == [("broker-1", 2), ("broker-2", 1)]


def test_the_first_answer_of_a_broker_says_that_the_producer_is_ready() -> None:
    hand = Hand()
    assert hand.got(ProducerReady) == 1


def test_with_acks_0_the_callbacks_come_when_the_request_is_written_and_a_later_disconnect_is_silent() -> None:
    hand = Hand(acks=0, enable_idempotence=False)
    hand.send(range(3), at=10.0)
    hand.to(15.0)
    assert hand.outcomes == [Outcome(range(3), Error.NONE, ORDERS, -1)]
    hand.disconnect()
    hand.to(1000.0)
    assert len(hand.requests) == len(hand.outcomes) == 1


# ------------------------------------------------------------------------------------------------ send() that waits


def test_java_send_waits_for_metadata_up_to_max_block_and_then_fails_record_by_record() -> None:
    hand = Hand(silent=True)
    hand.send(range(3), at=10.0)
    assert hand.producer.blocked
    hand.to(60_009.0)
    assert hand.outcomes == []
    hand.to(60_010.0)
    assert hand.outcomes == [Outcome(range(1), Error.METADATA_TIMEOUT, None, -1)]
    assert hand.producer.blocked
    hand.to(180_010.0)
    assert [o.numbers for o in hand.outcomes] == [range(1), range(1, 2), range(2, 3)]
    assert not hand.producer.blocked
    assert hand.got(SendUnblocked) == 1


def test_when_metadata_comes_the_waiting_send_goes_on_with_everything_behind_it() -> None:
    hand = Hand(silent=True)
    hand.send(range(3), at=10.0)
    hand.silent = False
    hand.to(31_000.0)  # the unanswered request times out, and the next one is answered
    assert not hand.producer.blocked
    assert hand.got(SendUnblocked)
    assert hand.numbers() == [[0, 1, 2]]


def test_java_send_waits_for_memory_and_goes_on_when_an_answer_frees_some() -> None:
    hand = Hand(buffer_memory=40_000, max_in_flight=1, **WITHOUT_IDEMPOTENCE)
    hand.send(range(400), at=10.0)
    assert hand.producer.blocked
    assert len(hand.requests) == 1
    hand.answer(hand.requests[0][1])
    assert not hand.producer.blocked
    assert hand.got(SendUnblocked)


def test_java_send_that_finds_no_memory_within_max_block_fails_and_the_thread_tries_the_next() -> None:
    hand = Hand(buffer_memory=20_000, max_block_ms=500.0, **WITHOUT_IDEMPOTENCE, **ONE_RECORD_A_BATCH)
    fits = 20_000 // (61 + 21 + 1 + 2 + 100 + 1)
    hand.send(range(fits + 2), at=10.0)
    hand.to(509.0)
    assert hand.outcomes == []
    hand.to(510.0)
    assert hand.outcomes == [Outcome(range(fits, fits + 1), Error.BUFFER_EXHAUSTED, None, -1)]
    hand.to(1010.0)
    assert hand.outcomes[1] == Outcome(range(fits + 1, fits + 2), Error.BUFFER_EXHAUSTED, None, -1)
    assert not hand.producer.blocked


def test_one_allowance_serves_for_both_waits_of_a_record() -> None:
    hand = Hand(silent=True, buffer_memory=16_000, batch_size=16_000, max_block_ms=40_000.0, max_in_flight=1, **WITHOUT_IDEMPOTENCE)
    hand.send(range(300), at=0.0)
    hand.silent = False
    hand.to(39_000.0)  # after the request timeout of 30 s metadata came; now the second batch waits for memory
    assert hand.producer.blocked
    assert hand.outcomes == []
    hand.to(75_000.0)  # the record that waits now was called when metadata came, after 30 s
    assert [o.error for o in hand.outcomes] == [Error.BUFFER_EXHAUSTED]


def test_with_max_block_0_everything_that_finds_no_place_fails_at_once() -> None:
    hand = Hand(silent=True, max_block_ms=0.0)
    hand.send(range(5), at=10.0)
    assert hand.outcomes == [Outcome(range(5), Error.METADATA_TIMEOUT, None, -1)]
    assert not hand.producer.blocked


def test_a_record_larger_than_a_request_may_be_fails_at_once() -> None:
    hand = Hand(max_request_size=150)
    hand.send(range(2), at=10.0)
    assert hand.outcomes == [Outcome(range(2), Error.RECORD_TOO_LARGE, None, -1)]


def test_when_no_broker_can_be_reached_java_forgets_the_topic_and_send_waits_again() -> None:
    hand = Hand(random=Random(1).random)
    hand.brokers = (1,)
    hand.send(range(60), at=10.0)
    hand.to(15.0)
    hand.unreachable = True
    for other in ("broker-1#bootstrap", "broker-2", "broker-3"):
        hand.disconnect(other)
    hand.to(200.0)
    hand.disconnect("broker-1")
    hand.to(5000.0)  # sooner or later a refresh comes due while the only broker is backing off
    hand.send(range(60, 61))
    assert hand.producer.blocked
    hand.unreachable = False
    hand.to(8000.0)
    assert not hand.producer.blocked
    assert hand.numbers() == [list(range(60)), list(range(60)), [60]]
    assert hand.got(ProducerReady) == 2


# ------------------------------------------------------------------------------------------------ librdkafka


def test_librdkafka_never_waits_a_full_queue_fails_at_once() -> None:
    hand = Hand(librdkafka=True, buffer_records=4)
    hand.send(range(10), at=10.0)
    assert hand.outcomes == [Outcome(range(4, 10), Error.QUEUE_FULL, None, -1)]
    assert not hand.producer.blocked


def test_librdkafka_keeps_messages_without_metadata_until_their_timeout() -> None:
    hand = Hand(librdkafka=True, silent=True, delivery_timeout_ms=2000.0)
    hand.send(range(3), at=10.0)
    hand.send(range(3, 5), at=1000.0)
    assert not hand.producer.blocked
    hand.to(2010.0)
    assert hand.outcomes == [Outcome(range(3), Error.DELIVERY_TIMEOUT, None, -1)]
    hand.to(3000.0)
    assert hand.outcomes[1] == Outcome(range(3, 5), Error.DELIVERY_TIMEOUT, None, -1)


def test_librdkafka_gives_waiting_messages_their_partition_when_metadata_comes() -> None:
    hand = Hand(librdkafka=True, silent=True, request_timeout_ms=1000.0)
    hand.send(range(3), at=10.0)
    hand.silent = False
    hand.to(2000.0)
    assert hand.numbers() == [[0, 1, 2]]


def test_a_librdkafka_request_waits_no_longer_than_its_first_message_may_and_until_the_next_look() -> None:
    hand = Hand(librdkafka=True, delivery_timeout_ms=2000.0, random=lambda: 0.3)
    hand.send(range(1), at=10.0)
    hand.to(2299.0)
    assert hand.outcomes == []
    hand.to(2300.0)
    assert hand.outcomes == [Outcome(range(1), Error.DELIVERY_TIMEOUT, ORDERS, -1)]
    assert Close("broker-1") in hand.others


def test_librdkafka_does_not_count_attempts_at_a_broker_that_was_not_the_leader() -> None:
    hand = Hand(librdkafka=True, retries=1)
    hand.send(range(1), at=10.0)
    hand.to(15.0)
    for _ in range(4):
        hand.answer(hand.requests[-1][1], Error.NOT_LEADER_OR_FOLLOWER)
        hand.to(hand.now + 1500.0)
    assert len(hand.requests) == 5
    assert hand.outcomes == []


# ------------------------------------------------------------------------------------------------ close


def test_close_sends_what_lingers_and_ends_with_the_last_callback() -> None:
    hand = Hand(linger_ms=1000.0)
    hand.send(range(3), at=10.0)
    hand.play(hand.producer.receive(CloseClient(), "", 10.0))
    assert hand.numbers() == [[0, 1, 2]]
    assert not hand.producer.closed
    hand.answer(hand.requests[0][1])
    assert hand.producer.closed
    assert Close("broker-1") in hand.others
    assert hand.producer.next_deadline() is None


def test_close_fails_what_waits_in_send() -> None:
    hand = Hand(silent=True)
    hand.send(range(3), at=10.0)
    hand.play(hand.producer.receive(CloseClient(), "", 10.0))
    assert hand.outcomes == [Outcome(range(3), Error.PRODUCER_CLOSED, None, -1)]
    assert not hand.producer.blocked


def test_an_early_or_late_wake_changes_nothing_but_what_is_due() -> None:
    hand = Hand()
    hand.send(range(1), at=10.0)
    assert hand.producer.wake(14.0) == []
    hand.now = 17.0
    hand.play(hand.producer.wake(17.0))
    assert len(hand.requests) == 1


def test_max_block_counts_from_the_call_of_send_and_not_from_when_the_driver_handed_it_over() -> None:
    hand = Hand(silent=True, max_block_ms=1000.0)
    hand.to(300.0)
    hand.play(hand.producer.receive(SendRecords("orders", range(1), [100.0]), "", hand.now))
    hand.to(1099.0)
    assert hand.outcomes == []
    hand.to(1101.0)
    assert [outcome.error for outcome in hand.outcomes] == [Error.METADATA_TIMEOUT]
