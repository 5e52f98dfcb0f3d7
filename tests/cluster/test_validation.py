"""Comparing the simulator with real runs: where the line is drawn, what a file keeps, and what is said about it."""

import io
import json
from dataclasses import replace

import pytest
from cluster.draws import DRAWS, may_be_drawn_again
from rich.console import Console

from kafkasim.ledger import Callback, FaultApplied, Handled, Ledger, LogEntry, Sent
from kafkasim.output_files import OutputError
from kafkasim.plots import plot_validation
from kafkasim.promises import Verdict
from kafkasim.report import make_report
from kafkasim.runner import run_many
from kafkasim.scenario import Scenario, ScenarioError
from kafkasim.validation import Draw, compare_runs, simulate_ranges
from kafkasim.validation_page import in_all, page, print_comparison, print_overview, to_markdown
from kafkasim.validation_records import Recorded, read_all, read_reasons, reasons_at_hand
from kafkasim.validation_rows import allowed, shown

YAML = """
name: lesson
title: a lesson
topics:
  orders: {replication.factor: 3, config: {min.insync.replicas: 2}}
producers:
  - {name: shop, topic: orders, records: 100, config: {acks: all}}
consumers:
  - {group: billing, topics: [orders], commit: after-processing}
faults:
  - {at: 1s, fault: crash, node: leader(orders-0), for: 1s}
"""
CRASH = FaultApplied("fault 0", "crash", ("broker-1",), 10.04, 20.0)


def plain():
    """A hundred records sent, acked, in the log and handled."""
    made = Ledger("simulator", 1, groups=("billing",), drained=True, faults=[CRASH])
    made.sent = [Sent("shop", range(100), 0.0)]
    made.callbacks = [Callback("shop", range(100), 5.0, "", "orders-0", 0)]
    made.log = [LogEntry("orders-0", 0, "shop", range(100))]
    made.handled = [Handled("billing", "billing-0", "orders-0", 0, "shop", range(100), 9.0)]
    return make_report(Scenario.loads(YAML), made)


def report(seed=1, reprocessed=0, faults=(CRASH,), durability="held", **numbers):
    """A report made by hand."""
    base = plain()
    groups = {"billing": replace(base.groups["billing"], reprocessed=reprocessed)}
    verdicts = tuple(replace(item, verdict=durability) if item.promise == "durability" else item for item in base.verdicts)
    return replace(base, seed=seed, groups=groups, faults_applied=tuple(faults), verdicts=verdicts, **numbers)


def compared(simulated, real, key="acked_lost"):
    """The row of `key` for these values of it."""
    sides = ([report(seed, **{key: value}) for seed, value in enumerate(values, 1)] for values in (simulated, real))
    return compare_runs(*sides).row(key)


def recorded(simulated=None, real=None):
    return Recorded.of(
        Scenario.loads(YAML),
        simulated or [report(1), report(2, acked_lost=8)],
        real or [report(7, acked_lost=3), report(8), report(9, acked_lost=5)],
        kafkasim="0.1.0",
        java="17.0.1",
        date="2025-01-31",
        calibration={"network.latency.ms": 0.2},
        commands=["kafkasim validate lesson --runs 3"],
    )


def printed(print_, *arguments):
    stream = io.StringIO()
    print_(*arguments, Console(file=stream, width=100, highlight=False))
    return stream.getvalue()


# ---------------------------------------------------------------------------------------------------- where the line is drawn


@pytest.mark.parametrize(
    ("span", "limits"),
    [
        ((0, 0), (0, 0)),
        ((0, 3), (0, 9)),
        ((5, 60), (0, 66)),
        ((60, 61), (54, 67.1)),
        ((200, 1000), (180, 1100)),
    ],
)
def test_each_bound_is_moved_by_the_larger_of_six_records_and_a_tenth_of_itself(span, limits):
    assert allowed(*span) == pytest.approx(limits)


