import csv
import io
import json
from types import SimpleNamespace

import pytest

from kafkasim.checks import find_all
from kafkasim.export import consumer_events, log_events, producer_events, read_verifiable, write_csv, write_events
from kafkasim.ledger import Callback, Commit, Handled, Ledger, LogEntry, Sent
from kafkasim.truth import expand


def lossy_ledger():
    ledger = Ledger("simulator", 1, groups=("billing",), ended=50.0)
    ledger.sent = [Sent("shop", range(6), 0.0)]
    ledger.callbacks = [
        Callback("shop", range(4), 5.0, "", "orders-0", 0),
        Callback("shop", range(4, 6), 9.0, "TimeoutException: delivery.timeout.ms", "orders-0", -1),
    ]
    ledger.log = [LogEntry("orders-0", 0, "shop", range(3)), LogEntry("orders-0", 3, "shop", (1, 4))]
    ledger.handled = [Handled("billing", "billing-0", "orders-0", 0, "shop", range(3), 7.0)]
    ledger.commits = [
        Commit("billing", "billing-0", "orders-0", 5, 8.0),
        Commit("billing", "billing-0", "orders-0", 3, 9.0, "ILLEGAL_GENERATION"),
    ]
    return ledger


def lines(events):
    file = io.StringIO()
    write_events(events, file)
    return file.getvalue().splitlines()


def test_events_look_as_kafkas_tools_print_them():
    success = json.loads(lines(producer_events(lossy_ledger(), "shop"))[1])
    assert list(success)[:2] == ["timestamp", "name"]
    expected = {
        "timestamp": 5,
        "name": "producer_send_success",
        "key": None,
        "value": "shop.1",
        "topic": "orders",
        "partition": 0,
        "offset": 1,
    }
    assert success == expected
    consumed = [json.loads(line) for line in lines(consumer_events(lossy_ledger(), "billing"))]
    assert [event["name"] for event in consumed] == ["record_data"] * 3 + ["records_consumed", "offsets_committed", "offsets_committed"]
    assert consumed[3]["partitions"] == [{"topic": "orders", "partition": 0, "count": 3, "minOffset": 0, "maxOffset": 2}]
    assert (consumed[4]["success"], consumed[5]["success"], consumed[5]["error"]) == (True, False, "ILLEGAL_GENERATION")


def test_what_is_written_and_read_again_is_judged_alike():
    ledger = lossy_ledger()
    again = read_verifiable(
        {"shop": lines(producer_events(ledger, "shop"))}, {"billing": lines(consumer_events(ledger, "billing"))}, lines(log_events(ledger))
    )
    assert {entry.error for entry in again.callbacks} == {"", "TimeoutException"}
    names = ("acked_lost", "failed_lost", "failed_but_written", "duplicate_by_retry", "passed_by_commit")
    assert [finding for finding in find_all(again) if finding.name in names] == [
        finding for finding in find_all(ledger) if finding.name in names
    ]
    assert {finding.name for finding in find_all(again)} == {finding.name for finding in find_all(ledger)}


def test_without_a_last_reader_what_was_consumed_is_the_log():
    bare = [
        '{"timestamp":1700,"name":"startup_complete"}',
        '{"timestamp":1701,"name":"producer_send_success","key":null,"value":"0","topic":"my-topic","partition":2,"offset":7}',
        '{"timestamp":1702,"name":"producer_send_error","topic":"my-topic","key":null,"value":"1",'
        '"exception":"class org.apache.kafka.common.errors.TimeoutException","message":"expired"}',
    ]
    read = ['{"timestamp":1800,"name":"record_data","key":null,"value":"0","topic":"my-topic","partition":2,"offset":7}']
    ledger = read_verifiable({"shop": bare}, {"billing": read})
    assert ledger.callbacks[1].error == "TimeoutException"
    assert ledger.log == [LogEntry("my-topic-2", 7, "shop", (0,))]
    assert [finding.name for finding in find_all(expand(ledger))] == ["failed_lost"]


def test_a_record_told_of_twice_was_sent_again():
    line = '{"timestamp":1,"name":"producer_send_success","key":null,"value":"0","topic":"t","partition":0,"offset":%d}'
    ledger = read_verifiable({"shop": [line % 4, line % 5]}, {})
    assert [(entry.producer, entry.numbers) for entry in ledger.resent] == [("shop", (0,))]


@pytest.mark.parametrize("line", ["no json", "[1]", '{"timestamp": 3}'])
def test_a_line_that_is_no_event_is_named(line):
    with pytest.raises(ValueError, match="shop, line 1: this is no event"):
        read_verifiable({"shop": [line]}, {})


def test_a_table_has_one_header_for_runs_that_differ():
    rows = [SimpleNamespace(flat=lambda: {"seed": 1, "acked": 5}), SimpleNamespace(flat=lambda: {"seed": 2, "groups.billing.lost": 3})]
    file = io.StringIO()
    write_csv(rows, file)
    assert list(csv.reader(io.StringIO(file.getvalue()))) == [["seed", "acked", "groups.billing.lost"], ["1", "5", ""], ["2", "", "3"]]
