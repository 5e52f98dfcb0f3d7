"""Each check is given a ledger of two to six entries that it must flag, and one that it must not."""

from array import array

import pytest

from kafkasim.checks import CHECKS, find_all
from kafkasim.ledger import Callback, Commit, Diverged, Handled, Ledger, LogEntry, Resent, Sent, Skipped
from kafkasim.scenario_expect import FINDINGS


def ledger(*entries, groups=(), **other):
    made = Ledger("simulator", 1, groups=groups, **other)
    lists = {
        Sent: made.sent, Callback: made.callbacks, Resent: made.resent, Handled: made.handled,
        Commit: made.commits, Skipped: made.skipped, LogEntry: made.log,
        Diverged: made.diverged,
    }  # fmt: skip
    for entry in entries:
        lists[type(entry)].append(entry)
    return made


def sent(numbers, at=0.0):
    return Sent("shop", numbers, at)


def acked(numbers, base_offset=-1, at=5.0):
    return Callback("shop", numbers, at, "", "orders-0", base_offset)


def failed(numbers, definite=False, at=5.0):
    return Callback("shop", numbers, at, "TimeoutException", "orders-0", -1, definite)


def log(base_offset, numbers, producer="shop"):
    return LogEntry("orders-0", base_offset, producer, numbers)


def gone(base_offset, numbers):
    return LogEntry("orders-0", base_offset, "shop", numbers, expired=True)


def handled(base_offset, numbers, member="billing-0", effect=True):
    return Handled("billing", member, "orders-0", base_offset, "shop", numbers, 9.0, effect)


def committed(offset, error=""):
    return Commit("billing", "billing-0", "orders-0", offset, 9.0, error)


def found(name, evidence):
    check = next(check for check in CHECKS if check.name == name)
    return [(finding.of, finding.count, finding.records) for finding in check(evidence)]


def test_every_finding_can_be_expected_of_a_scenario():
    assert tuple(check.name for check in CHECKS) == FINDINGS