def test_where_every_seed_says_zero_a_single_record_disagrees():
    assert compared([0, 0], [0, 0]).agrees
    assert compared([0, 0], [0, 1]).outside == (False, True)


def test_what_is_six_records_beyond_the_range_agrees_and_what_is_seven_does_not():
    assert compared([2, 10], [16]).agrees
    assert not compared([2, 10], [17]).agrees
    assert compared([20, 30], [14]).agrees
    assert not compared([20, 30], [13]).agrees


def test_a_number_that_is_constant_in_the_simulator_has_the_same_allowance():
    assert compared([100, 100], [106], key="sent").agrees
    assert not compared([200, 200], [221], key="sent").agrees


def test_a_rate_is_judged_as_so_many_records_of_all_sent():
    assert compared([0.02, 0.02], [0.08], key="loss_rate").agrees
    assert not compared([0.02, 0.02], [0.081], key="loss_rate").agrees
    assert not compared([0.0, 0.0], [0.01], key="loss_rate").agrees


def test_times_are_shown_and_never_judged():
    table = compare_runs([report(unavailable_ms=0.0)], [report(unavailable_ms=9000.0, throughput=1.0)])
    row = table.row("unavailable_ms")
    assert (row.agrees, row.real, row.agreement) == (None, (9000.0,), "this machine's speed")
    assert table.agrees
    assert row not in table.judged


def test_a_number_that_a_backend_could_not_count_is_not_judged_and_says_so():
    row = compared([0, 3], [None, None])
    assert (row.agrees, row.agreement, row.real_words) == (None, "not counted", ("not counted", "not counted"))
    assert compared([None, None], [3]).agrees is None
    assert compared([None, 2], [3]).simulated == (2, 2)
    assert compared([0, 3], [None, 50]).outside == (False, True)


def test_every_count_and_rate_and_promise_of_a_report_has_its_row():
    keys = [row.key for row in compare_runs([report()], [report()]).rows]
    counts = ["sent", "acked", "failed", "unresolved", "acked_lost", "failed_lost", "failed_but_written", "log_duplicates"]
    assert keys[:12] == [*counts, "log_inversions", "spooled", "resent", "expired"]
    assert keys[12:17] == [f"groups.billing.{key}" for key in ("processed", "lost", "reprocessed", "effects_duplicated", "phantom")]
    assert keys[17:20] == ["loss_rate", "silent_loss_rate", "duplication_rate"]
    assert {"latency_ms.p50", "latency_ms.p99", "latency_ms.max", "throughput", "unavailable_ms", "durability of shop"} <= set(keys)


# ---------------------------------------------------------------------------------------------------------------- verdicts


def test_a_real_verdict_must_be_one_that_some_seed_produces():
    seeds = [report(1), report(2, durability="violated")]
    row = compare_runs(seeds, [report(7, durability="violated")]).row("durability of shop")
    assert (row.simulated, row.agrees) == (("held", "violated"), True)
    assert not compare_runs(seeds[:1], [report(7, durability="violated")]).agrees


def test_unknown_for_want_of_a_fault_agrees_visibly_and_any_other_unknown_does_not():
    missing = CRASH._replace(fired=None, ended=None, supported=False)
    table = compare_runs([report()], [report(7, faults=[missing], durability="unknown")])
    assert table.row("durability of shop").agreement == "yes (unknown: a fault could not be applied)"
    assert table.notes == ("Real run with seed 7: crash could not be applied.",)
    assert "could not be applied" in to_markdown(table)
    assert not compare_runs([report()], [report(7, durability="unknown")]).agrees


def test_a_promise_that_one_side_does_not_have_was_not_promised_there():
    more = report(7)
    more = replace(more, verdicts=(*more.verdicts, Verdict("luck", "shop", "held", "")))
    row = compare_runs([report()], [more]).row("luck of shop")
    assert (row.simulated, row.real, row.agrees) == (("not promised",), ("held",), False)
    assert compare_runs([report(), more], [report(7)]).row("luck of shop").agrees


