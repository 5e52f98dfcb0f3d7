"""KIP-279, message by message: after two quick changes of leader, an end offset without its epoch says too much."""

from __future__ import annotations

from pump import Cluster, produce
from transcript import Transcript


def fast_failover(truncation: str) -> tuple[str, list[int], list[int]]:
    """And the records of broker-1 and broker-2. m2 and m3 are committed in the end: below the high watermark, with both in the ISR."""
    cluster = Cluster(2, truncation=truncation)
    cluster.create_topic("orders", replication_factor=2, min_insync_replicas=2)
    transcript = Transcript(cluster)
    cluster.request("shop", "broker-1", produce(1, first=1))
    transcript.note("broker-1 is cut off from broker-2 and from the controller")
    cluster.cut("broker-1", "broker-2", "controller-100")
    cluster.request("shop", "broker-1", produce(2, first=2, count=2, acks=1))
    cluster.advance(12_000)
    for number in (11, 12, 13):
        cluster.request("shop", "broker-2", produce(number, first=number, acks=1))
    transcript.note("broker-2 crashes, and broker-1 is back before it has truncated anything")
    cluster.crash("broker-2")
    cluster.heal()
    cluster.advance(12_000)
    cluster.request("shop", "broker-1", produce(4, first=4, acks=1))
    transcript.note("broker-2 is back")
    cluster.start_broker(2)
    cluster.advance(1_000)
    transcript.note("broker-1 crashes")
    cluster.crash("broker-1")
    cluster.advance(12_000)
    return transcript.text(), cluster.numbers(1), cluster.numbers(2)


KIP_101 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
-- broker-1 is cut off from broker-2 and from the controller
shop -> broker-1  Produce(orders-0, m2 m3, acks=1)
broker-1 -> shop  acknowledged at offset 1
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 1 from offset 1 on
shop -> broker-2  Produce(orders-0, m11, acks=1)
broker-2 -> shop  acknowledged at offset 1
shop -> broker-2  Produce(orders-0, m12, acks=1)
broker-2 -> shop  acknowledged at offset 2
shop -> broker-2  Produce(orders-0, m13, acks=1)
broker-2 -> shop  acknowledged at offset 3
-- broker-2 crashes, and broker-1 is back before it has truncated anything
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1}, ELR {2}
broker-1: leads orders-0 in epoch 2 from offset 3 on
shop -> broker-1  Produce(orders-0, m4, acks=1)
broker-1 -> shop  acknowledged at offset 3
-- broker-2 is back
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1}, ELR {2}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1}
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1}
broker-2 -> broker-1  OffsetsForLeaderEpoch(orders-0, epoch 1)
broker-1 -> broker-2  end offset 3
broker-2: truncates orders-0 from 4 to 3
broker-2 -> broker-1  Fetch(orders-0, offset 3)
broker-1 -> broker-2  m4@3, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 4)
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1 2})
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1 2}
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1 2}
broker-1 -> broker-2  no records, high watermark 4
-- broker-1 crashes
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 3 from offset 4 on
"""

KIP_279 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
-- broker-1 is cut off from broker-2 and from the controller
shop -> broker-1  Produce(orders-0, m2 m3, acks=1)
broker-1 -> shop  acknowledged at offset 1
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 1 from offset 1 on
shop -> broker-2  Produce(orders-0, m11, acks=1)
broker-2 -> shop  acknowledged at offset 1
shop -> broker-2  Produce(orders-0, m12, acks=1)
broker-2 -> shop  acknowledged at offset 2
shop -> broker-2  Produce(orders-0, m13, acks=1)
broker-2 -> shop  acknowledged at offset 3
-- broker-2 crashes, and broker-1 is back before it has truncated anything
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1}, ELR {2}
broker-1: leads orders-0 in epoch 2 from offset 3 on
shop -> broker-1  Produce(orders-0, m4, acks=1)
broker-1 -> shop  acknowledged at offset 3
-- broker-2 is back
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1}, ELR {2}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1}
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1}
broker-2 -> broker-1  OffsetsForLeaderEpoch(orders-0, epoch 1)
broker-1 -> broker-2  epoch 0 ends at 3
broker-2: truncates orders-0 from 4 to 1
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> broker-2  m2@1 m3@2 m4@3, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 4)
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1 2})
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {1 2}
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {1 2}
broker-1 -> broker-2  no records, high watermark 4
-- broker-1 crashes
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 3 from offset 4 on
"""


def test_before_kip_279_the_follower_keeps_records_of_an_epoch_that_the_leader_never_had() -> None:
    assert fast_failover("kip101") == (KIP_101, [1, 2, 3, 4], [1, 11, 12, 4])


def test_with_kip_279_the_answer_names_the_epoch_and_the_follower_cuts_where_both_agree() -> None:
    assert fast_failover("kip279") == (KIP_279, [1, 2, 3, 4], [1, 2, 3, 4])


def test_today_the_same_comes_of_one_fetch() -> None:
    text, one, other = fast_failover("kip595")
    assert one == other == [1, 2, 3, 4]
    assert "broker-1 -> broker-2  the logs part: epoch 0 ends at 3\nbroker-2: truncates orders-0 from 4 to 1\n" in text
