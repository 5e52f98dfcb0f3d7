"""Proposals of ISRs on their way to the controller (KIP-497): one of each partition, and one request at a time."""

from kafkasim.protocol.alter_partition import AlterPartitionManager
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import AlterPartitionRequest, AlterPartitionResponse
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.scheduled_tasks import Alarm

ORDERS = TopicPartition("orders", 0)
PAYMENTS = TopicPartition("payments", 0)
OF_EPOCH_4 = (4, 9, ((1, 101), (2, 102)))
OF_EPOCH_5 = (5, 10, ((1, 101),))


class Channel:
    """The connection to the controller; it is busy from a request to its answer."""

    def __init__(self) -> None:
        self.busy = False
        self.sent: list[AlterPartitionRequest] = []

    def send(self, request: AlterPartitionRequest, _now: float) -> None:
        self.busy = True
        self.sent.append(request)

    def answered(self) -> None:
        self.busy = False


def answer(correlation_id: int, partition: TopicPartition, error: Error) -> AlterPartitionResponse:
    return AlterPartitionResponse(correlation_id, Error.NONE, ((partition, error, -1, -1, (), -1),))


def test_a_second_proposal_of_a_partition_is_not_attempted_before_the_first_is_answered_even_in_a_later_epoch() -> None:
    channel = Channel()
    manager = AlterPartitionManager(1, lambda: 101, channel, Alarm())  # type: ignore[arg-type]
    assert manager.submit(ORDERS, OF_EPOCH_4, 0.0)
    assert not manager.submit(ORDERS, OF_EPOCH_5, 0.0)
    assert manager.submit(PAYMENTS, OF_EPOCH_5, 0.0)  # it waits for the request on its way
    [(_, error, *_)] = manager.answered(answer(1, ORDERS, Error.FENCED_LEADER_EPOCH), 1.0)
    assert error is Error.FENCED_LEADER_EPOCH
    assert manager.submit(ORDERS, OF_EPOCH_5, 1.0)
    assert [[name for name, *_ in request.partitions] for request in channel.sent] == [[ORDERS], [PAYMENTS, ORDERS]]
    assert channel.sent[1].partitions[1] == (ORDERS, *OF_EPOCH_5)
