"""What the parent keeps of each client over all its lives, from what they tell; and what a producer tells before it acts."""

import time
from array import array
from collections.abc import Sequence
from typing import Any

from cluster.application_fakes import FakeProducer, Told, producer_spec, refused

from kafkasim.cluster.producing import ProducingApplication
from kafkasim.cluster.recording import MemberRecord, ProducerRecord, rebase
from kafkasim.ledger import Ledger
from kafkasim.progress import Progress

RECORDS = 100


class Shop:
    """A producer's record, and the ledger that it writes."""

    def __init__(self, on_restart: str = "continue") -> None:
        self.ledger = Ledger(backend="cluster", seed=1)
        self.progress = Progress()
        times = array("d", (float(number) for number in range(RECORDS)))
        self.record = ProducerRecord("shop", times, on_restart, self.ledger, self.progress)

    def tell(self, kind: str, **fields: Any) -> None:
        self.record.told({"e": kind, **fields}, 0.0)

    def sent(self, first: int, last: int) -> None:
        self.tell("sent", first=first, last=last, at=0.0)

    def acked(self, first: int, last: int) -> None:
        self.tell("callback", numbers=[[first, last]], at=0.0, error="", definite=False, partition="orders-0", offset=0)


def test_a_first_send_that_is_told_late_takes_nothing_back() -> None:
    shop = Shop()
    shop.sent(0, 10)
    shop.sent(0, 4)
    assert shop.record.handed_over == 10
    assert shop.progress.tally("sent", "shop").count == 10


def test_what_a_killed_process_was_about_to_hand_over_went_to_send_and_is_not_sent_for_the_first_time_again() -> None:
    shop = Shop()
    struck: list[int] = []
    shop.progress.when("sent", "shop", 12, lambda: struck.append(shop.record.handed_over))
    shop.sent(0, 10)
    shop.tell("asked", last=12)
    assert shop.record.handed_over == 10
    shop.tell("ended")
    assert shop.record.begin_at == shop.record.handed_over == 12
    assert struck == [12]


def test_what_stood_behind_a_send_that_did_not_return_was_not_sent() -> None:
    shop = Shop()
    shop.sent(0, 10)
    shop.tell("asked", last=30)
    shop.tell("asked", last=10)
    shop.tell("ended")
    assert shop.record.begin_at == 10


def test_a_new_process_has_asked_for_nothing_yet() -> None:
    shop = Shop()
    shop.tell("asked", last=30)
    shop.record.restarted()
    shop.tell("ended")
    assert shop.record.handed_over == 0


def test_resend_begins_at_the_first_record_that_has_no_callback_though_what_follows_it_has_one() -> None:
    shop = Shop(on_restart="resend")
    shop.sent(0, 10)
    shop.acked(0, 4)
    shop.acked(6, 9)
    assert shop.record.begin_at == 5
    shop.acked(5, 5)
    assert shop.record.begin_at == 10


def test_a_new_process_is_not_finished_by_the_word_of_the_last_one() -> None:
    shop = Shop()
    shop.tell("state", open=0, spool=0, all_sent=True, idle=True)
    assert shop.record.finished
    shop.record.restarted()
    assert not shop.record.finished
    assert not shop.record.all_sent


def test_first_sends_have_the_times_of_the_schedule() -> None:
    shop = Shop()
    shop.sent(0, 3)
    shop.record.close()
    assert [(entry.numbers, list(entry.times)) for entry in shop.ledger.sent] == [(range(3), [0.0, 1.0, 2.0])]


# ---------------------------------------------------------------------------------------------------- members


def member() -> tuple[MemberRecord, Ledger]:
    ledger = Ledger(backend="cluster", seed=1)
    return MemberRecord("billing", "billing-0", ["shop"], ledger, Progress()), ledger


def test_a_member_is_ready_when_each_of_its_partitions_has_a_position() -> None:
    record, _ = member()
    assert not record.ready
    record.told({"e": "assigned", "partitions": ["orders-0", "orders-1"]}, 0.0)
    record.told({"e": "positions", "positions": {"orders-0": 3}}, 0.0)
    assert not record.ready
    record.told({"e": "positions", "positions": {"orders-1": 0}}, 0.0)
    assert record.ready
    record.told({"e": "assigned", "partitions": ["orders-1"]}, 0.0)
    assert record.positions == {"orders-1": 0}
    record.restarted()
    assert not record.ready


def test_times_of_members_are_counted_from_zero_in_the_end() -> None:
    record, ledger = member()
    handled = {"e": "handled", "partition": "orders-0", "offset": 7, "producer": 0, "number": 3, "at": 5100.0, "effect": True}
    record.told(handled, 5100.0)
    record.told({"e": "commit", "offsets": [["orders-0", 8]], "error": "", "at": 5101.0}, 5101.0)
    record.told({"e": "skipped", "partition": "orders-0", "position": 0, "offset": 7, "at": 5050.0}, 5050.0)
    rebase(ledger, 5000.0)
    assert [entry.at for entry in (*ledger.handled, *ledger.commits, *ledger.skipped)] == [100.0, 101.0, 50.0]
    assert ledger.handled[0].producer == "shop"


# ---------------------------------------------------------------------------------------------------- told before it is done


class Watched(FakeProducer):
    """Notes in `untold` what it is asked to send before anybody was told of it. The first three records fail once."""

    def __init__(self, told: Told) -> None:
        super().__init__(lambda number: refused(number) if len(self.asked) <= 3 else None)
        self.untold: list[int] = []
        self._told = told

    def send(self, numbers: Sequence[int], keys: Sequence[int] | None) -> None:
        told, again = self._told, {number for number, _, _ in self.asked}
        for number in numbers:
            deadline = time.monotonic() + 1.0  # for what was told to come out of the pipe
            while time.monotonic() < deadline and not (number in told.numbers("resent") if number in again else number < asked_last(told)):
                time.sleep(0.001)
            if time.monotonic() >= deadline:
                self.untold.append(number)
        super().send(numbers, keys)


def begin(told: Told, client: FakeProducer, records: int, every_ms: float = 0.0, **changes: Any) -> None:
    told.run(ProducingApplication(producer_spec(records, every_ms, **changes), client, None, told.parent).run)


def asked_last(told: Told) -> int:
    return int(told.of("asked")[-1]["last"]) if told.of("asked") else 0


def test_what_goes_to_send_is_told_before_it_goes() -> None:
    told = Told()
    client = Watched(told)
    begin(told, client, 3, on_failure="resend", retry_backoff_ms=5.0)
    told.wait(lambda: len(client.asked) == 6)
    told.end()
    assert client.untold == []
    assert told.numbers("sent") == told.numbers("resent") == [0, 1, 2]


def test_while_send_does_not_return_nothing_behind_it_is_said_to_go() -> None:
    told = Told()
    client = FakeProducer(room=3)
    begin(told, client, 100, every_ms=1.0)
    told.wait(lambda: told.numbers("sent") == [0, 1, 2] and len(client.asked) > 3 and asked_last(told) == 3)
    client.give_room(1 << 60)
    told.wait(lambda: told.numbers("sent") == list(range(100)))
    assert asked_last(told) == 100
    told.end()


def test_what_close_left_no_time_for_did_not_go() -> None:
    told = Told()
    client = FakeProducer(room=1)
    begin(told, client, 2)
    told.wait(lambda: asked_last(told) == 2)
    told.sigterm()
    told.gone()
    assert told.numbers("sent") == [0]
    assert asked_last(told) == 1
