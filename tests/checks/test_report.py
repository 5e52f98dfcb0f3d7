"""Judgement: a finding is always reported, and is a violation only where the configuration promised otherwise."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from kafkasim.ledger import Callback, Commit, Diverged, FaultApplied, Handled, Ledger, LogEntry, Resent, Sent, Skipped
from kafkasim.postmortem import print_comparison, print_report, print_summary
from kafkasim.report import Report, make_report, summarise
from kafkasim.scenario import Scenario, ScenarioError

YAML = """
name: lesson
title: a lesson
topics:
  orders: {replication.factor: 3, config: {min.insync.replicas: 2}}
producers:
  - {name: shop, topic: orders, records: 10, config: {acks: all}}
consumers:
  - {group: billing, topics: [orders], commit: after-processing}
"""
CRASH = FaultApplied("0", "crash", ("broker-1",), 10.0, 20.0)
POWER = FaultApplied("1", "power-loss", ("broker-1", "broker-2"), 10.0, 20.0)


def scenario():
    return Scenario.loads(YAML)


def set_(*pairs):
    return Scenario.loads(YAML).with_(dict(pairs))


def ledger(*faults, lost=0, handled=None, drained=True):
    """Ten records acked, all but the last `lost` in the log, all of those handled."""
    kept = range(10 - lost)
    made = Ledger("simulator", 1, groups=("billing",), drained=drained)
    made.sent = [Sent("shop", range(10), 0.0)]
    made.callbacks = [Callback("shop", range(10), 5.0, "", "orders-0", 0)]
    made.log = [LogEntry("orders-0", 0, "shop", kept)]
    made.handled = [Handled("billing", "billing-0", "orders-0", 0, "shop", kept if handled is None else handled, 9.0)]
    made.commits = [Commit("billing", "billing-0", "orders-0", len(kept), 9.5)]
    made.faults = list(faults)
    return made


def verdict(report, promise):
    """held, violated, unknown, or "not promised" with or without a line that says so."""
    return next((item.verdict for item in report.verdicts if item.promise == promise), "not promised")


def test_a_calm_run_keeps_every_promise():
    report = make_report(scenario(), ledger())
    assert not report.violated
    assert {item.verdict for item in report.verdicts} == {"held"}
    assert report.headline == "Of 10 records, none was lost in silence, none was reported lost, and none came twice."


def test_the_headline_names_what_never_reached_a_group_and_what_never_had_its_effect():
    report = make_report(scenario(), ledger(handled=range(8)))
    assert report.headline == "Of 10 records, 2 were in the log but never handled by billing, none was reported lost, and none came twice."
    marked = ledger()
    marked.handled = [marked.handled[0]._replace(numbers=range(9)), marked.handled[0]._replace(numbers=(9,), effect=False)]
    assert "1 never had an effect in billing" in make_report(scenario(), marked).headline


def test_acks_all_promises_that_one_crash_loses_nothing():
    report = make_report(scenario(), ledger(CRASH, lost=3))
    assert (verdict(report, "durability"), report.acked_lost, report.silent_loss_rate) == ("violated", 3, 0.3)


def test_acks_1_promises_nothing_when_a_leader_fails():
    report = make_report(set_(("producers.shop.config.acks", 1)), ledger(CRASH, lost=3))
    assert verdict(report, "durability") == "not promised"
    assert report.not_promised[0].sentence == "acks=1 promises nothing when a leader fails: 3 acked records lost"
    assert report.findings[0].records == ("shop/7..9",)
    assert not report.violated


def test_acks_1_does_promise_something_while_no_leader_fails():
    harmless = FaultApplied("0", "disconnect", ("broker-1",), 1.0, None)
    assert verdict(make_report(set_(("producers.shop.config.acks", 1)), ledger(harmless, lost=3)), "durability") == "violated"


def test_acks_0_never_promises_anything():
    assert verdict(make_report(set_(("producers.shop.config.acks", 0)), ledger()), "durability") == "not promised"


def test_min_insync_replicas_promises_one_power_loss_less():
    one = POWER._replace(nodes=("broker-1",))
    assert verdict(make_report(scenario(), ledger(one, lost=3)), "durability") == "violated"
    assert verdict(make_report(scenario(), ledger(POWER, lost=3)), "durability") == "not promised"
    flushed = set_(("topics.orders.config.flush.messages", 1))
    assert verdict(make_report(flushed, ledger(POWER, lost=3)), "durability") == "violated"


WITHOUT_ELR = [("cluster.features.eligible.leader.replicas.version", 0)], [("kafka", "3.6")]


@pytest.mark.parametrize("changes", WITHOUT_ELR)
def test_without_elr_one_power_loss_is_enough_once_all_others_may_have_left_the_isr(changes):
    power = POWER._replace(nodes=("broker-1",))
    others = CRASH._replace(nodes=("broker-2", "broker-3"))
    cut = FaultApplied("2", "partition", ("broker-2",), 1.0, 5.0)
    for faults, durable in (((power,), True), ((power, CRASH), True), ((power, others), False), ((power, cut), False)):
        report = make_report(set_(*changes), ledger(*faults, lost=3))
        assert verdict(report, "durability") == ("violated" if durable else "not promised"), faults
        assert verdict(report, "consistent-read") == ("held" if durable else "not promised"), faults
    assert report.not_promised[0].sentence == (
        "acks=all with min.insync.replicas=2 without eligible leader replicas promises nothing when the ISR's last member loses power: "
        "3 acked records lost"
    )
    assert report.settings["eligible.leader.replicas.version"] == "0"


@pytest.mark.parametrize("changes", WITHOUT_ELR)
def test_without_elr_a_kill_of_two_and_a_power_loss_of_one_of_them_still_leave_the_third(changes):
    killed = CRASH._replace(nodes=("broker-1", "broker-2"))
    power = POWER._replace(nodes=("broker-1",))
    assert verdict(make_report(set_(*changes), ledger(killed, power, lost=3)), "durability") == "violated"


def test_with_elr_a_power_loss_after_the_others_were_cut_off_must_lose_nothing():
    cut = FaultApplied("2", "partition", ("broker-2", "broker-3"), 1.0, 5.0)
    assert verdict(make_report(scenario(), ledger(cut, POWER._replace(nodes=("broker-1",)), lost=3)), "durability") == "violated"


def test_unclean_election_cannot_be_had_in_3_6_and_so_takes_no_promise_away():
    unclean = set_(("kafka", "3.6"), ("topics.orders.config.unclean.leader.election.enable", True))
    two = CRASH._replace(nodes=("broker-1", "broker-2"))
    assert verdict(make_report(unclean, ledger(two, lost=3)), "durability") == "violated"


def test_a_commit_promises_a_single_handling_only_while_it_is_kept_itself():
    first = ("consumers.billing.commit", "before-processing")
    again = ledger(CRASH, handled=range(10))
    again.handled.append(again.handled[0]._replace(base_offset=9, numbers=(9,), at=11.0))
    assert verdict(make_report(set_(first), again), "at-most-once") == "violated"
    alone = set_(("kafka", "3.6"), ("cluster.config.offsets.commit.required.acks", 1), first)
    report = make_report(alone, again)
    assert verdict(report, "at-most-once") == "not promised"
    assert "offsets.commit.required.acks=1 promises no commit when a coordinator fails: 1 handling again" in [
        line.sentence for line in report.not_promised
    ]
    again.faults = [POWER._replace(nodes=("broker-1",))]
    assert verdict(make_report(set_(first), again), "at-most-once") == "not promised"
    safe = set_(first, ("cluster.config.min.insync.replicas", 2))
    assert verdict(make_report(safe, again), "at-most-once") == "violated"


def test_unclean_election_promises_nothing_once_min_insync_replicas_have_failed():
    unclean = set_(("topics.orders.config.unclean.leader.election.enable", True))
    two = CRASH._replace(nodes=("broker-1", "broker-2"))
    assert verdict(make_report(unclean, ledger(CRASH, lost=3)), "durability") == "violated"
    assert verdict(make_report(unclean, ledger(two, lost=3)), "durability") == "not promised"


def test_duplicates_are_a_violation_only_with_idempotence_and_never_when_the_application_sent_again():
    twice = ledger()
    twice.log.append(LogEntry("orders-0", 10, "shop", (4,)))
    assert verdict(make_report(scenario(), twice), "no-duplicates") == "violated"
    plain = set_(("producers.shop.config.enable.idempotence", False))
    report = make_report(plain, twice)
    assert (verdict(report, "no-duplicates"), report.log_duplicates) == ("not promised", 1)
    twice.resent.append(Resent("shop", (4,), 6.0, False))
    assert verdict(make_report(scenario(), twice), "no-duplicates") == "held"


def test_idempotence_promises_nothing_about_a_retry_that_may_come_after_producer_id_expiration_ms():
    twice = ledger()
    twice.log.append(LogEntry("orders-0", 10, "shop", (4,)))
    report = make_report(set_(("cluster.config.producer.id.expiration.ms", 60_000)), twice)
    assert verdict(report, "no-duplicates") == "not promised"
    [said] = [item.sentence for item in report.not_promised if item.promise == "no-duplicates"]
    assert said.startswith("producer.id.expiration.ms=60000 below delivery.timeout.ms=120000 promises no single copy")
    enough = make_report(set_(("cluster.config.producer.id.expiration.ms", 120_000)), twice)
    assert verdict(enough, "no-duplicates") == "violated"


def test_idempotence_promises_nothing_when_no_replica_was_spared_and_one_was_restarted():
    def judged(*faults):
        twice = ledger(*faults)
        twice.log.append(LogEntry("orders-0", 10, "shop", (4,)))
        return verdict(make_report(scenario(), twice), "no-duplicates")

    paused = FaultApplied("1", "pause", ("broker-2", "broker-3"), 10.0, 20.0)
    assert judged(CRASH) == "violated"
    assert judged(paused, paused._replace(nodes=("broker-1",))) == "violated"
    assert judged(CRASH, paused) == "not promised"


@pytest.mark.parametrize(
    ("in_flight", "idempotent", "expected"), [(5, False, "not promised"), (1, False, "violated"), (5, True, "violated")]
)
def test_order_is_promised_by_idempotence_or_by_one_request_in_flight(in_flight, idempotent, expected):
    swapped = ledger()
    swapped.log = [LogEntry("orders-0", 0, "shop", range(5, 10)), LogEntry("orders-0", 5, "shop", range(5))]
    config = (
        ("producers.shop.config.enable.idempotence", idempotent),
        ("producers.shop.config.max.in.flight.requests.per.connection", in_flight),
    )
    assert verdict(make_report(set_(*config), swapped), "order") == expected


@pytest.mark.parametrize(
    ("commit", "client", "expected"),
    [
        ("after-processing", "java", "violated"),
        ("auto", "java", "violated"),
        ("auto", "librdkafka", "not promised"),
        ("before-processing", "java", "not promised"),
        ("worker-threads", "java", "not promised"),
    ],
)
def test_at_least_once_is_a_matter_of_when_the_offset_is_committed(commit, client, expected):
    config = set_(("consumers.billing.commit", commit), ("consumers.billing.client", client))
    report = make_report(config, ledger(handled=range(8)))
    assert (verdict(report, "at-least-once"), report.groups["billing"].lost) == (expected, 2)


@pytest.mark.parametrize(("reset", "expected"), [("latest", "not promised"), ("earliest", "violated")])
def test_what_a_reset_passes_over_is_no_matter_of_commits(reset, expected):
    skipping = ledger(handled=range(8))
    skipping.skipped = [Skipped("billing", "orders-0", 8, 10, 3.0)]
    report = make_report(set_(("consumers.billing.config.auto.offset.reset", reset)), skipping)
    assert (verdict(report, "nothing-skipped"), verdict(report, "at-least-once")) == (expected, "held")
    assert report.groups["billing"].lost == 2


def test_librdkafka_may_skip_what_it_had_fetched_ahead_where_a_log_is_cut_that_kept_less_than_was_committed():
    skipping = ledger(POWER._replace(nodes=("broker-1",)), handled=range(8))
    skipping.skipped = [Skipped("billing", "orders-0", 8, 10, 3.0)]
    settings = [("topics.orders.config.min.insync.replicas", 1), ("consumers.billing.config.auto.offset.reset", "earliest")]
    told = {
        client: verdict(make_report(set_(*settings, ("consumers.billing.client", client)), skipping), "nothing-skipped")
        for client in ("java", "librdkafka")
    }
    assert told == {"java": "violated", "librdkafka": "not promised"}


def test_another_min_insync_replicas_in_mid_run_takes_the_promise_away_where_brokers_fail():
    altered = Scenario.loads(YAML + "faults: [{at: 1s, fault: alter-config, topic: orders, config: {min.insync.replicas: 3}}]\n")
    done = FaultApplied("0", "alter-config", (), 1.0, 1.0)
    assert verdict(make_report(altered, ledger(done, lost=1)), "durability") == "violated"
    assert verdict(make_report(altered, ledger(done, CRASH, lost=1)), "durability") == "not promised"


def overtaken():
    """Retention has removed the first four of ten, of which the group had handled two; by earliest it went on behind them."""
    evidence = ledger(handled=range(2))
    evidence.handled.append(Handled("billing", "billing-0", "orders-0", 4, "shop", range(4, 10), 9.0))
    evidence.log = [LogEntry("orders-0", 0, "shop", range(4), expired=True), LogEntry("orders-0", 4, "shop", range(4, 10))]
    evidence.skipped = [Skipped("billing", "orders-0", 2, 4, 3.0)]
    return evidence


def test_what_retention_removed_before_a_group_came_to_it_is_lost_to_the_group_and_promised_by_nobody():
    config = set_(("topics.orders.config.retention.ms", 3_000), ("consumers.billing.config.auto.offset.reset", "earliest"))
    report = make_report(config, overtaken())
    assert (report.expired, report.acked_lost, report.groups["billing"].lost) == (4, 0, 2)
    assert (verdict(report, "nothing-skipped"), verdict(report, "at-least-once"), verdict(report, "durability")) == (
        "not promised",
        "held",
        "held",
    )
    [said] = [item.sentence for item in report.not_promised if item.promise == "nothing-skipped"]
    assert said == "retention.ms=3000 may delete what the group has not read: 2 records never handled"
    assert report.settings["topics.orders.retention.ms"] == "3000"


def test_the_settings_that_removed_records_are_named_those_of_size_and_those_of_age():
    by_size = set_(("topics.orders.config.retention.bytes", 1_000), ("consumers.billing.config.auto.offset.reset", "latest"))
    [said] = [item.sentence for item in make_report(by_size, overtaken()).not_promised if item.promise == "nothing-skipped"]
    assert said.startswith("retention.bytes=1000 may delete what the group has not read, and auto.offset.reset=latest begins at the end")
    assert "topics.orders.retention.bytes" not in make_report(by_size, ledger()).settings, "where nothing was removed, it decided nothing"


def test_an_application_that_ends_because_its_offset_is_gone_owes_no_handling():
    ended = overtaken()
    ended.handled, ended.skipped = ended.handled[:1], []
    ended.commits = []
    config = set_(("topics.orders.config.retention.ms", 3_000), ("consumers.billing.config.auto.offset.reset", "none"))
    report = make_report(config, ended)
    assert (verdict(report, "nothing-skipped"), verdict(report, "at-least-once")) == ("not promised", "not promised")
    assert verdict(make_report(scenario(), ended), "at-least-once") == "violated"


def test_a_group_whose_offsets_expired_may_handle_everything_again_and_one_that_was_away_for_less_may_not():
    again = ledger()
    again.commits = [Commit("billing", "billing-0", "orders-0", 10, 9.0)]
    again.handled.append(Handled("billing", "billing-0", "orders-0", 0, "shop", range(10), 70_000.0))
    config = set_(
        ("consumers.billing.commit", "before-processing"),
        ("consumers.billing.config.auto.offset.reset", "earliest"),
        ("cluster.config.offsets.retention.minutes", 1),
    )
    for came_back, expected in ((60_009.0, "not promised"), (60_008.0, "violated")):
        again.skipped = [Skipped("billing", "orders-0", -1, 0, came_back)]
        assert verdict(make_report(config, again), "at-most-once") == expected, came_back


def test_what_an_unfinished_drain_did_not_reach_is_unknown_and_what_a_commit_passed_is_not():
    behind = ledger(handled=range(8), drained=False)
    behind.commits = []
    assert verdict(make_report(scenario(), behind), "at-least-once") == "unknown"
    assert verdict(make_report(scenario(), ledger(handled=range(8), drained=False)), "at-least-once") == "violated"
    assert verdict(make_report(scenario(), behind), "drain") == "violated"


def test_only_the_commit_before_processing_promises_that_nothing_is_handled_again():
    again = ledger()
    again.handled.append(again.handled[0]._replace(numbers=range(3)))
    assert verdict(make_report(set_(("consumers.billing.commit", "before-processing")), again), "at-most-once") == "violated"
    report = make_report(scenario(), again)
    assert verdict(report, "at-most-once") == "not promised"
    assert report.duplication_rate == 0.3


def test_a_commit_is_kept_only_as_well_as_consumer_offsets_keeps_it():
    again = ledger(FaultApplied("0", "power-loss", ("broker-3",), 10.0, 20.0))
    again.handled.append(again.handled[0]._replace(numbers=range(3)))
    assert verdict(make_report(set_(("consumers.billing.commit", "before-processing")), again), "at-most-once") == "not promised"
    two_copies = set_(("consumers.billing.commit", "before-processing"), ("cluster.config.min.insync.replicas", 2))
    assert verdict(make_report(two_copies, again), "at-most-once") == "violated"


@pytest.mark.parametrize(
    ("dedup_order", "expected"), [("mark-first", "violated"), ("mark-last", "not promised"), ("transaction", "violated")]
)
def test_a_flag_set_with_or_before_the_effect_promises_single_effects(dedup_order, expected):
    again = ledger()
    again.handled.append(again.handled[0]._replace(numbers=range(3)))
    config = set_(("consumers.billing.dedup", "sqlite"), ("consumers.billing.dedup.order", dedup_order))
    assert verdict(make_report(config, again), "effects-at-most-once") == expected


def test_a_fault_the_backend_could_not_apply_makes_what_depends_on_it_unknown():
    missing = FaultApplied("outage", "power-loss", ("broker-1",), None, None, supported=False)
    report = make_report(scenario(), ledger(missing))
    assert verdict(report, "durability") == "unknown"
    other = make_report(scenario(), ledger(missing._replace(nodes=("billing-0",))))
    assert (verdict(other, "durability"), verdict(other, "at-least-once")) == ("held", "unknown")


def test_a_producer_that_dies_owes_no_callbacks():
    silent = ledger()
    silent.callbacks = [silent.callbacks[0]._replace(numbers=range(8))]
    assert verdict(make_report(scenario(), silent), "resolution") == "violated"
    silent.faults = [FaultApplied("0", "crash", ("shop",), 3.0, 4.0)]
    assert verdict(make_report(scenario(), silent), "resolution") == "not promised"


def test_a_report_survives_being_saved(tmp_path):
    report = make_report(set_(("producers.shop.config.acks", 1)), ledger(CRASH, lost=3))
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report.to_dict()))
    assert Report.load(path) == report
    assert report.to_dict()["groups"]["billing"]["processed"] == 7


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": []}'])
def test_what_is_no_report_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match="this is no report of one run"):
        Report.load(path)


def test_flat_keys_are_those_of_the_design():
    keys = "sent acked failed unresolved acked_lost failed_lost failed_but_written log_duplicates log_inversions spooled resent expired"
    keys += " groups loss_rate silent_loss_rate duplication_rate latency_ms throughput unavailable_ms"
    keys += " seed scenario_id backend kafka client_versions faults_applied"
    assert set(keys.split()) <= set(make_report(scenario(), ledger()).to_dict())


def test_a_summary_counts_runs_not_records():
    config = set_(("producers.shop.config.acks", 1))
    summary = summarise([make_report(config, ledger(CRASH, lost=lost)) for lost in (0, 0, 4, 2)])
    assert (summary.runs, summary.silent_loss.estimate) == (4, 0.5)
    assert (summary.numbers["acked_lost"].mean.estimate, summary.numbers["acked_lost"].most) == (1.5, 4.0)
    assert summary.headline.startswith("2 of 4 runs lost records in silence")
    assert json.loads(json.dumps(summary.to_dict()))["shares"]["silent_loss"]["estimate"] == 0.5


def printed(show, *what):
    file = io.StringIO()
    show(*what, Console(file=file, width=80, no_color=True))
    return file.getvalue()


def test_the_post_mortem_fits_80_columns_and_ends_with_the_command_that_repeats_it():
    text = printed(print_report, make_report(set_(("producers.shop.config.acks", 1)), ledger(CRASH, lost=3)))
    assert max(map(len, text.splitlines())) <= 80
    assert "acks=1 promises nothing when a leader fails: 3 acked records lost" in " ".join(text.split())
    assert "0.01 s  0.02 s  crash  broker-1" in text
    assert text.endswith("Again: kafkasim run lesson --seed 1 --set producers.shop.config.acks=1\n")


def test_the_command_says_where_the_brokers_were():
    real = replace(ledger(), backend="cluster")
    told = make_report(set_(("producers.shop.config.acks", 1)), real, options=("--command", "kill=stop {id}"))
    assert told.command == "kafkasim replay lesson --seed 1 --set producers.shop.config.acks=1 --command 'kill=stop {id}'"


def test_a_comparison_marks_what_differs():
    reports = [make_report(set_(("producers.shop.config.acks", acks)), ledger(CRASH, lost=lost)) for acks, lost in (("all", 0), (1, 3))]
    lines = printed(print_comparison, *reports).splitlines()
    assert any(line.split() == ["*", "producers.shop.acks", "all", "1"] for line in lines)
    assert any(line.split() == ["*", "acked_lost", "0", "3"] for line in lines)
    assert any(line.split() == ["sent", "10", "10"] for line in lines)


def test_a_summary_prints_its_shares():
    assert "25.0%" in printed(print_summary, summarise([make_report(scenario(), ledger(CRASH, lost=lost)) for lost in (0, 0, 4, 0)]))


def test_a_run_is_drawn_with_its_headline_and_its_loss_in_one_picture():
    from kafkasim.plots import plot_report

    evidence = ledger(CRASH, lost=3)
    report = make_report(set_(("producers.shop.config.acks", 1)), evidence)
    figure = plot_report(report, evidence)
    labels = [text.get_text() for axis in figure.axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    assert "acked, and lost in silence  3" in labels
    assert " ".join(figure.texts[0].get_text().split()) == report.headline
    assert any(text.get_text() == "crash: broker-1" for text in figure.axes[0].texts)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_a_run_without_anything_can_be_drawn_too():
    from kafkasim.plots import plot_report

    empty = Ledger("simulator", 1)
    plot_report(make_report(scenario(), empty), empty).savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize(
    ("generation", "verdicts"),
    [("hw", ("not promised",) * 3), ("kip279", ("not promised",) * 3), ("kip320", ("violated", "violated", "held"))],
)
def test_an_old_generation_of_replication_promises_nothing_once_leaders_change(generation, verdicts):
    old = set_(("cluster.truncation", generation))
    made = ledger(CRASH, lost=1)
    made.diverged = [Diverged("orders-0", 2, 3, "shop", (7,))]
    report = make_report(old, made)
    assert tuple(verdict(report, promise) for promise in ("durability", "agreement", "consistent-read")) == verdicts
    assert report.settings["cluster.truncation"] == generation
    assert verdict(make_report(old, ledger()), "durability") == "held"


def test_two_records_at_one_offset_of_two_replicas_are_no_agreement():
    made = ledger()
    made.diverged = [Diverged("orders-0", 2, 3, "shop", (7,))]
    report = make_report(scenario(), made)
    assert verdict(report, "agreement") == "violated"
    assert [(finding.name, finding.records) for finding in report.findings] == [("diverged", ("shop/7",))]


def test_the_generation_stands_among_the_settings_that_decided_where_it_is_not_todays():
    said = io.StringIO()
    print_report(make_report(set_(("cluster.truncation", "hw")), ledger()), Console(file=said, width=100))
    assert "truncation=hw" in said.getvalue()
    assert "cluster.truncation" not in make_report(scenario(), ledger()).settings
