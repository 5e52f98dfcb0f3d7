"""KIP-320, message by message: a follower that lives in an old leader epoch is believed, until its fetches say so."""

from __future__ import annotations

from pump import ORDERS, Cluster, batch, produce
from transcript import Transcript

from kafkasim.protocol.broker import BeginControlledShutdown
from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.messages import ProduceRequest


def m3(correlation_id: int) -> ProduceRequest:
    """Of an idempotent producer, so that the second time it is known as a retry."""
    return ProduceRequest(correlation_id, -1, 600_000, ((ORDERS, batch(3, producer_id=7, sequence=0)),))


def stale_epoch(truncation: str) -> tuple[str, list[int]]:
    """And the records of broker-3, which leads at the end."""
    cluster = Cluster(3, BrokerConfig(broker_session_timeout_ms=60_000), truncation)
    cluster.create_topic("orders", min_insync_replicas=2)
    transcript = Transcript(cluster)
    cluster.request("shop", "broker-1", produce(1, first=1))
    transcript.note("broker-1 writes m2, which broker-3 alone copies, and crashes")
    cluster.cut("broker-1", "broker-2")
    cluster.request("shop", "broker-1", produce(2, first=2, acks=1))
    cluster.crash("broker-1")
    cluster.heal()
    cluster.advance(58_000)
    transcript.note("from here on broker-3 hears nothing from the controller")
    cluster.cut("broker-3", "controller-100")
    cluster.advance(40_000)
    cluster.request("shop", "broker-2", m3(3))
    transcript.note("broker-1 is back")
    cluster.start_broker(1)
    cluster.advance(1_000)
    transcript.note("broker-2 shuts down")
    cluster.call("broker-2", BeginControlledShutdown())
    cluster.crash("broker-2")
    cluster.request("shop", "broker-1", m3(4))
    cluster.advance(2_000)
    transcript.note("broker-3 hears from the controller again")
    cluster.heal()
    cluster.advance(2_000)
    transcript.note("broker-1 shuts down")
    cluster.call("broker-1", BeginControlledShutdown())
    cluster.advance(1_000)
    return transcript.text(), cluster.numbers(3)


