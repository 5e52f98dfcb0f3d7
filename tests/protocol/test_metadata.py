"""The metadata image, and what it says of brokers."""

from kafkasim.protocol.messages import BrokerRegistration, PartitionRegistration
from kafkasim.protocol.metadata import MetadataImage
from kafkasim.protocol.records import TopicPartition

ORDERS_0 = TopicPartition("orders", 0)


def test_the_newest_record_of_a_partition_is_the_one_that_counts():
    image = MetadataImage()
    image.apply(PartitionRegistration(ORDERS_0, (1, 2), (1, 2), 1, 0, 0))
    image.apply(PartitionRegistration(ORDERS_0, (1, 2), (2,), 2, 1, 1))
    assert image.partitions[ORDERS_0].leader == 2
    assert len(image.partitions) == 1


def test_the_offset_is_the_next_one_to_read():
    image = MetadataImage()
    assert image.offset == 0
    image.apply(BrokerRegistration(1, 0, 1, True, False))
    image.apply(PartitionRegistration(ORDERS_0, (1,), (1,), 1, 0, 0))
    assert image.offset == 2


def test_a_broker_may_join_an_isr_only_when_it_is_registered_unfenced_and_not_shutting_down():
    image = MetadataImage()
    image.apply(BrokerRegistration(1, 0, 1, fenced=False, in_controlled_shutdown=False))
    image.apply(BrokerRegistration(2, 1, 1, fenced=True, in_controlled_shutdown=False))
    image.apply(BrokerRegistration(3, 2, 1, fenced=False, in_controlled_shutdown=True))
    assert [broker for broker in (1, 2, 3, 4) if image.is_active(broker)] == [1]


def test_clients_are_told_of_unfenced_brokers_in_ascending_order_even_of_those_that_shut_down():
    image = MetadataImage()
    image.apply(BrokerRegistration(3, 0, 1, fenced=False, in_controlled_shutdown=True))
    image.apply(BrokerRegistration(2, 1, 1, fenced=True, in_controlled_shutdown=False))
    image.apply(BrokerRegistration(1, 2, 1, fenced=False, in_controlled_shutdown=False))
    assert image.unfenced_brokers() == (1, 3)
