from random import Random

from pump import Cluster

from kafkasim.protocol.calls import Outcome, Polled, PollRecords, SendRecords
from kafkasim.protocol.config import BrokerConfig, JavaConsumerConfig, JavaProducerConfig
from kafkasim.protocol.consumer import Consumer
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import consumer_settings, producer_settings
from kafkasim.protocol.producer import Producer


def test_an_idempotent_producer_and_a_consumer_live_through_the_loss_of_their_broker_without_loss_and_duplicates() -> None:
    pump = Cluster(config=BrokerConfig(offsets_topic_num_partitions=1))
    pump.create_topic("__consumer_offsets")
    pump.create_topic("orders", partitions=3, min_insync_replicas=2)
    random = Random(1).random
    producer = Producer("shop", producer_settings(JavaProducerConfig()), (1, 2, 3), 100, random)
    consumer = Consumer(
        "billing-0", "billing", consumer_settings(JavaConsumerConfig(auto_offset_reset="earliest")), ("orders",), (2,), random
    )
    pump.start("shop", producer)
    pump.start("billing-0", consumer)
    pump.call("billing-0", PollRecords(200))
    polled: list[int] = []
    sent = 0
    for step in range(300):
        if step == 60:
            pump.crash("broker-1")
        if step == 220:
            pump.start_broker(1)
        if not producer.blocked and step < 250:
            pump.call("shop", SendRecords("orders", range(sent, sent + 20), [pump.now] * 20))
            sent += 20
        pump.advance(100)
        for answer in [output for output in pump.outputs["billing-0"] if isinstance(output, Polled)]:
            polled += [number for polled_slice in answer.slices for number in polled_slice.numbers]
            pump.outputs["billing-0"].clear()
            pump.call("billing-0", PollRecords(200))
    acked = [number for o in pump.outputs["shop"] if isinstance(o, Outcome) and o.error is Error.NONE for number in o.numbers]
    assert sent > 2_000
    assert sorted(acked) == list(range(sent))
    assert sorted(polled) == list(range(sent))
    assert all(set(registration.isr) == {1, 2, 3} for registration in pump.state.image.partitions.values())
