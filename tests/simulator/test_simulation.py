"""A whole run: its phases, its determinism, and what it costs in heap events."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kafkasim.ledger import Ledger
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.simulation import Run
from kafkasim.trace import Trace


def scenario(text: str) -> Scenario:
    return Scenario.loads("topics: {orders: {config: {min.insync.replicas: 2}}}\n" + text)


def steady(records: int, rate: float, commit: str = "auto", linger: int = 5) -> Scenario:
    return scenario(
        f"producers: [{{name: shop, topic: orders, records: {records}, rate: {rate}, "
        f"config: {{linger.ms: {linger}, batch.size: 1000000}}}}]\n"
        f"consumers: [{{group: billing, topics: [orders], commit: {commit}}}]\n"
    )


def played(chosen: Scenario, seed: int = 1) -> tuple[Run, Ledger]:
    ledger = Ledger("simulator", seed, groups=tuple(group.group for group in chosen.consumers))
    one = Run(SimulatedCluster(chosen, seed, ledger, None), None)
    one.all_phases()
    return one, ledger


DIGEST = """
from kafkasim.runner import run
from kafkasim.scenario import Scenario
ledgers = []
for name in ("zombie-leader", "takeover", "lost-responses", "dedup-mark-first"):
    run(Scenario.load(name), 7, keep=ledgers.append)