def test_a_fault_that_never_fired_is_said_beside_the_table():
    table = compare_runs([report()], [report(7, faults=[CRASH._replace(fired=None, ended=None)])])
    assert table.notes == ("Real run with seed 7: crash never fired.",)


# ------------------------------------------------------------------------------------------------------------------ faults

NEVER = CRASH._replace(nodes=(), fired=None, ended=None)
NOBODY = CRASH._replace(nodes=())
TWO = CRASH._replace(nodes=("broker-1", "broker-2"))
NOT_APPLIED = CRASH._replace(supported=False)


@pytest.mark.parametrize(
    ("simulated", "real", "agreement"),
    [
        ([CRASH], CRASH, "yes"),
        ([CRASH], NEVER, "no"),
        ([CRASH], NOBODY, "no"),
        ([CRASH], TWO, "no"),
        ([CRASH, NEVER], NEVER, "yes"),
        ([NEVER], CRASH, "no"),
        ([CRASH], NOT_APPLIED, "yes (it could not be applied)"),
        ([NOT_APPLIED], CRASH, "no"),
    ],
)
def test_a_fault_must_strike_as_many_nodes_as_in_some_seed(simulated, real, agreement):
    seeds = [report(seed, faults=[fault]) for seed, fault in enumerate(simulated, 1)]
    table = compare_runs(seeds, [report(7, faults=[real])])
    assert table.row("fault 0").agreement == agreement
    assert table.agrees == agreement.startswith("yes")
    assert ("fault 0" in to_markdown(table).partition("\n\n")[0]) == (simulated != [CRASH] or real != CRASH), "what is special has its line"


def test_a_fault_that_struck_alike_is_one_sentence():
    assert "Struck alike in every seed and every real run: fault 0 (1 node)." in to_markdown(compare_runs([report()], [report(7)]))


def test_a_fault_has_its_row_under_its_name():
    named = CRASH._replace(name="zombie", nodes=())
    table = compare_runs([report()], [report(7, faults=[named])])
    assert [row.key for row in table.rows if row.kind == "fault"] == ["fault 0", "fault zombie"]
    assert table.row("fault 0").to_dict() == {
        "key": "fault 0",
        "kind": "fault",
        "simulated": ["1 node"],
        "real": ["never fired"],
        "judged": True,
        "agrees": False,
    }
    assert table.notes == ("Real run with seed 7: crash hit nobody.",)


def test_a_record_from_before_faults_were_compared_is_read_and_does_not_judge_them(tmp_path):
    document = json.loads(recorded(real=[report(7, faults=[NEVER])]).to_json())
    del document["simulated"]["faults"], document["real"][0]["notes"]
    for key in ("called", "changes", "given", "notes"):
        del document[key]
    (tmp_path / "lesson.json").write_text(json.dumps(document))
    table = Recorded.read(tmp_path / "lesson.json").comparison()
    row = table.row("fault 0")
    assert (row.agrees, row.agreement, row.simulator_words, row.real_words) == (None, "not recorded", "not recorded", ("never fired",))
    assert table.agrees
    assert row not in table.judged


# ------------------------------------------------------------------------------------------------------------------- notes

DRAIN = "the drain was still moving after 90 s: group billing has not read orders-0 to its end"


def test_a_draw_keeps_what_was_noted_in_it_alone_and_the_table_says_it():
    usual = "producers.shop.acks is what it is"
    real = report(7, notes=(DRAIN, "fault 0 never fired: crash of leader(orders-0)", usual))
    record = recorded([report(1, notes=(usual,)), report(2, notes=(usual,))], [real])
    assert record.real[0].notes == (DRAIN,)
    assert record.comparison().notes == (f"Real run with seed 7: {DRAIN}.",)


