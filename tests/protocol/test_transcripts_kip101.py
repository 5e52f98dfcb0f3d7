"""KIP-101, message by message: what truncating to the high watermark loses, and what asking for the end of an epoch keeps."""

from __future__ import annotations

from pump import ORDERS, Cluster, produce
from transcript import Transcript

from kafkasim.protocol.broker import BeginControlledShutdown


def restart_and_crash(truncation: str) -> tuple[str, list[int]]:
    """Scenario 1; and the records that are left. A broker that stops leaves the ISR, but stays eligible (KIP-966), as then in the ISR."""
    cluster = Cluster(2, truncation=truncation)
    cluster.create_topic("orders", replication_factor=2, min_insync_replicas=2)
    transcript = Transcript(cluster)
    cluster.request("shop", "broker-1", produce(1, first=1))
    cluster.request("shop", "broker-1", produce(2, first=2))
    transcript.note("broker-2 stops")
    cluster.call("broker-2", BeginControlledShutdown())
    cluster.advance(3_000)
    cluster.broker(2).shut_down(cluster.now)
    cluster.crash("broker-2")
    transcript.note("broker-2 starts again, and its link to broker-1 is down")
    cluster.cut("broker-1", "broker-2")
    cluster.start_broker(2)
    cluster.advance(1_000)
    transcript.note("broker-1 crashes")
    cluster.crash("broker-1")
    cluster.heal()
    cluster.advance(12_000)
    return transcript.text(), cluster.numbers(2)


BEFORE_KIP_101 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
shop -> broker-1  Produce(orders-0, m2, acks=all)
broker-1 -> broker-2  m2@1, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> shop  acknowledged at offset 1
-- broker-2 stops
controller-100 -> broker-1  orders-0: leader 1, epoch 0, ISR {1}, ELR {2}
-- broker-2 starts again, and its link to broker-1 is down
controller-100 -> broker-2  orders-0: leader 1, epoch 0, ISR {1}, ELR {2}
broker-2: truncates orders-0 from 2 to 1
-- broker-1 crashes
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 1 from offset 1 on
"""

KIP_101 = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
shop -> broker-1  Produce(orders-0, m2, acks=all)
broker-1 -> broker-2  m2@1, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> shop  acknowledged at offset 1
-- broker-2 stops
controller-100 -> broker-1  orders-0: leader 1, epoch 0, ISR {1}, ELR {2}
-- broker-2 starts again, and its link to broker-1 is down
controller-100 -> broker-2  orders-0: leader 1, epoch 0, ISR {1}, ELR {2}
-- broker-1 crashes
controller-100 -> broker-2  orders-0: leader 2, epoch 1, ISR {2}, ELR {1}
broker-2: leads orders-0 in epoch 1 from offset 2 on
"""


def test_before_kip_101_a_restarted_follower_truncates_a_committed_record_and_leads_without_it() -> None:
    assert restart_and_crash("hw") == (BEFORE_KIP_101, [1])


def test_with_kip_101_a_follower_truncates_nothing_before_its_leader_has_answered() -> None:
    assert restart_and_crash("kip101") == (KIP_101, [1, 2])


def both_fail(truncation: str) -> tuple[str, list[int], list[int]]:
    """Scenario 2; and the records of broker-1 and broker-2. Whoever was in the ISR last, it takes an unclean election today."""
    cluster = Cluster(2, truncation=truncation)
    cluster.create_topic("orders", replication_factor=2, min_insync_replicas=1, unclean_leader_election_enable=True)
    transcript = Transcript(cluster)
    cluster.request("shop", "broker-1", produce(1, first=1))
    cluster.request("shop", "broker-1", produce(2, first=2))
    cluster.broker(1).replica_manager.checkpoint_high_watermarks()
    transcript.note("the power fails for both, and broker-2 had not flushed m2")
    cluster.crash("broker-1")
    cluster.crash("broker-2")
    cluster.disks[2].logs[ORDERS].lose_unflushed(1)
    cluster.advance(20_000)
    transcript.note("broker-2 is back first")
    cluster.start_broker(2)
    cluster.advance(310_000)
    cluster.request("shop", "broker-2", produce(3, first=3))
    cluster.request("shop", "broker-2", produce(4, first=4))
    transcript.note("broker-1 is back")
    cluster.start_broker(1)
    cluster.advance(1_000)
    return transcript.text(), cluster.numbers(1), cluster.numbers(2)