print([ledger.digest() for ledger in ledgers])
"""


def test_the_same_seed_gives_the_same_ledger_whatever_the_hash_seed() -> None:
    def digests(hash_seed: str) -> str:
        done = subprocess.run([sys.executable, "-c", DIGEST], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True)
        return done.stdout

    assert digests("1") == digests("2") == digests("random")


def test_another_seed_gives_another_ledger() -> None:
    ledgers: list[Ledger] = []
    for seed in (1, 2):
        run(Scenario.load("calm"), seed, keep=ledgers.append)
    assert ledgers[0].digest() != ledgers[1].digest()


def test_the_trace_changes_nothing() -> None:
    ledgers: list[Ledger] = []
    run(Scenario.load("zombie-leader"), 1, keep=ledgers.append)
    run(Scenario.load("zombie-leader"), 1, keep=ledgers.append, trace=Trace())
    assert ledgers[0].digest() == ledgers[1].digest()


@pytest.mark.parametrize(("per_batch", "linger"), [(1, 0), (10, 5), (100, 5)])
def test_a_batch_costs_at_most_12_heap_events(per_batch: int, linger: int) -> None:
    batches = 2000
    rate = 100.0 if per_batch == 1 else (per_batch - 0.5) * 1000 / linger
    one, ledger = played(steady(per_batch * batches, rate, linger=linger))
    made = len({entry.base_offset for entry in ledger.log})
    assert made == pytest.approx(batches, rel=0.02)
    assert one.events_of_workload <= 12 * made


def test_a_commit_costs_at_most_12_heap_events_more() -> None:
    one, ledger = played(steady(2000, 100.0, commit="after-processing", linger=0))
    made = len({entry.base_offset for entry in ledger.log})
    commits = len(ledger.commits)
    assert commits == pytest.approx(made, rel=0.02)
    assert one.events_of_workload <= 12 * made + 12 * commits


def test_an_idle_minute_of_three_brokers_costs_under_3000_events() -> None:
    calm = scenario("producers: [{name: shop, topic: orders, records: 2, rate: 0.016}]\n")
    one, ledger = played(calm)
    assert ledger.ended > 60_000
    assert one.events_of_workload * 60_000 / ledger.ended < 3000


def test_a_run_without_faults_is_never_unavailable_and_delivers_everything_once() -> None:
    for seed in range(1, 6):
        report = run(Scenario.load("calm").with_({"producers.shop.config.linger.ms": seed % 2}), seed)
        assert (report.acked, report.acked_lost, report.log_duplicates, report.unavailable_ms) == (2000, 0, 0, 0.0)
        assert (report.latency_ms["max"] or 0.0) < 50.0


def test_a_group_that_reads_from_latest_misses_nothing_that_was_sent_after_the_warm_up() -> None:
    for seed in range(1, 6):
        report = run(Scenario.load("calm").with_({"consumers.billing.config.auto.offset.reset": "latest"}), seed)
        assert report.groups["billing"].lost == 0


def test_a_when_that_never_comes_true_does_not_hold_the_run_up_and_is_said() -> None:
    never = scenario(
        "producers: [{name: shop, topic: orders, records: 500}]\n"
        "faults: [{when: {sent: 9999, producer: shop}, fault: crash, node: broker(1), as: never}]\n"
    )
    report = run(never)
    assert any("never fired" in note for note in report.notes)
    assert report.acked == 500


def test_progress_strikes_in_the_middle_of_a_batch_of_records() -> None:
    report_of: list[Ledger] = []
    run(Scenario.load("commit-before"), 1, keep=report_of.append)
    handled = [entry for entry in report_of[0].handled if entry.at <= report_of[0].faults[0].fired]
    assert sum(len(entry.numbers) for entry in handled) == 1050


def test_a_fault_without_an_end_lasts_until_the_heal() -> None:
    lasting = scenario("producers: [{name: shop, topic: orders, records: 1000}]\nfaults: [{at: 1s, fault: crash, node: broker(3)}]\n")
    ledgers: list[Ledger] = []
    run(lasting, keep=ledgers.append)
    fault = ledgers[0].faults[0]
    assert fault.fired == pytest.approx(1000.0)
    assert fault.ended is not None
    assert fault.ended >= ledgers[0].sent[-1].times[-1]  # type: ignore[index]


def test_two_processes_paused_by_two_faults_go_on_with_the_last() -> None:
    twice = scenario(
        "producers: [{name: shop, topic: orders, records: 2000, config: {request.timeout.ms: 60000}}]\n"
        "faults:\n"
        "  - {at: 1s, fault: pause, node: leader(orders-0), for: 1s}\n"
        "  - {at: 1500ms, fault: pause, node: leader(orders-0), for: 1500ms}\n"
    )
    ledgers: list[Ledger] = []
    run(twice, keep=ledgers.append)
    late = [entry.at for entry in ledgers[0].callbacks if entry.at > 1010]
    assert min(late) >= 3000.0


def test_what_a_heal_sets_free_is_waited_for() -> None:
    chosen = scenario(
        "cluster: {config: {broker.session.timeout.ms: 60000}}\n"
        "producers: [{name: shop, topic: orders, records: 100, rate: 500, config: {acks: all, retries: 2, enable.idempotence: false,"
        " request.timeout.ms: 500, delivery.timeout.ms: 60000, retry.backoff.ms: 100}}]\n"
        "faults: [{at: 100ms, fault: pause, node: leader(orders-0), for: 10s}]\n"
    )
    ledgers: list[Ledger] = []
    report = run(chosen, keep=ledgers.append)
    healed = ledgers[0].faults[0].ended
    assert healed is not None
    assert ledgers[0].ended >= healed + 1000
    assert report.failed_lost == 0


def test_every_callback_comes_within_the_delivery_timeout() -> None:
    ledgers: list[Ledger] = []
    run(Scenario.load("followers-dead"), keep=ledgers.append)
    sent = ledgers[0].sent[0]
    waits = [entry.at - sent.times[entry.numbers[0]] for entry in ledgers[0].callbacks]  # type: ignore[index]
    assert max(waits) <= 2000 + 10
    assert max(waits) >= 1900


def test_an_application_that_finds_no_offset_stops_and_the_report_says_so() -> None:
    for commit in ("after-processing", "before-processing", "auto", "worker-threads"):
        chosen = Scenario.load("calm").with_(
            {"consumers.billing.config.auto.offset.reset": "none", "consumers.billing.commit": commit, "producers.shop.records": 200}
        )
        report = run(chosen)
        assert report.groups["billing"].processed == 0
        assert any("auto.offset.reset is none" in note for note in report.notes)
