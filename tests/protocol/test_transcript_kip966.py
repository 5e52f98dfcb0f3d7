"""The motivating example of KIP-966, message by message: the last replica standing, with ELR, without, and in Kafka 3.6.

Three replicas, min.insync.replicas=2. Fetches are left out, and what the controller tells all brokers alike stands once; a broker
that comes back reads only how the metadata log ends.
"""

from pump import ORDERS, Cluster, produce
from transcript import Transcript

from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.messages import FetchRequest, FetchResponse
from kafkasim.protocol.profiles import KAFKA_3_6, KAFKA_4_1, Profile

UNTIL_T1 = """\
-- T0: broker-2 can no longer fetch
shop -> broker-1  Produce(orders-0, m2, acks=all)
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1 3})
controller-100: orders-0: leader 1, epoch 0, ISR {1 3}
broker-1 -> shop  acknowledged at offset 1
-- T1: nor can broker-3
shop -> broker-1  Produce(orders-0, m3, acks=all)
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1})
"""

WITH_ELR = (
    UNTIL_T1
    + """\
controller-100: orders-0: leader 1, epoch 0, ISR {1}, ELR {3}
-- T2: the power of broker-1 fails, and it had flushed nothing
controller-100: orders-0: leader 3, epoch 1, ISR {3}, ELR {1}
broker-3: leads orders-0 in epoch 1 from offset 2 on
broker-3 -> controller-100  AlterPartition(orders-0, ISR {3 2})
controller-100: orders-0: leader 3, epoch 1, ISR {3 2}
-- T3: broker-1 comes back
broker-3 -> controller-100  AlterPartition(orders-0, ISR {3 2 1})
controller-100: orders-0: leader 3, epoch 1, ISR {3 2 1}
"""
)

COMES_BACK_AND_LEADS = """\
-- T2: the power of broker-1 fails, and it had flushed nothing
controller-100: orders-0: no leader, epoch 1, ISR {1}
-- T3: broker-1 comes back
controller-100: orders-0: leader 1, epoch 2, ISR {1}
broker-1: leads orders-0 in epoch 2 from offset 0 on
broker-2: truncates orders-0 from 1 to 0
broker-3: truncates orders-0 from 2 to 0
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1 2})
controller-100: orders-0: leader 1, epoch 2, ISR {1 2}
broker-1 -> controller-100  AlterPartition(orders-0, ISR {1 2 3})
controller-100: orders-0: leader 1, epoch 2, ISR {1 2 3}
"""

WITHOUT_ELR = UNTIL_T1 + "controller-100: orders-0: leader 1, epoch 0, ISR {1}\n" + COMES_BACK_AND_LEADS

# The same; but m3 is not left waiting. The high watermark passed it when the ISR shrank, and so its producer hears that it is in the log.
IN_3_6 = (
    UNTIL_T1
    + """\
controller-100: orders-0: leader 1, epoch 0, ISR {1}
broker-1 -> shop  NOT_ENOUGH_REPLICAS_AFTER_APPEND
"""
    + COMES_BACK_AND_LEADS
)


def last_standing(profile: Profile, eligible_leader_replicas: bool) -> tuple[str, dict[int, list[int]]]:
    """What was said from T0 on, and the records in each replica's log at the end."""
    config = BrokerConfig(replica_lag_time_max_ms=2_000)
    cluster = Cluster(config=config, profile=profile, eligible_leader_replicas=eligible_leader_replicas)
    cluster.create_topic("orders", min_insync_replicas=2)
    cluster.request("shop", "broker-1", produce(acks=-1, first=1))
    cluster.advance(600)
    transcript = Transcript(cluster, says={FetchRequest: None, FetchResponse: None})
    transcript.note("T0: broker-2 can no longer fetch")
    cluster.cut("broker-1", "broker-2")
    cluster.request("shop", "broker-1", produce(2, acks=-1, first=2))
    cluster.advance(4_000)
    transcript.note("T1: nor can broker-3")
    cluster.cut("broker-1", "broker-3")
    cluster.advance(100)
    cluster.request("shop", "broker-1", produce(3, acks=-1, first=3))
    cluster.advance(4_000)
    transcript.note("T2: the power of broker-1 fails, and it had flushed nothing")
    cluster.crash("broker-1")
    cluster.disks[1].logs[ORDERS].lose_unflushed(keep_until=0)
    cluster.advance(12_000)
    transcript.note("T3: broker-1 comes back")
    cluster.heal()
    cluster.start_broker(1)
    cluster.advance(4_000)
    logs = {broker_id: cluster.disks[broker_id].logs[ORDERS] for broker_id in (1, 2, 3)}
    return once(transcript.lines()), {
        broker_id: [number for log_batch in log.batches for number in log_batch.batch.numbers] for broker_id, log in logs.items()
    }


def once(lines: list[str]) -> str:
    """The controller's word to every broker, once each; the whole log that a returning broker reads is no news."""
    told: list[str] = []
    for line in lines:
        origin, _, message = line.partition("  ")
        if origin.startswith("controller-100 -> broker-"):
            news = f"controller-100: {message}"
            if "; " not in message and news not in told[-3:]:
                told.append(news)
        else:
            told.append(line)
    return "".join(f"{line}\n" for line in told)


def test_with_elr_the_replica_that_left_last_is_elected_and_nothing_is_lost() -> None:
    said, logs = last_standing(KAFKA_4_1, eligible_leader_replicas=True)
    assert said == WITH_ELR
    assert logs == {1: [1, 2], 2: [1, 2], 3: [1, 2]}


def test_without_elr_the_last_replica_leads_again_without_its_log_and_takes_the_others_logs_with_it() -> None:
    said, logs = last_standing(KAFKA_4_1, eligible_leader_replicas=False)
    assert said == WITHOUT_ELR
    assert logs == {1: [], 2: [], 3: []}


def test_in_3_6_the_record_that_nobody_else_had_was_committed_and_refused_before_it_was_lost() -> None:
    said, logs = last_standing(KAFKA_3_6, eligible_leader_replicas=True)
    assert said == IN_3_6
    assert logs == {1: [], 2: [], 3: []}