def test_why_a_fault_was_not_applied_is_said_once():
    why = "fault 0 was not applied: no command was given for kill (--command kill=…)"
    table = recorded([report(1)], [report(7, faults=[NOT_APPLIED], notes=(why,))]).comparison()
    assert table.notes == (f"Real run with seed 7: {why}.",)


# ---------------------------------------------------------------------------------------------------------- a second draw


def test_another_draw_is_for_numbers_and_not_for_ever():
    seeds = [report(1), report(2, acked_lost=8)]
    off = compare_runs(seeds, [report(7, acked_lost=30, log_duplicates=1)])
    assert [row.key for row in off.disagreeing] == ["acked_lost", "log_duplicates"]
    assert may_be_drawn_again([off] * (DRAWS - 1))
    assert not may_be_drawn_again([off] * DRAWS)
    assert not may_be_drawn_again([compare_runs(seeds, [report(7, acked_lost=30, durability="violated")])])
    assert not may_be_drawn_again([compare_runs(seeds, [report(7, faults=[NEVER])])])


# ----------------------------------------------------------------------------------------------------------- what must fit


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="no run"):
        compare_runs([report()], [])
    with pytest.raises(ValueError, match="lesson and other"):
        compare_runs([report()], [replace(report(), name="other")])
    with pytest.raises(ValueError, match="groups differ"):
        simulate_ranges([report(), replace(report(), groups={})])


def test_seeds_are_named_in_ranges():
    assert simulate_ranges([report(seed) for seed in (3, 1, 2, 7, 2)]).seeds == "1..3, 7"


def test_seeds_of_the_simulator_agree_with_other_seeds_of_the_simulator():
    lesson = Scenario.load("pause-duplicates").with_({"producers.shop.records": 2500})
    table = compare_runs(list(run_many(lesson, 3, 1)), list(run_many(lesson, 2, 50)))
    assert table.agrees, [row.key for row in table.disagreeing]
    assert table.row("log_duplicates").simulated != (0, 0)


# ------------------------------------------------------------------------------------------------------------------- files


def test_a_record_comes_back_from_its_file_as_it_was_and_compares_as_its_reports_did(tmp_path):
    thirds = [report(1, loss_rate=1 / 3), report(2, loss_rate=2 / 3)]
    record = recorded(thirds, [report(7, loss_rate=1 / 3)])
    path = record.write(tmp_path)
    assert path == tmp_path / "lesson.json"
    assert Recorded.read(path) == record
    assert read_all(tmp_path) == (record,)
    assert record.comparison() == compare_runs(thirds, [report(7, loss_rate=1 / 3)])
    assert path.stat().st_size < 8000


def test_a_record_says_what_ran():
    record = recorded()
    assert (record.flavours, record.commits, record.faults) == (("java",), ("after-processing",), ("crash",))
    assert record.real[0].faults[0].fired == 10.0
    assert json.loads(record.to_json())["scenario_id"] == Scenario.loads(YAML).scenario_id


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "this is no recorded comparison, as `kafkasim validate --record` writes it"),
        ('{"scenario": "lesson"}', "this is no recorded comparison (title: Field required)"),
    ],
)
def test_a_file_that_holds_something_else_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "lesson.json").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_all(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'lesson.json'}: {sentence}"


@pytest.mark.parametrize(("key", "value"), [("date", "yesterday"), ("real", []), ("kafka", 4.1), ("more", 1), ("scenario", "../x")])
def test_a_record_with_a_wrong_value_is_refused_by_name(tmp_path, key, value):
    document = json.loads(recorded().to_json()) | {key: value}
    (tmp_path / "lesson.json").write_text(json.dumps(document))
    with pytest.raises(ScenarioError, match=rf"this is no recorded comparison \({key}: "):
        Recorded.read(tmp_path / "lesson.json")


