import time
import tracemalloc

import pytest

from kafkasim import measures
from kafkasim.ledger import Callback, Handled, Ledger, LogEntry, Resent, Sent, Spooled
from kafkasim.truth import expand


def made(*, drained=True, groups=(), **lists):
    return expand(Ledger("simulator", 1, groups=groups, drained=drained, ended=60_000.0, **lists))


def callback(numbers, at, error=""):
    return Callback("shop", numbers, at, error, "orders-0", -1)


def handled(group, numbers, effect=True):
    return Handled(group, f"{group}-0", "orders-0", 0, "shop", numbers, 9.0, effect)


def test_a_record_counts_once_by_its_last_outcome():
    truth = made(
        sent=[Sent("shop", range(10), 0.0)],
        callbacks=[callback(range(8), 5.0, "TimeoutException"), callback(range(5), 9.0)],
        spooled=[Spooled("shop", range(5), 5.0)],
        resent=[Resent("shop", range(5), 6.0, True), Resent("shop", (7,), 6.0, False)],
        log=[LogEntry("orders-0", 0, "shop", range(4)), LogEntry("orders-0", 4, "shop", (0, 6), expired=True)],
    )
    assert measures.record_counts(truth) == {
        "sent": 10, "acked": 5, "failed": 3, "unresolved": 2, "acked_lost": 1, "failed_lost": 4, "failed_but_written": 1,
        "log_duplicates": 1, "log_inversions": 0, "spooled": 5, "resent": 5, "expired": 1,
    }  # fmt: skip


def test_a_group_counts_handlings_and_effects_apart():
    truth = made(
        sent=[Sent("shop", range(5), 0.0)],
        log=[LogEntry("orders-0", 0, "shop", range(4))],
        handled=[handled("billing", range(3)), handled("billing", range(2)), handled("billing", (4,)), handled("billing", (1,), False)],
        groups=("billing",),
    )
    assert measures.group_counts(truth, truth.groups[0]) == measures.GroupCounts(4, 1, 3, 2, 1)


def test_rates_are_those_of_the_worst_group():
    truth = made(
        sent=[Sent("shop", range(10), 0.0)],
        callbacks=[callback(range(8), 5.0)],
        log=[LogEntry("orders-0", 0, "shop", range(8))],
        handled=[handled("billing", range(8)), handled("billing", range(3)), handled("audit", range(6)), handled("audit", (7,), False)],
        groups=("billing", "audit"),
    )
    assert measures.rates(truth) == measures.Rates(loss_rate=0.4, silent_loss_rate=0.2, duplication_rate=0.3)


def test_without_consumers_the_log_is_the_end():
    truth = made(
        sent=[Sent("shop", range(10), 0.0)],
        callbacks=[callback(range(6), 5.0)],
        log=[LogEntry("orders-0", 0, "shop", range(5)), LogEntry("orders-0", 5, "shop", (1,))],
    )
    assert measures.rates(truth) == measures.Rates(loss_rate=0.5, silent_loss_rate=0.1, duplication_rate=0.1)


def test_latency_runs_from_the_first_send_to_the_first_ack():
    truth = made(
        sent=[Sent("shop", range(3), (0.0, 10.0, 20.0))],
        callbacks=[callback((0,), 4.0), callback((1,), 30.0, "TimeoutException"), callback((1,), 50.0), callback((0,), 90.0)],
    )
    assert measures.latency_ms(truth) == {"p50": 22.0, "p99": 39.64, "max": 40.0}
    assert measures.throughput(truth) == 40.0


def test_nothing_acked_has_no_latency():
    assert measures.latency_ms(made(sent=[Sent("shop", range(3), 0.0)])) == {"p50": None, "p99": None, "max": None}


@pytest.mark.parametrize(
    ("sent", "callbacks", "outage"),
    [
        ([0, 500, 1000, 1500], [(0, 10.0), (1, 510.0), (2, 1010.0), (3, 1510.0)], 0.0),  # always served
        ([0, 9000], [(0, 10.0), (1, 9010.0)], 0.0),  # no acks, but nothing waits
        ([0, 100, 200], [(0, 10.0), (1, 4000.0), (2, 4000.0)], 3900.0),  # waits from 100 to 4000
        ([0, 1000, 2000], [(0, 10.0), (1, 1900.0), (2, 2900.0)], 0.0),  # waits for less than a second each
        ([0, 100, 5000], [(0, 10.0), (1, 2100.0, "TimeoutException"), (2, 5010.0)], 2000.0),  # until it failed, then nothing waited
    ],
)
def test_an_outage_is_waiting_without_an_ack_for_over_a_second(sent, callbacks, outage):
    truth = made(sent=[Sent("shop", range(len(sent)), sent)], callbacks=[callback((one[0],), *one[1:]) for one in callbacks])
    assert measures.unavailable_ms(truth) == outage


def test_two_producers_without_acks_at_one_time_are_one_outage():
    sent = [Sent(name, range(2), (0.0, 100.0)) for name in ("shop", "web")]
    callbacks = [Callback(name, (n,), at, "", "orders-0", -1) for name in ("shop", "web") for n, at in ((0, 5.0), (1, 3100.0))]
    assert measures.unavailable_ms(made(sent=sent, callbacks=callbacks)) == 3000.0


def test_what_died_with_its_producer_waits_for_nobody_but_an_unfinished_drain_does():
    lists = {"sent": [Sent("shop", range(2), (0.0, 1.0))], "callbacks": [callback((0,), 5.0)]}
    assert measures.unavailable_ms(made(**lists)) == 0.0
    assert measures.unavailable_ms(made(drained=False, **lists)) == 59_995.0


def test_a_million_records_take_well_under_a_second_and_under_200_bytes_each():
    size, batch = 1_000_000, 500
    ranges = [range(start, start + batch) for start in range(0, size, batch)]
    ledger = Ledger("simulator", 1, groups=("billing",))
    ledger.sent = [Sent("shop", numbers, float(numbers[0])) for numbers in ranges]
    ledger.callbacks = [Callback("shop", numbers, numbers[0] + 5.0, "", "orders-0", numbers[0]) for numbers in ranges]
    ledger.log = [LogEntry("orders-0", numbers[0], "shop", numbers) for numbers in ranges]
    ledger.handled = [Handled("billing", "billing-0", "orders-0", numbers[0], "shop", numbers, 9.0) for numbers in ranges]
    from kafkasim.checks import find_all

    began = time.process_time()
    truth = expand(ledger)
    findings = find_all(truth)
    counts = measures.record_counts(truth), measures.rates(truth), measures.latency_ms(truth), measures.unavailable_ms(truth)
    took = time.process_time() - began
    assert not findings
    assert counts[0]["acked"] == size
    assert took < 2.0, "well under a second on an idle machine; twice that is allowed here"
    tracemalloc.start()
    find_all(expand(ledger))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * size