BILLING = {"groups": ("billing",)}
FLAGGED = {
    "acked_lost": (
        ledger(sent(range(6)), acked(range(4)), failed(range(4, 6)), log(0, range(2))),
        [("shop", 2, ("shop/2..3",))],
    ),
    "failed_lost": (
        ledger(sent(range(6)), acked(range(2)), failed(range(2, 4)), log(0, range(3))),
        [("shop", 3, ("shop/3..5",))],
    ),
    "failed_but_written": (
        ledger(sent(range(3)), failed(range(2)), log(0, (0, 2))),
        [("shop", 2, ("shop/0", "shop/2"))],
    ),
    "failure_contradicted": (
        ledger(sent(range(3)), failed(range(2), definite=True), failed((2,)), log(0, range(3))),
        [("shop", 2, ("shop/0..1",))],
    ),
    "unresolved": (ledger(sent(range(3)), acked(range(1))), [("shop", 2, ("shop/1..2",))]),
    "never_sent": (ledger(sent(range(1)), log(0, range(3))), [("shop", 2, ("shop/1..2",))]),
    "duplicate_by_retry": (
        ledger(sent(range(4)), acked(range(4)), log(0, range(4)), log(4, (1, 3)), log(6, (1,))),
        [("shop", 3, ("shop/1", "shop/3"))],
    ),
    "duplicate_by_resend": (
        ledger(sent(range(2)), failed((1,)), Resent("shop", (1,), 6.0, True), acked((1,)), log(0, range(2)), log(2, (1,))),
        [("shop", 1, ("shop/1",))],
    ),
    "inversion_by_retry": (
        ledger(sent(range(6)), acked(range(6)), log(0, range(2)), log(2, range(4, 6)), log(4, range(2, 4))),
        [("shop", 1, ("shop/2",))],
    ),
    "inversion_by_resend": (
        ledger(sent(range(4)), failed((1,)), Resent("shop", (1,), 6.0, False), log(0, (0, 2, 3)), log(3, (1,))),
        [("shop", 1, ("shop/1",))],
    ),
    "inconsistent_offsets": (
        ledger(sent(range(4)), acked(range(2), base_offset=7), acked((3,), base_offset=8), log(7, (0, 3))),
        [("orders-0", 1, ("shop/1", "shop/3"))],
    ),
    "diverged": (
        ledger(sent(range(4)), log(0, range(2)), Diverged("orders-0", 2, 0, "shop", (2,)), Diverged("orders-0", 3, 1, "shop", (3,))),
        [("orders-0", 2, ("shop/2..3",))],
    ),
    "unfinished_drain": (ledger(sent(range(1)), drained=False), [("simulator", 1, ())]),
    "skipped_by_reset": (
        ledger(sent(range(4)), log(0, range(4)), Skipped("billing", "orders-0", -1, 2, 3.0), handled(2, range(2, 4)), **BILLING),
        [("billing", 2, ("shop/0..1",))],
    ),
    "overtaken_by_retention": (  # 0 and 1 by an earliest reset, 2 before an application that had ended could come to it
        ledger(sent(range(4)), gone(0, range(3)), log(3, (3,)), Skipped("billing", "orders-0", 0, 2, 3.0), handled(3, (3,)), **BILLING),
        [("billing", 3, ("shop/0..2",))],
    ),
    "passed_by_commit": (
        ledger(sent(range(4)), log(0, range(4)), handled(0, range(1)), committed(3), committed(4, "ILLEGAL_GENERATION"), **BILLING),
        [("billing", 2, ("shop/1..2",))],
    ),
    "not_reached": (
        ledger(sent(range(4)), log(0, range(4)), handled(0, range(1)), committed(3), committed(4, "ILLEGAL_GENERATION"), **BILLING),
        [("billing", 1, ("shop/3",))],
    ),
    "no_effect": (
        ledger(sent(range(2)), log(0, range(2)), handled(0, (0,)), handled(1, (1,), effect=False), **BILLING),
        [("billing", 1, ("shop/1",))],
    ),
    "reprocessed": (
        ledger(sent(range(3)), log(0, range(3)), handled(0, range(3)), handled(1, range(1, 3)), **BILLING),
        [("billing", 2, ("shop/1..2",))],
    ),
    "copies_handled": (
        ledger(sent(range(1)), log(0, (0,)), log(1, (0,)), handled(0, (0,)), handled(1, (0,)), **BILLING),
        [("billing", 1, ("shop/0",))],
    ),
    "effects_duplicated": (
        ledger(sent(range(2)), log(0, range(2)), handled(0, range(2)), handled(0, range(2)), handled(0, (1,), effect=False), **BILLING),
        [("billing", 2, ("shop/0..1",))],
    ),
    "phantom": (ledger(sent(range(2)), log(0, (0,)), handled(0, range(2)), **BILLING), [("billing", 1, ("shop/1",))]),
    "poll_skip": (
        ledger(sent(range(6)), log(0, range(6)), handled(0, range(2)), handled(4, range(4, 6)), **BILLING),
        [("billing", 2, ("shop/2..3",))],
    ),
    "nonmonotonic_poll": (
        ledger(sent(range(4)), log(0, range(4)), handled(0, range(4)), handled(2, range(2, 4)), **BILLING),
        [("billing", 2, ("shop/2..3",))],
    ),
}  # fmt: skip
CLEAN = {
    "acked_lost": ledger(sent(range(2)), acked((0,)), failed((1,)), log(0, (0,))),
    "failed_lost": ledger(sent(range(2)), failed((0,)), acked(range(2)), log(0, (1,))),
    "failed_but_written": ledger(sent(range(2)), failed((0,)), acked((0,)), failed((1,)), log(0, (0,))),
    "failure_contradicted": ledger(
        sent((0, 1)), failed((0,)), Resent("shop", (0,), 6.0, True), failed((0,), definite=True), failed((1,), definite=True), log(0, (0,))
    ),
    "unresolved": ledger(sent(range(2)), acked((0,)), failed((1,))),
    "never_sent": ledger(sent(range(2)), log(0, range(2)), handled(0, range(2)), **BILLING),
    "duplicate_by_retry": ledger(sent((0,)), failed((0,)), Resent("shop", (0,), 6.0, True), log(0, (0,)), log(1, (0,))),
    "duplicate_by_resend": ledger(sent((0,)), acked((0,)), log(0, (0,)), log(1, (0,))),
    # A duplicate behind later records is no inversion: first copies count. Nor is what another partition holds.
    "inversion_by_retry": ledger(sent(range(4)), log(0, range(3)), log(3, (1,)), LogEntry("orders-1", 0, "shop", (3,))),
    "inversion_by_resend": ledger(sent(range(3)), Resent("shop", (2,), 6.0, False), log(0, range(3)), log(3, (2,))),
    "inconsistent_offsets": ledger(sent(range(3)), acked(range(2), base_offset=0), acked((2,)), log(0, range(2)), handled(0, range(2))),
    "diverged": ledger(sent(range(3)), log(0, range(2)), Diverged("orders-1", 2, 1, "shop", (2,))),
    "unfinished_drain": ledger(sent(range(1))),
    "skipped_by_reset": ledger(sent((0,)), log(0, (0,)), Skipped("billing", "orders-0", 5, 0, 3.0), committed(1), **BILLING),
    # What a commit went past was lost before it expired, what was handled is not lost at all, and what lies in the log is not overtaken.
    "overtaken_by_retention": ledger(
        sent(range(4)), gone(0, range(2)), log(2, range(2, 4)), handled(0, range(1)), committed(2), handled(2, range(2, 3)), **BILLING
    ),
    "passed_by_commit": ledger(sent(range(2)), log(0, range(2)), handled(0, range(1)), committed(1), **BILLING),
    "not_reached": ledger(sent((0,)), log(0, (0,)), log(1, (0,)), handled(0, (0,)), **BILLING),
    "no_effect": ledger(sent((0,)), log(0, (0,)), handled(0, (0,), effect=False), handled(0, (0,)), **BILLING),
    "reprocessed": ledger(sent((0,)), log(0, (0,)), log(1, (0,)), handled(0, (0,)), handled(1, (0,)), **BILLING),
    "copies_handled": ledger(sent((0,)), log(0, (0,)), handled(0, (0,)), handled(0, (0,)), **BILLING),
    "effects_duplicated": ledger(sent((0,)), log(0, (0,)), handled(0, (0,)), handled(0, (0,), effect=False), **BILLING),
    "phantom": ledger(sent(range(2)), log(0, range(2)), handled(0, (0,)), **BILLING),
    # Another member's part is no gap in the first one's journey when it never went beyond it; nor are offsets that hold nothing.
    "poll_skip": ledger(sent(range(3)), log(0, range(2)), log(9, (2,)), handled(0, range(2)), handled(9, (2,)), **BILLING),
    "nonmonotonic_poll": ledger(
        sent(range(4)), log(0, range(4)), handled(0, range(4)), handled(2, range(2, 4), member="billing-1"), **BILLING
    ),
}


