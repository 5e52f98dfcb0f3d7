from kafkasim.protocol.assignor import assign_ranges
from kafkasim.protocol.records import TopicPartition


def partitions(topic: str, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, index) for index in range(count)]


def test_the_first_members_by_id_get_one_partition_more() -> None:
    dealt = assign_ranges({"c": ["orders"], "a": ["orders"], "b": ["orders"]}, {"orders": partitions("orders", 7)})
    assert [p.partition for p in dealt["a"]] == [0, 1, 2]
    assert [p.partition for p in dealt["b"]] == [3, 4]
    assert [p.partition for p in dealt["c"]] == [5, 6]


def test_each_topic_is_dealt_out_by_itself_so_that_the_first_member_gets_the_most() -> None:
    dealt = assign_ranges(
        {"a": ["orders", "bills"], "b": ["orders", "bills"]}, {"orders": partitions("orders", 3), "bills": partitions("bills", 3)}
    )
    assert [str(p) for p in dealt["a"]] == ["bills-0", "bills-1", "orders-0", "orders-1"]
    assert [str(p) for p in dealt["b"]] == ["bills-2", "orders-2"]


def test_more_members_than_partitions_leaves_some_without() -> None:
    dealt = assign_ranges({"a": ["orders"], "b": ["orders"]}, {"orders": partitions("orders", 1)})
    assert dealt == {"a": (TopicPartition("orders", 0),), "b": ()}


def test_only_subscribers_of_a_topic_read_it() -> None:
    dealt = assign_ranges({"a": ["bills"], "b": ["orders"]}, {"orders": partitions("orders", 2), "bills": partitions("bills", 1)})
    assert [str(p) for p in dealt["b"]] == ["orders-0", "orders-1"]
    assert [str(p) for p in dealt["a"]] == ["bills-0"]


def test_a_topic_nobody_knows_brings_nothing() -> None:
    assert assign_ranges({"a": ["orders"]}, {}) == {"a": ()}