def test_a_folder_without_records_and_a_record_under_another_name_are_mistakes(tmp_path):
    with pytest.raises(ScenarioError, match="there is no recorded comparison in it"):
        read_all(tmp_path)
    with pytest.raises(ScenarioError, match="there is no such folder"):
        read_all(tmp_path / "nowhere")
    recorded().write(tmp_path).rename(tmp_path / "other.json")
    with pytest.raises(ScenarioError, match=r"records lesson, so its name is lesson\.json"):
        read_all(tmp_path)


def test_a_record_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "lesson.json").mkdir()
    with pytest.raises(OutputError, match=r"lesson\.json cannot be written: Is a directory"):
        recorded().write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lesson.json"]
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        recorded().write(tmp_path / "nowhere")


def test_text_is_no_number_in_a_record(tmp_path):
    document = json.loads(recorded().to_json())
    document["real"][0]["numbers"]["acked_lost"] = "3"
    (tmp_path / "lesson.json").write_text(json.dumps(document))
    with pytest.raises(ScenarioError, match=r"real\.0\.numbers\.acked_lost"):
        Recorded.read(tmp_path / "lesson.json")


# ----------------------------------------------------------------------------------------------------------------- reasons

WRONG = [report(7, acked_lost=3), report(8, acked_lost=41)]


def reasons_file(tmp_path, text):
    path = tmp_path / "reasons.yaml"
    path.write_text(text)
    return path


def test_a_disagreement_without_a_reason_is_plainly_no_and_one_with_a_reason_says_why(tmp_path):
    record = recorded(real=WRONG)
    table = record.comparison()
    assert table.agreement(table.row("acked_lost")) == "no (0 to 14 accepted)"
    path = reasons_file(tmp_path, "# why\nlesson:\n  acked_lost: Partition.makeLeader waits\n  sent: never shown\n")
    explained = record.comparison(read_reasons(path, [record]))
    assert explained.agreement(explained.row("acked_lost")) == "no (0 to 14 accepted), because Partition.makeLeader waits"
    assert explained.agreement(explained.row("sent")) == "yes"
    assert (explained.agrees, explained.unexplained, table.unexplained) == (False, (), (table.row("acked_lost"),))
    assert [row["reason"] for row in explained.to_dict()["rows"] if row["key"] in {"sent", "acked_lost"}] == [
        None,
        "Partition.makeLeader waits",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lessen: {acked_lost: x}", "reasons.yaml:1: no run of `lessen` is recorded; did you mean `lesson`?"),
        ("lesson:\n  acked_losd: x", "reasons.yaml:2: the table of lesson has no row `acked_losd`; did you mean `acked_lost`?"),
        ("lesson: x", "reasons.yaml:1: `lesson` expects keys with sentences, not 'x'"),
        ("lesson:\n  acked_lost: 3", "reasons.yaml:2: `acked_lost` expects a sentence, which names the rule in Kafka's source"),
    ],
)
def test_a_reason_for_what_is_not_there_is_a_mistake(tmp_path, text, sentence):
    with pytest.raises(ScenarioError) as caught:
        read_reasons(reasons_file(tmp_path, text), [recorded()])
    assert str(caught.value) == sentence


def test_no_file_and_a_file_of_comments_give_no_reasons(tmp_path):
    assert read_reasons(tmp_path / "reasons.yaml", []) == {}
    assert read_reasons(reasons_file(tmp_path, "# nothing disagrees\n"), []) == {}
    assert reasons_at_hand(tmp_path) == {}
    assert reasons_at_hand(tmp_path / "nowhere") == {}


def test_for_a_table_that_is_just_made_every_sentence_counts_whatever_else_the_file_explains(tmp_path):
    reasons_file(tmp_path, "lesson:\n  acked_lost: so it is\n  sent: 3\nlost-scenario:\n  failed: x\nodd: 1\n")
    assert reasons_at_hand(tmp_path) == {"lesson": {"acked_lost": "so it is"}, "lost-scenario": {"failed": "x"}}
    reasons_file(tmp_path, "lesson: [")
    with pytest.raises(ScenarioError, match=r"reasons\.yaml"):
        reasons_at_hand(tmp_path)