KIP_279 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-1 -> broker-3  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-3 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
-- broker-1 writes m2, which broker-3 alone copies, and crashes
shop -> broker-1  Produce(orders-0, m2, acks=1)
broker-1 -> broker-3  m2@1, high watermark 1
broker-1 -> shop  acknowledged at offset 1
broker-3 -> broker-1  Fetch(orders-0, offset 2)
-- from here on broker-3 hears nothing from the controller
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2 3}
broker-2: leads orders-0 in epoch 1 from offset 1 on
shop -> broker-2  Produce(orders-0, m3, acks=all)
-- broker-1 is back
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2 3}
broker-1 -> broker-2  OffsetsForLeaderEpoch(orders-0, epoch 0)
broker-2 -> broker-1  epoch 0 ends at 1
broker-1: truncates orders-0 from 2 to 1
broker-1 -> broker-2  Fetch(orders-0, offset 1)
broker-2 -> broker-1  m3@1, high watermark 0
broker-1 -> broker-2  Fetch(orders-0, offset 2)
broker-2 -> controller-100  AlterPartition(orders-0, ISR {2 3 1})
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2 3 1}
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2 3 1}
broker-2 -> broker-1  no records, high watermark 0
broker-3 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> broker-3  NOT_LEADER_OR_FOLLOWER
-- broker-2 shuts down
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {3 1}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {3 1}
broker-1: leads orders-0 in epoch 2 from offset 2 on
broker-2 -> shop  NOT_LEADER_OR_FOLLOWER
shop -> broker-1  Produce(orders-0, m3, acks=all)
broker-3 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> shop  acknowledged at offset 1
broker-1 -> broker-3  no records, high watermark 2
-- broker-3 hears from the controller again
controller-100 -> broker-3  orders-0: leader 1, epoch 2, ISR {3 1}
-- broker-1 shuts down
controller-100 -> broker-1  orders-0: leader 3, epoch 3, ISR {3}, ELR {1}
controller-100 -> broker-3  orders-0: leader 3, epoch 3, ISR {3}, ELR {1}
broker-3: leads orders-0 in epoch 3 from offset 2 on
"""

KIP_320 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-1 -> broker-3  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1, epoch 0)
broker-3 -> broker-1  Fetch(orders-0, offset 1, epoch 0)
broker-1 -> shop  acknowledged at offset 0
-- broker-1 writes m2, which broker-3 alone copies, and crashes
shop -> broker-1  Produce(orders-0, m2, acks=1)
broker-1 -> broker-3  m2@1, high watermark 1
broker-1 -> shop  acknowledged at offset 1
broker-3 -> broker-1  Fetch(orders-0, offset 2, epoch 0)
-- from here on broker-3 hears nothing from the controller
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2 3}
broker-2: leads orders-0 in epoch 1 from offset 1 on
shop -> broker-2  Produce(orders-0, m3, acks=all)
-- broker-1 is back
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2 3}
broker-1 -> broker-2  OffsetsForLeaderEpoch(orders-0, epoch 0, current epoch 1)
broker-2 -> broker-1  epoch 0 ends at 1
broker-1: truncates orders-0 from 2 to 1
broker-1 -> broker-2  Fetch(orders-0, offset 1, epoch 1)
broker-2 -> broker-1  m3@1, high watermark 0
broker-1 -> broker-2  Fetch(orders-0, offset 2, epoch 1)
broker-2 -> controller-100  AlterPartition(orders-0, ISR {2 3 1})
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2 3 1}
controller-100 -> broker-1  orders-0: leader 2, epoch 1, ISR {2 3 1}
broker-2 -> broker-1  no records, high watermark 0
broker-3 -> broker-1  Fetch(orders-0, offset 2, epoch 0)
broker-1 -> broker-3  FENCED_LEADER_EPOCH
-- broker-2 shuts down
controller-100 -> broker-2  orders-0: leader 1, epoch 2, ISR {3 1}
controller-100 -> broker-1  orders-0: leader 1, epoch 2, ISR {3 1}
broker-1: leads orders-0 in epoch 2 from offset 2 on
broker-2 -> shop  NOT_LEADER_OR_FOLLOWER
shop -> broker-1  Produce(orders-0, m3, acks=all)
-- broker-3 hears from the controller again
controller-100 -> broker-3  orders-0: leader 1, epoch 2, ISR {3 1}
broker-3 -> broker-1  OffsetsForLeaderEpoch(orders-0, epoch 0, current epoch 2)
broker-1 -> broker-3  epoch 0 ends at 1
broker-3: truncates orders-0 from 2 to 1
broker-3 -> broker-1  Fetch(orders-0, offset 1, epoch 2)
broker-1 -> broker-3  m3@1, high watermark 0
broker-3 -> broker-1  Fetch(orders-0, offset 2, epoch 2)
broker-1 -> shop  acknowledged at offset 1
broker-1 -> broker-3  no records, high watermark 2
-- broker-1 shuts down
controller-100 -> broker-1  orders-0: leader 3, epoch 3, ISR {3}, ELR {1}
controller-100 -> broker-3  orders-0: leader 3, epoch 3, ISR {3}, ELR {1}
broker-3: leads orders-0 in epoch 3 from offset 2 on
"""


def test_before_kip_320_a_leader_counts_a_fetch_from_an_older_epoch_and_a_committed_record_is_lost() -> None:
    assert stale_epoch("kip279") == (KIP_279, [1, 2])


def test_with_kip_320_that_fetch_is_fenced_and_nothing_is_acknowledged_before_the_follower_has_it() -> None:
    assert stale_epoch("kip320") == (KIP_320, [1, 3])


def test_today_it_is_fenced_as_well() -> None:
    text, records = stale_epoch("kip595")
    assert records == [1, 3]
    assert "broker-1 -> broker-3  FENCED_LEADER_EPOCH\n" in text