@pytest.mark.parametrize("name", FLAGGED)
def test_a_check_flags_what_it_is_for(name):
    evidence, expected = FLAGGED[name]
    assert found(name, evidence) == expected


@pytest.mark.parametrize("name", CLEAN)
def test_a_check_leaves_alone_what_it_is_not_for(name):
    assert found(name, CLEAN[name]) == []


def test_each_record_that_a_group_never_handled_has_one_cause() -> None:
    evidence = ledger(
        sent(range(10)),
        gone(0, range(4)),  # 0 passed by a commit; 1 and 2 by a reset; 3 after the reset, and gone before the group came to it
        log(4, range(4, 10)),  # 4 passed by a reset to the end; 5 handled; 6 passed by a commit; 7 to 9 not reached
        Skipped("billing", "orders-0", 1, 3, 1.0),
        Skipped("billing", "orders-0", 4, 5, 2.0),
        handled(5, (5,)),
        handled(3, (3,)),
        committed(7),
        **BILLING,
    )
    causes = ("overtaken_by_retention", "skipped_by_reset", "passed_by_commit", "not_reached")
    assert {name: found(name, evidence)[0][2] for name in causes} == {
        "overtaken_by_retention": ("shop/1..2",),
        "skipped_by_reset": ("shop/4",),
        "passed_by_commit": ("shop/0", "shop/6"),
        "not_reached": ("shop/7..9",),
    }


def test_what_retention_removed_is_lost_to_a_group_and_not_to_the_log() -> None:
    evidence = ledger(sent(range(4)), acked(range(4)), gone(0, range(4)), **BILLING)
    assert found("acked_lost", evidence) == []
    assert found("overtaken_by_retention", evidence) == [("billing", 4, ("shop/0..3",))]


def test_every_check_has_a_ledger_to_flag_and_one_to_leave_alone():
    names = {check.name for check in CHECKS}
    assert names == set(FLAGGED) == set(CLEAN)


def test_every_finding_of_a_broken_ledger_is_found_in_one_go():
    evidence = ledger(sent(range(4)), acked(range(4)), log(0, range(3)), log(3, (0,)), handled(0, range(3)), **BILLING)
    assert [finding.name for finding in find_all(evidence)] == ["acked_lost", "duplicate_by_retry"]


def test_a_group_is_not_blamed_for_a_topic_it_does_not_read():
    evidence = ledger(sent((0,)), log(0, (0,)), groups=("billing",), group_topics=(("payments",),))
    assert found("not_reached", evidence) == []


def test_keyed_records_come_as_arrays_and_count_the_same():
    evidence = ledger(sent(range(6)), acked(array("q", [0, 2, 4]), 0), acked(array("q", [1, 3, 5]), 0), log(0, array("q", [0, 2, 4])))
    assert found("acked_lost", evidence) == [("shop", 3, ("shop/1", "shop/3", "shop/5"))]
