"""What retention removed from a real partition is known from those who were told of its offsets."""

from kafkasim.cluster.final_log import joined, removed_by_retention
from kafkasim.ledger import Callback, Handled, LogEntry

P0 = "orders-0"


def acked(base_offset, numbers, at=1.0, partition=P0, error=""):
    return Callback("shop", numbers, at, error, partition, base_offset)


def handled(base_offset, numbers):
    return Handled("billing", "billing-0", P0, base_offset, "shop", numbers, 9.0)


def test_neighbours_in_offset_and_number_are_one_entry() -> None:
    places = [(0, "shop", 0), (1, "shop", 1), (2, "web", 2), (3, "shop", 3), (5, "shop", 4)]
    assert list(joined(P0, places)) == [
        LogEntry(P0, 0, "shop", range(2)),
        LogEntry(P0, 2, "web", range(2, 3)),
        LogEntry(P0, 3, "shop", range(3, 4)),
        LogEntry(P0, 5, "shop", range(4, 5)),
    ]


def test_where_all_can_be_read_nothing_was_removed() -> None:
    assert removed_by_retention(P0, 4, [LogEntry(P0, 0, "shop", range(4))], [acked(0, range(4))], []) == ([], 0)


def test_what_was_acknowledged_below_the_logs_start_has_expired() -> None:
    there = [LogEntry(P0, 6, "shop", range(6, 8))]
    callbacks = [acked(0, range(4)), acked(4, range(4, 8)), acked(-1, range(8, 9)), acked(0, range(5), partition="orders-1")]
    assert removed_by_retention(P0, 8, there, callbacks, []) == ([LogEntry(P0, 0, "shop", range(6), expired=True)], 0)


def test_what_was_handled_below_it_has_too_and_of_the_rest_nobody_knows() -> None:
    failed = acked(0, range(2), error="TimeoutException")
    assert removed_by_retention(P0, 4, [], [failed], [handled(1, (7, 8))]) == ([LogEntry(P0, 1, "shop", range(7, 9), expired=True)], 2)


def test_of_two_acknowledgements_of_one_offset_the_later_counts_and_a_consumers_word_more() -> None:
    callbacks = [acked(0, range(5, 8), at=2.0), acked(0, range(3), at=1.0)]
    assert removed_by_retention(P0, 3, [], callbacks, [])[0] == [LogEntry(P0, 0, "shop", range(5, 8), expired=True)]
    entries, unknown = removed_by_retention(P0, 3, [], callbacks, [handled(1, (1,))])
    assert unknown == 0
    assert [(entry.base_offset, list(entry.numbers)) for entry in entries] == [(0, [5]), (1, [1]), (2, [7])]
