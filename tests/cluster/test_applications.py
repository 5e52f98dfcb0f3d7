"""The real-time interpreters of the application loops, with clients that obey the test."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cluster import application_fakes
from cluster.application_fakes import FakeConsumer, FakeProducer, Told, acknowledged, consumer_spec, producer_spec, refused
from cluster.patience import PATIENCE_S

from kafkasim.cluster.client_api import CommitSeen, ConsumerStopped, Delivery, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.consuming import ConsumingApplication
from kafkasim.cluster.producing import Callbacks, ProducingApplication, grouped
from kafkasim.cluster.specs import to_line
from kafkasim.cluster.work_pool import _Track
from kafkasim.stores import FlagStore, MemoryFlags, RecordId, SqliteSpool


def produce(client: FakeProducer, records: int, every_ms: float = 0.0, spool: SqliteSpool | None = None, **changes: Any) -> Told:
    told = Told()
    told.run(ProducingApplication(producer_spec(records, every_ms, **changes), client, spool, told.parent).run)
    return told


def consume(client: FakeConsumer, flags: FlagStore | None = None, **changes: Any) -> Told:
    told = Told()
    client.begin()
    told.run(ConsumingApplication(consumer_spec(**changes), client, flags, told.parent).run)
    return told


class SlowFlags(MemoryFlags):
    """Nobody is answered before `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()

    def lookup(self, group: str, producer: str, n: int) -> bool:
        self.answers.wait(PATIENCE_S)
        return super().lookup(group, producer, n)


def run_of(records: int, first: int = 0, partition: str = "orders-0") -> PolledRun:
    return PolledRun(partition, first, 0, first, records)


def finished(told: Told) -> Callable[[], bool]:
    done = {"e": "state", "open": 0, "spool": 0, "all_sent": True, "idle": True}
    return lambda: told.of("state")[-1:] == [done]


def failing_first(times: int) -> Callable[[int], Delivery]:
    """Each record fails so often before it is acknowledged."""
    seen: dict[int, int] = {}

    def answer(number: int) -> Delivery:
        seen[number] = seen.get(number, 0) + 1
        return refused(number) if seen[number] <= times else acknowledged(number)

    return answer


# ---------------------------------------------------------------------------------------------------- producer


def test_records_go_out_when_they_are_due_and_not_much_later() -> None:
    client = FakeProducer()
    told = produce(client, 100, every_ms=2.0)
    told.wait(finished(told))
    late = sorted((when - told.parent.zero) * 1000.0 - number * 2.0 for number, _, when in client.asked)
    told.end()
    assert late[0] >= 0.0
    assert late[50] < 2.0  # 0.1 on a quiet machine
    assert told.numbers("sent") == told.numbers("callback") == list(range(100))


def test_a_record_that_has_not_arrived_is_not_sent() -> None:
    client = FakeProducer()
    told = produce(client, 3, every_ms=60_000.0)
    told.wait(lambda: told.of("callback"))
    time.sleep(0.08)
    told.end()
    assert [number for number, _, _ in client.asked] == [0]


def test_keys_go_with_their_records() -> None:
    client = FakeProducer()
    told = produce(client, 3, keys=[7, 8, 9], first=1)
    told.wait(finished(told))
    told.end()
    assert [(number, key) for number, key, _ in client.asked] == [(1, 8), (2, 9)]


def test_a_send_that_blocks_is_visible_and_holds_back_what_arrives_meanwhile() -> None:
    client = FakeProducer(room=3)
    told = produce(client, 100, every_ms=5.0)
    told.wait(lambda: told.numbers("sent") == [0, 1, 2])
    time.sleep(0.08)
    asked = len(client.asked)
    assert told.numbers("sent") == [0, 1, 2]
    assert 3 < asked < 100
    time.sleep(0.05)
    assert len(client.asked) == asked
    client.give_room(1 << 60)
    told.wait(finished(told))
    told.end()
    assert told.numbers("sent") == list(range(100))


def test_a_record_whose_callback_came_first_is_told_as_sent_before_its_callback() -> None:
    client = FakeProducer(room=0)
    told = produce(client, 2)
    told.wait(lambda: client.asked)
    client.deliver(refused(0))
    told.wait(lambda: told.of("callback"))
    client.answer = application_fakes._never
    client.give_room(2)
    told.wait(lambda: told.numbers("sent") == [0, 1])
    assert told.kinds("sent", "callback") == ["sent", "callback", "sent"]
    told.end()


def test_after_a_restart_what_was_sent_before_is_told_as_resent() -> None:
    told = produce(FakeProducer(), 10, first=4, sent_before=7)
    told.wait(finished(told))
    told.end()
    assert [(event["numbers"], event["spool"]) for event in told.of("resent")] == [([[4, 6]], False)]
    assert told.numbers("sent") == [7, 8, 9]


def test_a_gate_lets_exactly_so_many_first_sends_pass() -> None:
    client = FakeProducer(failing_first(1))
    told = produce(client, 20, gates=[5, 8, 12], first=3, sent_before=6, on_failure="resend", retry_backoff_ms=0.0)
    told.wait(lambda: told.of("reached"))
    time.sleep(0.05)
    assert [number for number, _, _ in client.asked] == [3, 4, 5, 6, 7]  # no re-sends either
    told.say("resume")
    told.wait(lambda: len(told.of("reached")) == 2)
    assert max(number for number, _, _ in client.asked) == 11
    told.say("resume")
    told.wait(finished(told))
    told.end()
    assert [event["count"] for event in told.of("reached")] == [8, 12]
    assert told.numbers("sent") == list(range(6, 20))


def test_a_gate_is_reached_when_send_has_returned_and_not_before() -> None:
    client = FakeProducer(room=4)
    told = produce(client, 10, gates=[5])
    told.wait(lambda: told.numbers("sent") == [0, 1, 2, 3])
    time.sleep(0.03)
    assert not told.of("reached")
    client.give_room(5)
    told.wait(lambda: told.of("reached"))
    told.end()
    assert told.numbers("sent") == [0, 1, 2, 3, 4]


def test_dropped_records_are_not_sent_again() -> None:
    client = FakeProducer(failing_first(1))
    told = produce(client, 5)
    told.wait(finished(told))
    told.end()
    assert [number for number, _, _ in client.asked] == [0, 1, 2, 3, 4]


def test_failed_records_are_sent_again_after_the_backoff_until_they_are_acknowledged() -> None:
    client = FakeProducer(failing_first(2))
    told = produce(client, 3, on_failure="resend", retry_backoff_ms=20.0)
    told.wait(finished(told))
    told.end()
    assert [(event["numbers"], event["spool"]) for event in told.of("resent")] == [([[0, 2]], False)] * 2
    assert [bool(event["error"]) for event in told.of("callback")] == [True, True, False]
    assert told.of("resent")[1]["at"] - told.of("resent")[0]["at"] >= 20.0


def test_while_a_re_send_waits_the_producer_is_not_idle() -> None:
    told = produce(FakeProducer(failing_first(1)), 1, on_failure="resend", retry_backoff_ms=60_000.0)
    told.wait(lambda: told.of("state")[-1:] == [{"e": "state", "open": 0, "spool": 0, "all_sent": True, "idle": False}])
    told.end()


def test_a_spool_keeps_what_failed_and_is_emptied_by_its_retry_time(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", fsync=True)
    client = FakeProducer(failing_first(2))
    told = produce(client, 4, spool=spool, on_failure="spool")
    told.wait(finished(told))
    told.end()
    assert told.numbers("spooled") == [0, 1, 2, 3]  # once: what fails again is in it still
    assert [(event["numbers"], event["spool"]) for event in told.of("resent")] == [([[0, 3]], True)] * 2
    assert any(event["spool"] == 4 for event in told.of("state"))
    assert spool.pending() == 0


def test_an_acknowledgement_lets_the_spool_try_before_its_retry_time(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path / "spool", fsync=False)
    fails_once = failing_first(1)
    client = FakeProducer(lambda number: fails_once(number) if number == 0 else acknowledged(number))
    told = produce(client, 2, every_ms=50.0, spool=spool, on_failure="spool", spool_retry_ms=60_000.0)
    told.wait(finished(told))
    told.end()
    assert [event["numbers"] for event in told.of("callback")] == [[[0, 0]], [[1, 1]], [[0, 0]]]


def test_a_spool_left_behind_is_looked_at_after_the_start(tmp_path: Path) -> None:
    SqliteSpool(tmp_path / "spool", fsync=False).put("shop", [2, 3], 0.0)
    told = produce(FakeProducer(), 4, spool=SqliteSpool(tmp_path / "spool", fsync=False), first=4, sent_before=4, on_failure="spool")
    told.wait(finished(told))
    told.end()
    assert [(event["numbers"], event["spool"]) for event in told.of("resent")] == [([[2, 3]], True)]
    assert not told.of("sent")


def test_sigterm_closes_the_client_and_its_last_callbacks_are_told() -> None:
    client = FakeProducer(application_fakes._never)
    told = produce(client, 1000, every_ms=10.0)
    told.wait(lambda: len(told.of("sent")) == 3)
    told.sigterm()
    told.gone()
    assert client.closed == [30.0]
    assert told.numbers("callback") == [number for number, _, _ in client.asked]


def test_one_event_tells_what_has_one_outcome() -> None:
    deliveries = [acknowledged(0), acknowledged(1), refused(2), refused(3), acknowledged(4), Delivery(5, "", False, "orders-1", 5)]
    assert grouped([*deliveries, Delivery(7, "", False, "orders-1", 6), Delivery(8, "", False, "orders-1", 9)]) == [
        Callbacks([0, 1], "", False, "orders-0", 0),
        Callbacks([2, 3], "TIMEOUT", False, "", -1),
        Callbacks([4], "", False, "orders-0", 4),
        Callbacks([5, 7], "", False, "orders-1", 5),
        Callbacks([8], "", False, "orders-1", 9),
    ]


# ---------------------------------------------------------------------------------------------------- consumer


def test_after_processing_commits_what_was_handled() -> None:
    client = FakeConsumer([run_of(3)], [], [run_of(2, 3)])
    told = consume(client)
    told.wait(lambda: len(told.of("commit")) == 2)
    told.end()
    assert told.kinds("handled", "commit") == [*["handled"] * 3, "commit", *["handled"] * 2, "commit"]
    assert [event["offsets"] for event in told.of("commit")] == [[["orders-0", 3]], [["orders-0", 5]]]
    assert [event["busy"] for event in told.of("busy")] == [True, False] * 2
    assert [event["positions"] for event in told.of("positions")] == [{"orders-0": 3}, {"orders-0": 5}]
    first = told.of("handled")[0]
    del first["at"]
    assert first == {"e": "handled", "partition": "orders-0", "offset": 0, "producer": 0, "number": 0, "effect": True}


def test_before_processing_commits_first() -> None:
    told = consume(FakeConsumer([run_of(2)]), commit="before-processing")
    told.wait(lambda: len(told.of("handled")) == 2)
    told.end()
    assert told.kinds("handled", "commit") == ["commit", "handled", "handled"]


def test_what_could_not_be_committed_first_is_not_handled() -> None:
    client = FakeConsumer([run_of(2)], [run_of(1, first=2)])
    client.error = "CommitFailedException"
    told = consume(client, commit="before-processing")
    told.wait(lambda: len(told.of("commit")) == 2)
    told.wait(lambda: [event["busy"] for event in told.of("busy")] == [True, False] * 2)
    told.end()
    assert told.of("handled") == []


def test_with_auto_the_client_commits_and_its_commits_are_told() -> None:
    client = FakeConsumer([run_of(2)])
    told = consume(client, commit="auto")
    told.wait(lambda: told.of("handled"))
    client.happened.append(CommitSeen((("orders-0", 2),), ""))
    told.wait(lambda: told.of("commit"))
    told.end()
    assert "commit" not in client.calls


def test_handling_takes_its_time_by_an_absolute_schedule() -> None:
    told = consume(FakeConsumer([run_of(100)]), processing_ms=2.0)
    told.wait(lambda: len(told.of("handled")) == 100)
    told.end()
    at = [event["at"] for event in told.of("handled")]
    assert 190.0 < at[99] - at[0] < 1000.0  # 198 on a quiet machine
    assert not any(earlier == later for earlier, later in pairwise(at))


@pytest.mark.parametrize("commit", ["after-processing", "worker-threads"])
def test_after_an_idle_time_the_first_record_takes_its_whole_time(commit: str) -> None:
    client = FakeConsumer()
    told = consume(client, commit=commit, threads=1, processing_ms=25.0, poll_timeout_ms=1.0)
    time.sleep(0.04)
    given = told.parent.now()
    client.polls.append([run_of(1)])
    told.wait(lambda: told.of("handled"))
    told.end()
    assert told.of("handled")[0]["at"] >= given + 24.9


def test_nothing_is_polled_while_records_are_in_hand() -> None:
    client, flags = FakeConsumer([run_of(5)]), SlowFlags()
    told = consume(client, flags, dedup="sqlite", poll_timeout_ms=1.0)
    told.wait(lambda: told.of("busy"))
    time.sleep(0.05)
    assert client.calls.count("poll") == 1
    flags.answers.set()
    told.wait(lambda: client.calls.count("poll") > 1)
    told.end()


def test_a_gate_stops_right_after_its_record_until_resume() -> None:
    told = consume(FakeConsumer([run_of(10)]), gates=[4, 104], handled_before=100)
    told.wait(lambda: told.of("reached"))
    time.sleep(0.05)
    assert len(told.of("handled")) == 4
    assert not told.of("commit")
    told.say("resume")
    told.wait(lambda: told.of("commit"))
    told.end()
    assert [event["count"] for event in told.of("reached")] == [104]
    assert len(told.of("handled")) == 10


def test_sigterm_in_poll_wakes_it_up_and_closes() -> None:
    client = FakeConsumer()
    told = consume(client, poll_timeout_ms=60_000.0)
    told.wait(lambda: client.calls)
    told.sigterm()
    told.gone()
    assert client.calls == ["poll", "close"]
    assert [event["partitions"] for event in told.of("assigned")] == [["orders-0"], None]


def test_sigterm_in_the_middle_of_records_lets_them_be_handled_and_committed_first() -> None:
    client = FakeConsumer([run_of(5)], [run_of(5, 5)])
    told = consume(client, processing_ms=10.0)
    told.wait(lambda: told.of("handled"))
    told.sigterm()
    told.gone()
    assert client.calls == ["poll", "commit", "close"]
    assert len(told.of("handled")) == 5


def test_records_that_a_poll_brings_after_sigterm_are_handled_and_committed() -> None:
    client = FakeConsumer()
    told = consume(client, poll_timeout_ms=60_000.0)
    told.wait(lambda: client.calls)
    client.at_last = [run_of(3)]
    told.sigterm()
    told.gone()
    assert client.calls == ["poll", "commit", "close"]
    assert len(told.of("handled")) == 3


def test_at_the_end_of_the_run_records_in_hand_are_left() -> None:
    client = FakeConsumer([run_of(5)])
    told = consume(client, processing_ms=60_000.0)
    told.wait(lambda: told.of("busy"))
    told.end()
    assert client.calls == ["poll", "close"]
    assert not told.of("handled")


def test_a_poll_that_throws_ends_the_loop_and_the_process_waits_for_the_end() -> None:
    client = FakeConsumer([run_of(1)], ConsumerStopped("no offset to start from"))
    told = consume(client)
    told.wait(lambda: told.of("stopped"))
    time.sleep(0.02)
    assert "close" not in client.calls
    told.end()
    assert told.of("stopped")[0]["reason"] == "no offset to start from"
    assert client.calls == ["poll", "commit", "poll", "close"]


def test_jumps_and_assignments_are_told_and_a_position_that_comes_back_is_news() -> None:
    client = FakeConsumer([run_of(2)])
    client.happened = [PositionMoved("orders-0", -1, 0)]
    told = consume(client)
    told.wait(lambda: told.of("positions"))
    client.happened = [PartitionsChanged("revoked", ("orders-0",)), PartitionsChanged("assigned", ("orders-0",))]
    told.wait(lambda: len(told.of("positions")) == 2)
    told.end()
    assert [event["partitions"] for event in told.of("assigned")] == [["orders-0"], None, ["orders-0"], None]
    skipped = told.of("skipped")[0]
    assert (skipped["partition"], skipped["position"], skipped["offset"]) == ("orders-0", -1, 0)


def test_a_refused_commit_is_told_and_the_loop_goes_on() -> None:
    client = FakeConsumer([run_of(1)], [run_of(1, 1)])
    client.error = "ILLEGAL_GENERATION"
    told = consume(client)
    told.wait(lambda: len(told.of("commit")) == 2)
    told.end()
    assert [event["error"] for event in told.of("commit")] == ["ILLEGAL_GENERATION"] * 2


# ---------------------------------------------------------------------------------------------------- worker threads


def test_worker_threads_finish_out_of_order_and_the_loop_does_not_wait_for_them() -> None:
    client = FakeConsumer([run_of(30)])
    told = consume(client, commit="worker-threads", processing_ms=4.0)
    told.wait(lambda: len(told.of("handled")) == 30)
    told.end()
    offsets = [event["offset"] for event in told.of("handled")]
    assert sorted(offsets) == list(range(30))
    assert offsets != sorted(offsets)
    assert told.kinds("handled", "commit")[0] == "commit"
    assert told.of("commit")[0]["offsets"] == [["orders-0", 30]]
    assert [event["busy"] for event in told.of("busy")] == [True, False]


def test_a_worker_takes_between_half_and_one_and_a_half_of_the_time() -> None:
    told = consume(FakeConsumer([run_of(20)]), commit="worker-threads", threads=20, processing_ms=60.0)
    told.wait(lambda: len(told.of("handled")) == 20)
    told.end()
    at = [event["at"] for event in told.of("handled")]
    assert at[0] >= 30.0
    assert at[-1] - at[0] > 30.0


def test_one_worker_thread_finishes_in_order() -> None:
    told = consume(FakeConsumer([run_of(20)]), commit="worker-threads", threads=1, processing_ms=1.0)
    told.wait(lambda: len(told.of("handled")) == 20)
    told.end()
    assert [event["offset"] for event in told.of("handled")] == list(range(20))


@pytest.mark.parametrize("upto", ["highest-finished", "lowest-contiguous"])
def test_workers_commit_only_what_worker_commit_names_and_nothing_twice(upto: str) -> None:
    told = consume(FakeConsumer([run_of(20)]), commit="worker-threads", worker_commit=upto, processing_ms=4.0, poll_timeout_ms=1.0)
    told.wait(lambda: told.of("commit")[-1:] and told.of("commit")[-1]["offsets"] == [["orders-0", 20]])
    told.end()
    committed = [event["offsets"][0][1] for event in told.of("commit")]
    assert committed == sorted(set(committed))
    for place, event in enumerate(told.events):
        if event["e"] == "commit" and upto == "lowest-contiguous":
            before = {earlier["offset"] for earlier in told.events[:place] if earlier["e"] == "handled"}
            assert before >= set(range(event["offsets"][0][1]))


def test_a_track_knows_three_ends() -> None:
    track = _Track(5)
    track.given = 10
    track.finish(7)
    assert [track.upto("polled"), track.upto("highest-finished"), track.upto("lowest-contiguous")] == [10, 8, 5]
    track.finish(5)
    track.finish(6)
    assert [track.upto("highest-finished"), track.upto("lowest-contiguous")] == [8, 8]


class LosesOrders0(FakeConsumer):
    """In its second poll, in which nothing comes."""

    def poll(self, timeout_ms: float, max_records: int) -> list[PolledRun]:
        if self.calls.count("poll") == 1:
            self.happened.append(PartitionsChanged("lost", ("orders-0",)))
        return super().poll(timeout_ms, max_records)


def test_revoked_partitions_are_not_committed_though_their_records_are_handled() -> None:
    client = LosesOrders0([run_of(4), run_of(4, partition="orders-1")], [])
    told = consume(client, commit="worker-threads", worker_commit="highest-finished", processing_ms=400.0, poll_timeout_ms=5.0)
    told.wait(lambda: len(told.of("handled")) == 8)
    told.wait(lambda: ["orders-1", 4] in [offset for event in told.of("commit") for offset in event["offsets"]])
    told.end()
    assert {offset[0] for event in told.of("commit") for offset in event["offsets"]} == {"orders-1"}


def test_at_a_gate_every_worker_stops_and_so_does_the_loop() -> None:
    client = FakeConsumer([run_of(50)])
    told = consume(client, commit="worker-threads", processing_ms=1.0, gates=[10], poll_timeout_ms=1.0)
    told.wait(lambda: told.of("reached"))
    time.sleep(0.03)
    polls = len(client.calls)
    time.sleep(0.05)
    assert len(told.of("handled")) == 10
    assert len(client.calls) == polls
    told.say("resume")
    told.wait(lambda: len(told.of("handled")) == 50)
    told.end()


# ---------------------------------------------------------------------------------------------------- flag store


class NotingFlags:
    """Notes what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._flags = MemoryFlags()

    def lookup(self, group: str, producer: str, n: int) -> bool:
        self.asked.append(f"lookup {group} {producer}/{n}")
        return self._flags.lookup(group, producer, n)

    def mark(self, group: str, producer: str, n: int) -> bool:
        self.asked.append("mark")
        return self._flags.mark(group, producer, n)

    def effect(self, group: str, producer: str, n: int) -> None:
        self.asked.append("effect")
        self._flags.effect(group, producer, n)

    def handle_and_mark(self, group: str, producer: str, n: int) -> bool:
        self.asked.append("both")
        return self._flags.handle_and_mark(group, producer, n)

    def effects(self, group: str) -> dict[RecordId, int]:
        return self._flags.effects(group)

    def close(self) -> None:
        self._flags.close()


@pytest.mark.parametrize(
    ("order", "steps"), [("mark-last", ["effect", "mark"]), ("mark-first", ["mark", "effect"]), ("transaction", ["both"])]
)
@pytest.mark.parametrize("commit", ["after-processing", "worker-threads"])
def test_flags_are_asked_in_the_order_of_the_loop_and_a_repeated_record_has_no_effect(order: str, steps: list[str], commit: str) -> None:
    flags = NotingFlags()
    told = consume(FakeConsumer([run_of(1)], [run_of(1)]), flags, dedup_order=order, commit=commit, threads=1)
    told.wait(lambda: len(told.of("handled")) == 2)
    told.end()
    look = "lookup billing shop/0"
    assert flags.asked == [look, *steps, look]
    assert [event["effect"] for event in told.of("handled")] == [True, False]


def test_a_transaction_that_another_member_won_has_no_effect() -> None:
    class Beaten(MemoryFlags):
        def lookup(self, group: str, producer: str, n: int) -> bool:
            self.mark(group, producer, n)  # meanwhile
            return False

    told = consume(FakeConsumer([run_of(1)]), Beaten(), dedup_order="transaction")
    told.wait(lambda: told.of("handled"))
    told.end()
    assert [event["effect"] for event in told.of("handled")] == [False]


def test_each_access_to_the_store_takes_its_time() -> None:
    told = consume(FakeConsumer([run_of(10)]), MemoryFlags(), dedup_ms=5.0, processing_ms=5.0)
    told.wait(lambda: len(told.of("handled")) == 10)
    told.end()
    at = [event["at"] for event in told.of("handled")]
    assert 9 * 15.0 - 5.0 < at[9] - at[0] < 9 * 15.0 + 500.0


# ---------------------------------------------------------------------------------------------------- processes


class Child:
    """An application in a process of its own."""

    def __init__(self, kind: str, spec: str) -> None:
        command = [sys.executable, application_fakes.__file__, kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.say_line(spec)

    def say_line(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()

    def go(self, **more: int) -> None:
        self.say_line(json.dumps({"do": "go", "zero": time.monotonic(), **more}) + "\n")

    def until(self, kind: str) -> list[dict[str, Any]]:
        """Events up to the first of that kind."""
        assert self.process.stdout is not None
        events: list[dict[str, Any]] = []
        while not events or events[-1]["e"] != kind:
            line = self.process.stdout.readline()
            assert line, events
            events.append(json.loads(line))
        return events


@pytest.fixture
def child() -> Iterator[Callable[[str, str], Child]]:
    made: list[Child] = []

    def make(kind: str, spec: str) -> Child:
        made.append(Child(kind, spec))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()


def test_a_producing_process_waits_for_go_begins_where_go_says_and_closes_on_sigterm(child: Callable[[str, str], Child]) -> None:
    application = child("producing", to_line(producer_spec(10)))
    assert [event["e"] for event in application.until("ready")] == ["ready"]
    application.go(first=4, sent_before=4)
    assert application.until("started")[-1] == {"e": "started"}
    sent = application.until("sent")[-1]
    assert (sent["first"], sent["last"]) == (4, 10)
    os.kill(application.process.pid, signal.SIGTERM)
    assert application.until("callback")[-1]["numbers"] == [[4, 9]]
    assert application.process.wait(PATIENCE_S) == 0


def test_a_consuming_process_leaves_poll_on_sigterm(child: Callable[[str, str], Child]) -> None:
    application = child("consuming", to_line(consumer_spec(poll_timeout_ms=60_000.0)))
    application.until("ready")
    application.go()
    assert sum(event["e"] == "handled" for event in application.until("commit")) == 1000
    os.kill(application.process.pid, signal.SIGTERM)
    assert application.process.wait(PATIENCE_S) == 0


def test_a_paused_process_does_not_make_up_for_the_pause(child: Callable[[str, str], Child]) -> None:
    application = child("consuming", to_line(consumer_spec(processing_ms=5.0)))
    application.until("ready")
    application.go()
    first = application.until("handled")[-1]
    os.kill(application.process.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(application.process.pid, signal.SIGCONT)
    at = [first["at"], *(application.until("handled")[-1]["at"] for _ in range(20))]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert max(gaps) > 200.0
    assert sum(gap < 2.5 for gap in gaps) < 15


@pytest.mark.parametrize("kind", ["producing", "consuming"])
def test_a_standby_that_is_not_needed_leaves_and_one_without_a_parent_does_too(child: Callable[[str, str], Child], kind: str) -> None:
    spec = to_line(producer_spec(10) if kind == "producing" else consumer_spec())
    dismissed, orphaned = child(kind, spec), child(kind, spec)
    dismissed.until("ready")
    dismissed.say_line('{"do": "end"}\n')
    assert dismissed.process.wait(PATIENCE_S) == 0
    orphaned.until("ready")
    assert orphaned.process.stdin is not None
    orphaned.process.stdin.close()
    assert orphaned.process.wait(PATIENCE_S) == 1