DIVERGED = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
shop -> broker-1  Produce(orders-0, m2, acks=all)
broker-1 -> broker-2  m2@1, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> shop  acknowledged at offset 1
-- the power fails for both, and broker-2 had not flushed m2
-- broker-2 is back first
controller-100 -> broker-2  orders-0: no leader, epoch 2, ISR {}, ELR {2}
controller-100 -> broker-2  orders-0: no leader, epoch 2, ISR {}
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2}
broker-2: leads orders-0 in epoch 3 from offset 1 on
shop -> broker-2  Produce(orders-0, m3, acks=all)
broker-2 -> shop  acknowledged at offset 1
shop -> broker-2  Produce(orders-0, m4, acks=all)
broker-2 -> shop  acknowledged at offset 2
-- broker-1 is back
controller-100 -> broker-1  orders-0: leader 2, epoch 3, ISR {2}
broker-1 -> broker-2  Fetch(orders-0, offset 2)
broker-2 -> broker-1  m4@2, high watermark 3
broker-1 -> broker-2  Fetch(orders-0, offset 3)
broker-2 -> controller-100  AlterPartition(orders-0, ISR {2 1})
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2 1}
controller-100 -> broker-1  orders-0: leader 2, epoch 3, ISR {2 1}
broker-2 -> broker-1  no records, high watermark 3
"""

RECONCILED = """\
shop -> broker-1  Produce(orders-0, m1, acks=all)
broker-1 -> broker-2  m1@0, high watermark 0
broker-2 -> broker-1  Fetch(orders-0, offset 1)
broker-1 -> shop  acknowledged at offset 0
shop -> broker-1  Produce(orders-0, m2, acks=all)
broker-1 -> broker-2  m2@1, high watermark 1
broker-2 -> broker-1  Fetch(orders-0, offset 2)
broker-1 -> shop  acknowledged at offset 1
-- the power fails for both, and broker-2 had not flushed m2
-- broker-2 is back first
controller-100 -> broker-2  orders-0: no leader, epoch 2, ISR {}, ELR {2}
controller-100 -> broker-2  orders-0: no leader, epoch 2, ISR {}
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2}
broker-2: leads orders-0 in epoch 3 from offset 1 on
shop -> broker-2  Produce(orders-0, m3, acks=all)
broker-2 -> shop  acknowledged at offset 1
shop -> broker-2  Produce(orders-0, m4, acks=all)
broker-2 -> shop  acknowledged at offset 2
-- broker-1 is back
controller-100 -> broker-1  orders-0: leader 2, epoch 3, ISR {2}
broker-1 -> broker-2  OffsetsForLeaderEpoch(orders-0, epoch 0)
broker-2 -> broker-1  end offset 1
broker-1: truncates orders-0 from 2 to 1
broker-1 -> broker-2  Fetch(orders-0, offset 1)
broker-2 -> broker-1  m3@1 m4@2, high watermark 3
broker-1 -> broker-2  Fetch(orders-0, offset 3)
broker-2 -> controller-100  AlterPartition(orders-0, ISR {2 1})
controller-100 -> broker-2  orders-0: leader 2, epoch 3, ISR {2 1}
controller-100 -> broker-1  orders-0: leader 2, epoch 3, ISR {2 1}
broker-2 -> broker-1  no records, high watermark 3
"""


def test_before_kip_101_two_logs_differ_for_ever_after_a_power_failure() -> None:
    assert both_fail("hw") == (DIVERGED, [1, 2, 4], [1, 3, 4])


def test_with_kip_101_the_former_leader_cuts_where_its_epoch_ended_in_the_new_leaders_log() -> None:
    assert both_fail("kip101") == (RECONCILED, [1, 3, 4], [1, 3, 4])


def test_today_nothing_committed_is_lost_and_the_logs_agree() -> None:
    assert restart_and_crash("kip595")[1] == [1, 2]
    assert both_fail("kip595")[1:] == ([1, 3, 4], [1, 3, 4])
