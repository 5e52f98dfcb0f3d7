"""The simulator against formulas that need no simulator. Each test says what bound it sets and why; the broken rules at the end show
that the bounds bite.

Numbers O1 … O9 are only names of the formulas, so that a failure can be spoken of.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from closed_forms import (
    CALM_NETWORK,
    LEADER,
    ONE_AT_A_TIME,
    QUICK_SESSION,
    SIGNIFICANCE,
    UNBATCHED,
    Observed,
    backoffs,
    batch_bytes,
    batch_size_probabilities,
    batches_and_waits,
    chi_square_p,
    committed_offsets,
    copies_probabilities,
    crashes,
    every_phase,
    extra_copies,
    fault_window,
    fencing_delay,
    fencing_delays,
    first_after,
    first_wait,
    heard_of_it,
    hearing_delay,
    ks_p,
    latencies,
    mean_agrees,
    observe,
    observe_many,
    scenario,
    uniform,
    zombie,
    zombie_loss,
)
from scipy import stats

from kafkasim.protocol import backoff as backoff_module
from kafkasim.protocol import controller as controller_module
from kafkasim.protocol.broker_lifecycle import BrokerLifecycleManager
from kafkasim.protocol.errors import Error
from kafkasim.protocol.producer_batch import ProducerBatch
from kafkasim.protocol.replica_manager import ReplicaManager
from kafkasim.scenario import Scenario

# ---------------------------------------------------------------------------------------------------- O1: batching

RATE, LINGER, FULL = 0.8, 5, 6  # records a ms, ms, records a batch


def poisson_batches(spare_bytes: int) -> Observed:
    config = {"acks": 1, "linger.ms": LINGER, "batch.size": batch_bytes(FULL, 100) + spare_bytes}
    return observe(scenario({"records": 10_000, "rate": RATE * 1000, "arrivals": "poisson", "config": config}), seed=1)


def sizes_p(sizes: list[int]) -> float:
    """Batches begin anew with each first record, so their sizes are independent, as the chi-square test wants them."""
    return chi_square_p([sizes.count(size) for size in range(1, FULL + 1)], batch_size_probabilities(RATE, LINGER, FULL))


def test_the_formulas_of_batching_give_the_numbers_they_are_known_for() -> None:
    probabilities = batch_size_probabilities(RATE, LINGER, FULL)
    assert sum(size * p for size, p in enumerate(probabilities, start=1)) == pytest.approx(4.5897, abs=1e-4)
    assert first_wait(RATE, LINGER, FULL - 1)[0] == pytest.approx(4.487, abs=1e-3)


def test_o1_batches_that_records_fill_to_the_byte_go_with_the_last_one() -> None:
    sizes, waits = batches_and_waits(poisson_batches(spare_bytes=0))
    assert sizes_p(sizes) > SIGNIFICANCE
    assert mean_agrees(waits, *first_wait(RATE, LINGER, FULL - 1))


def test_o1_with_one_byte_to_spare_a_full_batch_goes_only_when_the_next_record_does_not_fit() -> None:
    sizes, waits = batches_and_waits(poisson_batches(spare_bytes=1))
    assert sizes_p(sizes) > SIGNIFICANCE
    assert mean_agrees(waits, *first_wait(RATE, LINGER, FULL))
    assert not mean_agrees(waits, *first_wait(RATE, LINGER, FULL - 1))  # a quarter of a ms less: far outside the interval


# ---------------------------------------------------------------------------------------------------- O2: copies by retries

Q, SENT = 0.3, 1500  # the chance that an answer is lost; records, one a batch and one in flight, for a reset breaks all in flight


def lossy_answers(**config: object) -> Observed:
    drop = {"at": "0s", "fault": "drop-responses", "node": LEADER, "from": "producer(shop)", "probability": Q, "for": "600s"}
    return observe(scenario({"records": SENT, "rate": 3, "config": {**ONE_AT_A_TIME, "acks": "all", **config}}, faults=[drop]), seed=1)


def test_o2_lost_answers_copy_a_batch_geometrically_often_without_idempotence() -> None:
    extra = extra_copies(lossy_answers())
    probabilities = copies_probabilities(Q, 20)
    assert chi_square_p([extra.count(copies) for copies in range(21)], probabilities) > SIGNIFICANCE
    assert mean_agrees(extra, Q / (1 - Q), Q / (1 - Q) ** 2)  # mean and variance of a geometric number of failures


def test_o2_with_r_retries_there_are_at_most_r_copies_and_q_to_the_r_plus_1_are_given_up_though_written() -> None:
    observed = lossy_answers(retries=3)
    extra = extra_copies(observed)
    assert chi_square_p([extra.count(copies) for copies in range(4)], copies_probabilities(Q, 3)) > SIGNIFICANCE
    assert sum(extra) / SENT == pytest.approx(sum(Q**i for i in (1, 2, 3)), abs=0.1)
    # No fault can lose a request without its connection, so the formula of loss shows as that of reports of loss.
    assert stats.binomtest(observed.report.failed, SENT, Q**4).pvalue > SIGNIFICANCE
    assert observed.report.failed_but_written == observed.report.failed > 0


def test_o2_idempotence_leaves_no_copy() -> None:
    observed = lossy_answers(**{"enable.idempotence": True})
    assert observed.report.log_duplicates == 0
    assert len(observed.events("BatchRetried")) > 0.3 * SENT  # and not because nothing was lost


# ---------------------------------------------------------------------------------------------------- O3: acks=1, crash


def test_o3_an_acks_1_crash_loses_what_came_since_the_last_served_fetch_uniform_over_a_fetch_cycle() -> None:
    links = {f"broker-{a}>broker-{b}": {"latency.ms": 100, "jitter.ms": 0} for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    crash = {"at": "0s", "fault": "crash", "node": LEADER, "for": "2s", "as": "kill"}
    base = scenario(
        {"records": 350, "rate": 500, "config": {"acks": 1, **UNBATCHED}}, brokers=QUICK_SESSION, network={"links": links}, faults=[crash]
    )
    lost = [observe(base.with_({"faults.kill.at": at}), seed=1).report.acked_lost for at in every_phase(400, 200, 40)]
    # A cycle is the 200 ms of a round trip between brokers: at 500 records a second, U(0, 100) records.
    assert ks_p(lost, uniform(0, 100)) > SIGNIFICANCE
    assert np.mean(lost) == pytest.approx(50, abs=2)  # the instants cover a cycle evenly: what is left is rounding to records, not chance


def test_o3_on_a_fast_network_that_is_a_record_or_two_and_not_seconds_worth() -> None:
    crash = {"at": "200ms", "fault": "crash", "node": LEADER, "for": "2s"}
    base = scenario({"records": 500, "rate": 2000, "config": {"acks": 1, **UNBATCHED}}, brokers=QUICK_SESSION, faults=[crash])
    # A round trip takes at most 0.8 ms, in which 2 records come; a third may be on the edge of either end.
    assert max(observed.report.acked_lost for observed in observe_many(base, 10)) <= 3


# ---------------------------------------------------------------------------------------------------- O4: acks=1, zombie

CUTS = {"from followers and controller": ["brokers", "controller"], "from the controller only": ["controller"]}


@pytest.mark.parametrize("cut_from", CUTS.values(), ids=CUTS)
def test_o4_a_zombie_loses_rate_times_window_until_it_hears_that_it_is_one(cut_from: list[str]) -> None:
    for observed in observe_many(zombie(cut_from, "3s"), 6):
        # Within 2 records: one on the edge of either end of the window.
        assert observed.report.acked_lost == pytest.approx(zombie_loss(observed, cut_from, heard_of_it(observed)), abs=2)


def hearing_delays(lasts: str) -> list[float]:
    base = zombie(["brokers", "controller"], lasts).with_({"network.latency.ms": 1, "network.jitter.ms": 0})
    seen = [observe(base.with_({"faults.zombie.at": at}), seed=1) for at in every_phase(1000, 502, 25)]
    return [heard_of_it(observed) - fault_window(observed)[1] for observed in seen]


@pytest.mark.parametrize("lasts", [2, 4, 4.5])
def test_o4_it_hears_of_it_only_when_it_has_connected_to_the_controller_anew(lasts: float) -> None:
    """Which it does only when its kernel next sends the SYN again that the cut has swallowed."""
    delays, expected = hearing_delays(f"{lasts}s"), hearing_delay(one_way_ms=1, cut_ms=1000 * lasts)
    assert ks_p(delays, expected) > SIGNIFICANCE
    assert expected.ppf(0) <= min(delays)
    assert max(delays) <= expected.ppf(1)


@pytest.mark.parametrize("cut_from", CUTS.values(), ids=CUTS)
def test_o4_or_until_the_client_refreshes_its_metadata_from_a_broker_that_knows(cut_from: list[str]) -> None:
    """A refresh may ask the zombie itself, and then changes nothing: it still believes that it leads."""
    from_zombie = 0
    for observed in observe_many(zombie(cut_from, "5s", **{"metadata.max.age.ms": 1500}), 12):
        cut, _ = fault_window(observed)
        elected = first_after(observed, "LeaderElected", cut)
        assert elected is not None, "the cut outlasts the session, so there is a new leader"
        refreshed = [entry for entry in observed.events("MetadataRefreshed") if entry.node == "shop" and entry.at > elected]
        knowing = [entry.at for entry in refreshed if entry.event.source != "broker-1"]
        from_zombie += not knowing or knowing[0] > refreshed[0].at
        until = min([heard_of_it(observed), *knowing])
        # At the switch a record may wait for the connection to the new leader, which costs or saves one more.
        assert observed.report.acked_lost == pytest.approx(zombie_loss(observed, cut_from, until), abs=3)
    assert 0 < from_zombie < 12


@pytest.mark.parametrize("cut_from", CUTS.values(), ids=CUTS)
def test_o4_a_cut_that_does_not_outlast_the_session_loses_nothing(cut_from: list[str]) -> None:
    # The last heartbeat is at most 200 ms old when the cut begins: up to 799 ms, no session of 1 s can end.
    for observed in observe_many(zombie(cut_from, "790ms"), 6):
        assert (observed.report.acked_lost, observed.events("BrokerFenced")) == (0, [])


# ---------------------------------------------------------------------------------------------------- O5: failover time


@pytest.mark.parametrize("node", [LEADER, "broker(3)"])
@pytest.mark.parametrize(("session_ms", "heartbeat_ms"), [(9000, 2000), (1000, 200)])
def test_o5_a_killed_broker_is_fenced_when_its_session_is_over_and_the_controller_looks(
    session_ms: int, heartbeat_ms: int, node: str
) -> None:
    delays = fencing_delays(observe_many(crashes(session_ms, heartbeat_ms, node), 100))
    expected = fencing_delay(session_ms, heartbeat_ms, one_way_ms=1)
    assert ks_p(delays, expected) > SIGNIFICANCE
    assert expected.ppf(0) <= min(delays)
    assert max(delays) <= expected.ppf(1)


def test_o5_a_controlled_shutdown_moves_its_leaderships_at_once() -> None:
    stop = {"at": "1s", "fault": "shutdown", "node": LEADER, "for": "3s"}
    for observed in observe_many(scenario({"records": 1}, network=CALM_NETWORK, faults=[stop]), 10):
        elected = first_after(observed, "LeaderElected", 999)
        # One way to the controller for the heartbeat that asks; two more before it, should another one be on its way just then.
        assert elected is not None
        assert 0.99 <= elected - 1000 <= 3.01


# ---------------------------------------------------------------------------------------------------- O6: ISR shrink


def test_o6_a_follower_cut_off_from_its_leader_leaves_the_isr_after_one_to_one_and_a_half_lags() -> None:
    lag = 6000
    cut = {"at": "1400ms", "fault": "partition", "node": "follower(orders-0)", "from": LEADER, "for": "12s"}
    producer = {"records": 15, "rate": 2, "config": {"acks": 1, **UNBATCHED}}
    base = scenario(producer, network=CALM_NETWORK, brokers={"replica.lag.time.max.ms": lag}, faults=[cut])
    # The record of 1000 ms answers the follower's fetch at 1001, and the next fetch, its last, arrives at 1003.
    after_last_fetch = [_shrink(observed) - 1003 for observed in observe_many(base, 100)]
    assert ks_p(after_last_fetch, uniform(lag, 1.5 * lag)) > SIGNIFICANCE
    assert lag <= min(after_last_fetch)
    assert max(after_last_fetch) <= 1.5 * lag


def _shrink(observed: Observed) -> float:
    at = first_after(observed, "IsrShrinkProposed", 0)
    assert at is not None, "the follower is out of sync for longer than anybody waits"
    return at


@pytest.mark.parametrize(
    ("config", "duplicates"),
    [
        ({"enable.idempotence": False}, True),  # request.timeout.ms = replica.lag.time.max.ms = 30 s
        ({"enable.idempotence": False, "request.timeout.ms": 60_000}, False),
        ({}, False),
    ],
    ids=["a request times out before the ISR shrinks", "a request outlasts the shrink", "idempotence"],
)
def test_o6_duplicates_the_requests_in_flight_where_these_time_out_before_the_isr_shrinks(config: dict, duplicates: bool) -> None:
    cut = {"at": "2s", "fault": "partition", "node": "follower(orders-0)", "from": LEADER, "for": "50s"}
    base = scenario({"records": 200, "rate": 20, "config": {"acks": "all", **config}}, faults=[cut])
    for observed in observe_many(base, 6):
        assert (observed.report.log_duplicates > 0) == duplicates
        assert observed.report.latency_ms["max"] > 28_000  # and not because nothing had to wait


# ---------------------------------------------------------------------------------------------------- O7: commits, consumer crash


def consumer_crash(commit: str, poll_records: int, processing_ms: float, at: str, records: int, **config: object) -> Scenario:
    """A backlog that keeps the consumer busy, and a crash in the middle of it."""
    consumer = {
        "commit": commit,
        "processing.ms": processing_ms,
        "config": {"auto.offset.reset": "earliest", "max.poll.records": poll_records, "session.timeout.ms": 6000, **config},
    }
    crash = {"at": at, "fault": "crash", "node": "consumer(billing-0)", "for": "1s", "as": "kill"}
    return scenario({"records": records, "rate": 5000, "config": {"acks": 1}}, consumer=consumer, faults=[crash])


def test_o7_auto_commit_repeats_what_was_handled_since_the_last_commit_uniform_over_the_interval() -> None:
    interval, poll = 1000, 10 * 2.1
    base = consumer_crash("auto", 10, 2.1, "1500ms", 900, **{"auto.commit.interval.ms": interval})
    runs = list(observe_many(base, 100))
    repeated_ms = [observed.report.groups["billing"].reprocessed * 2.1 for observed in runs]
    cycle = math.ceil(interval / poll) * poll  # a commit waits for the next poll
    assert ks_p(repeated_ms, uniform(0, cycle)) > SIGNIFICANCE
    assert mean_agrees(repeated_ms, cycle / 2, cycle**2 / 12)
    assert all(observed.report.groups["billing"].lost == 0 for observed in runs)  # Java's auto-commit is at least once


def test_o7_auto_commit_is_quantised_to_polls_so_polls_longer_than_the_interval_repeat_half_a_poll() -> None:
    base = consumer_crash("auto", 200, 2, "0s", 2000, **{"auto.commit.interval.ms": 100})
    runs = [observe(base.with_({"faults.kill.at": at}), seed=1) for at in every_phase(2500, 400, 30)]
    repeated = [observed.report.groups["billing"].reprocessed for observed in runs]
    assert ks_p(repeated, uniform(0, 200)) > SIGNIFICANCE
    assert np.mean(repeated) == pytest.approx(100, abs=200 / 30)  # no more than one step of the instants
    steps = {after - before for before, after in zip(_full_polls(runs[0]), _full_polls(runs[0])[1:], strict=False)}
    assert steps == {200}


def _full_polls(observed: Observed) -> list[int]:
    """Commits of the crashed process after its first polls, which found less than they asked for."""
    crash, _ = fault_window(observed)
    before = len({commit.offset for commit in observed.ledger.commits if commit.at < crash})
    return committed_offsets(observed)[4:before]


def test_o7_commit_before_processing_loses_half_a_poll_on_average_when_polls_are_full() -> None:
    base = consumer_crash("before-processing", 100, 4, "0s", 2000)
    runs = [observe(base.with_({"faults.kill.at": at}), seed=1) for at in every_phase(5000, 400, 30)]
    lost = [observed.report.groups["billing"].lost for observed in runs]
    assert ks_p(lost, uniform(0, 100)) > SIGNIFICANCE
    assert np.mean(lost) == pytest.approx(50, abs=100 / 30)  # no more than one step of the instants
    assert all(observed.report.groups["billing"].reprocessed == 0 for observed in runs)  # at most once


# ---------------------------------------------------------------------------------------------------- O8: latency of acks=all


@pytest.mark.parametrize(("client", "near", "far"), [(10, 20, 50), (5, 30, 30), (40, 1, 2)])
def test_o8_acks_all_takes_a_round_trip_of_the_client_and_one_to_the_slowest_follower(client: int, near: int, far: int) -> None:
    ends = {"shop": client, "broker-2": near, "broker-3": far}
    ways = [(f"{end}>broker-1", ms) for end, ms in ends.items()] + [(f"broker-1>{end}", ms) for end, ms in ends.items()]
    links = {way: {"latency.ms": ms, "jitter.ms": 0} for way, ms in ways}
    base = scenario({"records": 30, "rate": 1, "config": {"acks": "all", **UNBATCHED}}, network={"links": links})
    # A record a second finds the fetches of both followers parked. The first may still wait for a connection. No chance is left.
    assert latencies(observe(base, 1))[1:] == pytest.approx([2 * client + 2 * far] * 29, abs=1e-6)


# ---------------------------------------------------------------------------------------------------- O9: backoff


def one_replica_short(records: int, **config: object) -> Observed:
    """Every attempt fails: those that come before the ISR has shrunk time out, all others are refused with NOT_ENOUGH_REPLICAS."""
    dead = {"at": "0s", "fault": "crash", "node": "broker(3)", "for": "30s"}
    producer = {
        "records": records,
        "rate": 100,
        "config": {**ONE_AT_A_TIME, "acks": "all", "request.timeout.ms": 1000, "retries": 6, **config},
    }
    base = scenario(producer, brokers=QUICK_SESSION, faults=[dead])
    return observe(base.with_({"topics.orders.config.min.insync.replicas": 3}), seed=1)


def all_backoffs() -> list[list[float]]:
    return backoffs(one_replica_short(100, **{"max.in.flight.requests.per.connection": 1000}))


def backoff_p(waits: list[list[float]]) -> float:
    """The worst p of the waits that double: each over its 100 · 2^n is U(0.8, 1.2)."""
    return min(ks_p([wait[n] / (100 * 2**n) for wait in waits], uniform(0.8, 1.2)) for n in range(4))


def test_o9_backoffs_double_with_jitter_up_to_a_second() -> None:
    waits = all_backoffs()
    assert {len(wait) for wait in waits} == {6}
    assert len(waits) == 100
    assert backoff_p(waits) > SIGNIFICANCE / 4  # the smallest of four
    late = [ms for wait in waits for ms in wait[4:]]
    # From the fifth on: 1000 · U(0.8, 1.2), cut off at 1000. Half of them are cut; the others are U(800, 1000).
    assert stats.binomtest(late.count(1000.0), len(late), 0.5).pvalue > SIGNIFICANCE
    assert ks_p([ms for ms in late if ms < 1000], uniform(800, 1000)) > SIGNIFICANCE


def test_o9_no_attempt_comes_before_its_backoff_is_over() -> None:
    observed = one_replica_short(1)
    sent = [entry.at for entry in observed.events("BatchSent")]
    retried = [(entry.at, entry.event.backoff_ms) for entry in observed.events("BatchRetried")]
    late = [again - (at + ms) for again, (at, ms) in zip(sent[1:], retried, strict=True)]
    assert len(late) == 6
    assert min(late) >= -1e-6
    assert max(late) <= 2  # the first waits for metadata, too: a round trip


# ---------------------------------------------------------------------------------------------------- broken rules are caught


def test_a_linger_clock_that_restarts_with_every_record_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    append = ProducerBatch.append

    def restarting(self, numbers, times, start, *rest):
        taken = append(self, numbers, times, start, *rest)
        if taken:
            self.last_attempt = times[start + taken - 1]
        return taken

    monkeypatch.setattr(ProducerBatch, "append", restarting)
    assert sizes_p(batches_and_waits(poisson_batches(spare_bytes=0))[0]) < SIGNIFICANCE


def test_a_controller_that_looks_for_stale_sessions_all_the_time_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_module, "STALE_CHECKS_PER_SESSION", 1_000_000)
    delays = fencing_delays(observe_many(crashes(9000, 2000, LEADER), 100))
    assert ks_p(delays, fencing_delay(9000, 2000, one_way_ms=1)) < SIGNIFICANCE


@pytest.mark.parametrize(("constant", "value"), [("MULTIPLIER", 1), ("JITTER", 0.0), ("JITTER", 0.1)])
def test_a_backoff_that_does_not_grow_or_has_other_jitter_is_caught(monkeypatch: pytest.MonkeyPatch, constant: str, value: float) -> None:
    monkeypatch.setattr(backoff_module, constant, value)
    assert backoff_p(all_backoffs()) < SIGNIFICANCE / 4


@pytest.mark.parametrize("cut_from", CUTS.values(), ids=CUTS)
def test_a_zombie_that_steps_down_when_its_session_must_be_over_is_caught(monkeypatch: pytest.MonkeyPatch, cut_from: list[str]) -> None:
    """A lease, which Kafka's brokers do not have."""
    heard: dict[int, float] = {}
    answered, append = BrokerLifecycleManager.heartbeat_answered, ReplicaManager.append_records

    def hearing(self, response, now):
        heard[self._broker_id] = now
        return answered(self, response, now)

    def leased(self, acks, timeout_ms, batches, on_produced, now):
        if now - heard[self._broker_id] > QUICK_SESSION["broker.session.timeout.ms"]:
            return [self._produces.refused(name, Error.NOT_LEADER_OR_FOLLOWER) for name, _ in batches]
        return append(self, acks, timeout_ms, batches, on_produced, now)

    monkeypatch.setattr(BrokerLifecycleManager, "heartbeat_answered", hearing)
    monkeypatch.setattr(ReplicaManager, "append_records", leased)
    observed = observe(zombie(cut_from, "3s"), seed=1)
    assert observed.report.acked_lost < zombie_loss(observed, cut_from, heard_of_it(observed)) - 2