# ---------------------------------------------------------------------------------------------------------------- on paper


def test_the_table_for_a_terminal_shows_what_is_not_zero_and_counts_the_rest():
    text = printed(print_comparison, recorded(real=WRONG).comparison())
    assert "acked_lost" in text
    assert "no (0 to 14 accepted)" in text
    assert "failed_lost" not in text
    assert "All other 16 numbers: zero in both." in text
    assert "Held in every seed and every real run: durability of shop" in text


def test_the_overview_counts_over_all_scenarios():
    tables = [recorded().comparison(), recorded(real=WRONG).comparison()]
    judged = len(tables[0].judged)
    agree = f"of {2 * judged} numbers, verdicts and faults {2 * judged - 1} agree and 1 does not"
    sentence = f"2 scenarios, 5 real runs: {agree}, 1 of them without a reason."
    assert in_all(tables) == sentence
    assert sentence in " ".join(printed(print_overview, tables).split())


def test_markdown_marks_the_real_value_that_lies_outside():
    assert "| `acked_lost` | 0 to 8 | 3, **41** | no (0 to 14 accepted) |\n" in to_markdown(recorded(real=WRONG).comparison())


def test_a_bar_in_a_reason_does_not_end_the_cell():
    table = recorded(real=WRONG).comparison({"lesson": {"acked_lost": "a | b"}})
    assert "because a \\| b |" in to_markdown(table)


def test_the_page_is_the_same_for_the_same_records_in_whatever_order():
    first = recorded()
    second = recorded(real=WRONG).model_copy(update={"scenario": "another", "date": "2025-02-01"})
    text = page([first, second], {"another": {"acked_lost": "it is so"}})
    assert text == page([second, first], {"another": {"acked_lost": "it is so"}})
    assert text.index("### another") < text.index("### lesson")
    assert "| 4.1 | 17.0.1 | java 4.1.1, modelled | 0.1.0 | 2025-01-31 to 2025-02-01 | 2 |" in text
    assert "[another](#another) | java | after-processing | crash | 2 |" in text
    assert "| **1** | 0 to 8; 3, **41** | 0; 0, 0 | 0; 0, 0 |" in text
    assert "Calibrated: `network.latency.ms=0.2`." in text
    assert "kafkasim validate lesson --runs 3" in text
    assert "because it is so" in text


def test_the_document_says_of_every_row_whether_it_was_judged():
    document = recorded(real=WRONG).comparison().to_dict()
    assert json.loads(json.dumps(document)) == document
    rows = {row["key"]: row for row in document["rows"]}
    assert rows["acked_lost"] == {
        "key": "acked_lost",
        "kind": "count",
        "simulated": [0, 8],
        "allowed": [0.0, 14.0],
        "real": [3, 41],
        "judged": True,
        "agrees": False,
        "reason": None,
    }
    assert not rows["throughput"]["judged"]
    assert document["disagreeing"] == ["acked_lost"]


def test_small_rates_are_written_without_exponents():
    assert [shown(value) for value in (0.00005, 0.189, 3000, 2999.7, 14.44)] == ["0.00005", "0.189", "3 000", "3 000", "14.4"]


def test_the_picture_shows_what_disagrees_in_another_colour_and_shape():
    figure = plot_validation([recorded().comparison(), recorded(real=WRONG).comparison()])
    markers = [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in {"o", "D"}]
    assert (markers.count("o"), markers.count("D")) == (4, 1)
    assert "In 1 of 2 scenarios" in figure.texts[0].get_text()


def test_the_draw_of_a_report_keeps_only_what_is_compared():
    draw = Draw.of(report(7, acked_lost=3))
    assert draw.numbers["acked_lost"] == 3
    assert "seed" not in draw.numbers
    assert draw.verdicts["durability of shop"] == "held"
