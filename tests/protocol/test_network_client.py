from collections.abc import Sequence
from dataclasses import replace

from kafkasim.protocol.config import JavaProducerConfig, LibrdkafkaProducerConfig
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import producer_settings
from kafkasim.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
)
from kafkasim.protocol.network_client import Completed, MetadataRefreshed, NetworkClient, Rebootstrapped
from kafkasim.protocol.node import Close, Connect, Connected, Disconnected, Output, Send
from kafkasim.protocol.records import TopicPartition

NEVER = float("inf")
ORDERS = TopicPartition("orders", 0)
JAVA = producer_settings(JavaProducerConfig())


def new_client(
    settings: object = JAVA, bootstrap: tuple[int, ...] = (1,), trace: list[object] | None = None, random: float = 0.5
) -> NetworkClient:
    client = NetworkClient(settings, bootstrap, lambda: random, None if trace is None else trace.append)  # type: ignore[arg-type]
    client.metadata.add_topic("orders")
    return client


def metadata_response(correlation_id: int, leader: int = 1, leader_epoch: int = 1, error: Error = Error.NONE) -> MetadataResponse:
    return MetadataResponse(correlation_id, (1, 2, 3), (PartitionMetadata(ORDERS, error, leader, leader_epoch),))


def poll(client: NetworkClient, now: float) -> list[Output]:
    outputs: list[Output] = []
    client.poll(now, outputs)
    return outputs


def wake(client: NetworkClient, now: float) -> tuple[Sequence[Completed], list[Output]]:
    outputs: list[Output] = []
    completed = client.wake(now, outputs)
    client.poll(now, outputs)
    return completed, outputs


def ready(client: NetworkClient, peer: str, now: float) -> tuple[bool, list[Output]]:
    outputs: list[Output] = []
    return client.ready(peer, now, outputs), outputs


def send(client: NetworkClient, peer: str, now: float, context: object = None, timeout_ms: float | None = None) -> int:
    number = client.next_correlation_id()
    client.send(peer, InitProducerIdRequest(number), context, now, [], timeout_ms)
    return number


def accept(client: NetworkClient, peer: str, now: float) -> int:
    """The broker's kernel accepts the connection; the correlation id with which the client then asks for versions."""
    client.receive(Connected(peer), peer, now)
    (asked,) = [output for output in poll(client, now) if isinstance(output, Send) and isinstance(output.message, ApiVersionsRequest)]
    assert asked.peer == peer
    return asked.message.correlation_id  # type: ignore[attr-defined,no-any-return]


def connect(client: NetworkClient, peer: str, now: float) -> None:
    """The whole handshake: the kernel accepts, and the broker answers with its versions."""
    assert client.receive(ApiVersionsResponse(accept(client, peer, now)), peer, now) == ()


def informed_client(settings: object = JAVA, trace: list[object] | None = None) -> NetworkClient:
    """Connected to broker-1, with metadata, at time 0."""
    client = new_client(settings, trace=trace)
    poll(client, 0.0)
    connect(client, "broker-1#bootstrap", 0.0)
    (asked,) = poll(client, 0.0)
    assert isinstance(asked, Send)
    client.receive(metadata_response(asked.message.correlation_id), asked.peer, 0.0)  # type: ignore[attr-defined]
    assert ready(client, "broker-1", 0.0) == (False, [Connect("broker-1")])
    connect(client, "broker-1", 0.0)
    poll(client, 0.0)
    return client


# ------------------------------------------------------------------------------------------------ metadata


def test_a_new_client_connects_to_a_bootstrap_broker_and_asks_it_for_its_topics() -> None:
    client = new_client()
    assert poll(client, 0.0) == [Connect("broker-1#bootstrap")]
    assert poll(client, 0.0) == []
    connect(client, "broker-1#bootstrap", 1.0)
    assert poll(client, 1.0) == [Send("broker-1#bootstrap", MetadataRequest(2, ("orders",)))]


def test_an_answer_tells_brokers_and_leaders_and_is_traced() -> None:
    trace: list[object] = []
    client = informed_client(trace=trace)
    assert client.metadata.partitions == {"orders": (ORDERS,)}
    assert client.metadata.leaders == {ORDERS: 1}
    assert client.metadata.peers == ("broker-1", "broker-2", "broker-3")
    assert trace == [MetadataRefreshed(0.0, "broker-1#bootstrap", (1, 2, 3), (("orders-0", 1, 1),))]


def test_metadata_is_refreshed_at_its_maximum_age() -> None:
    client = informed_client()
    assert client.next_deadline() == 300_000.0
    assert wake(client, 299_999.0) == ([], [])
    assert isinstance(wake(client, 300_000.0)[1][0], Send)


def test_a_refresh_that_was_asked_for_waits_for_the_backoff_since_the_last() -> None:
    client = informed_client()
    client.metadata.request_update()
    assert poll(client, 99.0) == []
    assert client.next_deadline() == 100.0
    assert isinstance(wake(client, 100.0)[1][0], Send)


def test_answers_that_bring_no_news_are_asked_for_ever_more_rarely() -> None:
    client = informed_client()
    now = 0.0
    waits = []
    for _ in range(5):
        client.metadata.request_update()
        poll(client, now)
        due = client.next_deadline()
        waits.append(round(due - now))
        now = due
        ((_, request),) = wake(client, now)[1]  # type: ignore[misc]
        client.receive(metadata_response(request.correlation_id), "broker-1", now)
    assert waits == [100, 100, 200, 400, 800]


def test_while_a_leader_is_missing_the_client_keeps_asking() -> None:
    client = informed_client()
    client.metadata.update(metadata_response(9, leader=-1, leader_epoch=2, error=Error.LEADER_NOT_AVAILABLE), 50.0)
    poll(client, 50.0)
    assert client.next_deadline() == 150.0


def test_an_answer_with_an_older_leader_epoch_is_not_believed() -> None:
    client = informed_client()
    client.metadata.update(metadata_response(8, leader=2, leader_epoch=7), 50.0)
    client.metadata.update(metadata_response(9, leader=1, leader_epoch=6), 60.0)
    assert client.metadata.leaders[ORDERS] == 2
    assert client.metadata.leader_epochs[ORDERS] == 7


def test_a_leader_named_by_an_error_is_believed_only_if_newer_and_known() -> None:
    client = informed_client()
    assert not client.metadata.update_leadership(ORDERS, 2, 1)
    assert not client.metadata.update_leadership(ORDERS, 9, 2)
    assert client.metadata.update_leadership(ORDERS, 2, 2)
    assert client.metadata.leaders[ORDERS] == 2


def test_an_answer_without_brokers_is_a_failed_refresh() -> None:
    client = informed_client()
    version = client.metadata.version
    client.metadata.update(MetadataResponse(9, (), ()), 50.0)
    assert client.metadata.version == version
    assert client.metadata.leaders == {ORDERS: 1}


# ------------------------------------------------------------------------------------------------ requests


def test_a_response_completes_the_oldest_request_and_hands_back_its_context() -> None:
    client = informed_client()
    first, second = send(client, "broker-1", 1.0, "one"), send(client, "broker-1", 1.0, "two")
    (completed,) = client.receive(InitProducerIdResponse(first, Error.NONE, 1, 0), "broker-1", 2.0)
    assert (completed.context, completed.error) == ("one", Error.NONE)
    assert client.in_flight_count("broker-1") == 1
    assert client.receive(InitProducerIdResponse(first, Error.NONE, 1, 0), "broker-1", 2.0) == ()
    (completed,) = client.receive(InitProducerIdResponse(second, Error.NONE, 1, 0), "broker-1", 2.0)
    assert completed.context == "two"


def test_a_connection_with_its_maximum_in_flight_is_not_ready() -> None:
    client = NetworkClient(JAVA, (1,), lambda: 0.5, None, max_in_flight=2)
    client.metadata.update(metadata_response(1), 0.0)
    client.ready("broker-1", 0.0, [])
    connect(client, "broker-1", 0.0)
    number = send(client, "broker-1", 0.0)
    assert client.ready("broker-1", 0.0, [])
    send(client, "broker-1", 0.0)
    assert not client.ready("broker-1", 0.0, [])
    client.receive(InitProducerIdResponse(number, Error.NONE, 1, 0), "broker-1", 0.0)
    assert client.ready("broker-1", 0.0, [])


def test_a_request_that_times_out_closes_the_connection_and_fails_all_that_is_in_flight_on_it() -> None:
    client = informed_client()
    send(client, "broker-1", 1.0, "one")
    send(client, "broker-1", 9.0, "two")
    assert client.next_deadline() == 30_002.0  # more than request.timeout.ms, by a clock of whole ms
    assert wake(client, 30_001.0) == ([], [])
    completed, outputs = wake(client, 30_002.0)
    assert [(c.context, c.response, c.error) for c in completed] == [("one", None, Error.TIMEOUT), ("two", None, Error.TIMEOUT)]
    assert Close("broker-1") in outputs


def test_a_request_may_have_a_timeout_of_its_own() -> None:
    client = informed_client()
    send(client, "broker-1", 1.0, "regular")
    send(client, "broker-1", 1.0, "short", timeout_ms=500.0)
    assert client.next_deadline() == 502.0


def test_answered_requests_leave_no_deadline_behind() -> None:
    client = informed_client()
    number = send(client, "broker-1", 1.0)
    client.receive(InitProducerIdResponse(number, Error.NONE, 1, 0), "broker-1", 2.0)
    assert client.next_deadline() == 300_000.0


def test_a_broken_connection_fails_what_is_in_flight_and_casts_doubt_on_the_metadata() -> None:
    client = informed_client()
    send(client, "broker-1", 1.0, "one")
    (completed,) = client.receive(Disconnected("broker-1"), "broker-1", 200.0)
    assert (completed.context, completed.error) == ("one", Error.NETWORK_EXCEPTION)
    assert client.metadata.update_at <= 200.0
    assert client.receive(Disconnected("broker-1"), "broker-1", 200.0) == ()


def test_what_expects_no_response_is_not_in_flight() -> None:
    client = informed_client()
    outputs: list[Output] = []
    client.send("broker-1", InitProducerIdRequest(client.next_correlation_id()), None, 1.0, outputs, expects_response=False)
    assert len(outputs) == 1
    assert client.in_flight_count("broker-1") == 0


# ------------------------------------------------------------------------------------------------ connections


def test_reconnects_back_off_exponentially_and_the_backoff_ends_with_a_success() -> None:
    client = informed_client()
    now = 1.0
    waits = []
    for _ in range(6):
        client.receive(Disconnected("broker-1"), "broker-1", now)
        client.metadata.update(metadata_response(1), now)  # so that a due refresh does not come first
        assert ready(client, "broker-1", now) == (False, [])
        due = client.next_deadline()
        waits.append(round(due - now))
        now = due
        assert wake(client, now) == ([], [])
        assert ready(client, "broker-1", now) == (False, [Connect("broker-1")])
    assert waits == [50, 100, 200, 400, 800, 1000]
    connect(client, "broker-1", now)
    client.receive(Disconnected("broker-1"), "broker-1", now)
    client.metadata.update(metadata_response(1), now)
    wake(client, now)
    ready(client, "broker-1", now)
    assert round(client.next_deadline() - now) == 50


def test_a_connection_that_does_not_come_about_is_given_up_and_patience_grows() -> None:
    client = new_client(bootstrap=(1,))
    poll(client, 0.0)
    assert client.next_deadline() == 10_000.0
    assert Close("broker-1#bootstrap") in wake(client, 10_000.0)[1]
    now = client.next_deadline()
    assert wake(client, now)[1] == [Connect("broker-1#bootstrap")]
    assert round(client.next_deadline() - now) == 20_000


def test_while_a_refresh_is_due_nobody_is_ready() -> None:
    client = NetworkClient(JAVA, (1,), lambda: 0.5, None, max_in_flight=1)
    client.metadata.update(MetadataResponse(1, (1,), (PartitionMetadata(ORDERS, Error.NONE, 1, 1),)), 0.0)
    client.ready("broker-1", 0.0, [])
    connect(client, "broker-1", 0.0)
    client.metadata.request_update()
    assert ready(client, "broker-1", 500.0) == (False, [Send("broker-1", MetadataRequest(2, ()))])
    client.receive(metadata_response(2), "broker-1", 501.0)
    assert ready(client, "broker-1", 501.0) == (True, [])


def test_the_least_loaded_node_is_a_standing_connection_before_a_new_one() -> None:
    client = informed_client()
    assert client.least_loaded_node(1.0) == "broker-1"
    client.receive(Disconnected("broker-1"), "broker-1", 1.0)
    assert client.least_loaded_node(1.0) in ("broker-2", "broker-3")


# ------------------------------------------------------------------------------------------------ versions: does anybody answer?


def test_a_connection_on_which_nobody_has_answered_takes_no_request() -> None:
    client = informed_client()
    ready(client, "broker-2", 1.0)
    number = accept(client, "broker-2", 1.0)
    for now in (1.0, 100.0, 30_000.0):
        assert ready(client, "broker-2", now) == (False, [])
        assert poll(client, now) == []
    assert client.receive(ApiVersionsResponse(number), "broker-2", 30_000.0) == ()
    assert ready(client, "broker-2", 30_000.0) == (True, [])
    assert client.in_flight_count("broker-2") == 0


def test_versions_are_asked_for_once_a_connection_and_before_anything_else() -> None:
    client = informed_client()
    client.metadata.request_update()
    ready(client, "broker-2", 100.0)
    client.receive(Connected("broker-2"), "broker-2", 101.0)
    first, *others = [output.message for output in poll(client, 101.0) if isinstance(output, Send)]
    assert isinstance(first, ApiVersionsRequest)
    assert not any(isinstance(message, ApiVersionsRequest) for message in others)
    assert poll(client, 102.0) == []


def test_without_an_answer_to_the_first_request_the_connection_is_given_up_after_the_request_timeout() -> None:
    client = informed_client()
    ready(client, "broker-2", 1.0)
    assert client.next_deadline() == 10_001.0  # the setup timeout
    accept(client, "broker-2", 1.0)
    assert client.next_deadline() == 30_002.0  # the kernel accepted: the setup timeout is over, the request timeout runs
    assert wake(client, 30_001.0) == ([], [])
    completed, outputs = wake(client, 30_002.0)
    assert completed == []  # the client's own request is not handed back
    close, refresh = outputs
    assert close == Close("broker-2")
    assert client.is_unavailable("broker-2", 30_002.0)
    assert isinstance(refresh, Send)  # at once: the disconnect casts doubt on the metadata, but no refresh has failed
    assert isinstance(refresh.message, MetadataRequest)


def test_librdkafka_gives_such_a_connection_up_after_api_version_request_timeout_when_it_looks_which_it_does_once_a_second() -> None:
    client = informed_client(producer_settings(LibrdkafkaProducerConfig(api_version_request_timeout_ms=2000)))  # it looks at 500, 1500 …
    ready(client, "broker-2", 1.0)
    accept(client, "broker-2", 1.0)
    assert client.next_deadline() == 2500.0
    send(client, "broker-1", 1.0, "regular")
    assert wake(client, 2500.0)[1][0] == Close("broker-2")
    assert client.next_deadline() == 60_500.0  # socket.timeout.ms for every other request


def test_a_broker_that_accepts_but_never_answers_is_tried_ever_more_rarely() -> None:
    client = informed_client(replace(JAVA, request_timeout_ms=1000.0))
    now = 0.0
    waits = []
    for _ in range(4):
        assert ready(client, "broker-2", now) == (False, [Connect("broker-2")])
        accept(client, "broker-2", now)
        now += 1001.0
        wake(client, now)
        client.metadata.update(metadata_response(1), now)  # so that a due refresh does not come first
        ready(client, "broker-2", now)
        due = client.next_deadline()
        waits.append(round(due - now))
        now = due
        wake(client, now)
    assert waits == [50, 100, 200, 400]


def test_a_connection_that_breaks_before_versions_were_asked_for_is_not_asked() -> None:
    client = informed_client()
    ready(client, "broker-2", 1.0)
    client.receive(Connected("broker-2"), "broker-2", 2.0)
    client.receive(Disconnected("broker-2"), "broker-2", 2.0)
    assert not any(isinstance(output, Send) and output.peer == "broker-2" for output in poll(client, 2.0))


def test_a_late_answer_does_not_make_a_later_connection_ready() -> None:
    client = informed_client(replace(JAVA, request_timeout_ms=1000.0))
    ready(client, "broker-2", 1.0)
    number = accept(client, "broker-2", 1.0)
    wake(client, 1002.0)
    client.metadata.update(metadata_response(1), 1002.0)
    wake(client, 1100.0)
    assert ready(client, "broker-2", 1100.0) == (False, [Connect("broker-2")])
    accept(client, "broker-2", 1100.0)
    client.receive(ApiVersionsResponse(number), "broker-2", 1101.0)
    assert not ready(client, "broker-2", 1101.0)[0]


def test_the_least_loaded_node_is_a_ready_one_and_after_that_one_that_is_being_checked() -> None:
    client = informed_client()
    ready(client, "broker-2", 1.0)
    accept(client, "broker-2", 1.0)
    for number in range(5):
        send(client, "broker-1", 1.0, number)
    assert client.least_loaded_node(1.0) == "broker-1"
    client.receive(Disconnected("broker-1"), "broker-1", 1.0)
    assert client.least_loaded_node(1.0) == "broker-2"


def test_a_paused_broker_alone_does_not_count_as_answering() -> None:
    client = new_client()
    poll(client, 0.0)
    number = accept(client, "broker-1#bootstrap", 1.0)
    assert not client.answering
    client.receive(ApiVersionsResponse(number), "broker-1#bootstrap", 5000.0)
    assert client.answering


# ------------------------------------------------------------------------------------------------ rebootstrap


def refuse_all(client: NetworkClient, now: float, until: float) -> float:
    """From `now` on every connection is refused, while the owner has something to send to each broker; up to a rebootstrap or `until`."""
    while client.metadata.leaders and now < until:
        outputs = wake(client, now)[1]
        while outputs:
            output = outputs.pop()
            assert isinstance(output, Connect)
            client.receive(Disconnected(output.peer), output.peer, now)
            for peer in ("broker-1", "broker-2", "broker-3"):
                client.ready(peer, now, outputs)
            client.poll(now, outputs)
        for peer in ("broker-1", "broker-2", "broker-3"):
            client.ready(peer, now, outputs)
        for output in outputs:
            assert isinstance(output, Connect)
            client.receive(Disconnected(output.peer), output.peer, now)
        client.poll(now, [])
        now = max(client.next_deadline(), now + 1)
    return now


def test_when_every_known_broker_is_backing_off_the_java_client_forgets_the_cluster() -> None:
    trace: list[object] = []
    client = informed_client(trace=trace)
    client.receive(Disconnected("broker-1"), "broker-1", 200.0)
    client.receive(Disconnected("broker-1#bootstrap"), "broker-1#bootstrap", 200.0)
    refuse_all(client, 200.0, 10_000.0)
    assert any(isinstance(event, Rebootstrapped) for event in trace)
    assert client.metadata.peers == ("broker-1#bootstrap",)
    assert client.metadata.partitions == {}


def test_while_one_broker_can_still_be_tried_nothing_is_forgotten() -> None:
    client = informed_client()
    client.receive(Disconnected("broker-1"), "broker-1", 200.0)
    (connect,) = poll(client, 200.0)
    assert connect in (Connect("broker-2"), Connect("broker-3"))
    assert client.metadata.leaders == {ORDERS: 1}


def test_librdkafka_and_recovery_strategy_none_forget_nothing() -> None:
    for settings in (producer_settings(LibrdkafkaProducerConfig()), replace(JAVA, rebootstrap=False)):
        client = informed_client(settings)
        client.receive(Disconnected("broker-1"), "broker-1", 200.0)
        client.receive(Disconnected("broker-1#bootstrap"), "broker-1#bootstrap", 200.0)
        assert refuse_all(client, 200.0, 10_000.0) >= 10_000.0
        assert client.metadata.leaders == {ORDERS: 1}


def test_after_the_trigger_time_without_a_refresh_all_connections_are_dropped_and_the_client_starts_again() -> None:
    trace: list[object] = []
    client = informed_client(replace(JAVA, rebootstrap_trigger_ms=20_000.0, request_timeout_ms=60_000.0), trace=trace)
    client.metadata.request_update()
    assert isinstance(wake(client, 1000.0)[1][0], Send)  # and it is never answered
    assert client.next_deadline() == 21_000.0
    outputs = wake(client, 21_000.0)[1]
    assert Close("broker-1") in outputs
    assert Rebootstrapped(21_000.0) in trace


def test_answering_holds_from_the_first_answer_until_no_connection_is_left() -> None:
    client = new_client()
    assert not client.answering
    client = informed_client()
    assert client.answering
    client.receive(Disconnected("broker-1"), "broker-1", 1.0)
    assert client.answering
    client.receive(Disconnected("broker-1#bootstrap"), "broker-1#bootstrap", 1.0)
    assert not client.answering


def test_a_closed_client_waits_for_nothing() -> None:
    client = informed_client()
    send(client, "broker-1", 1.0)
    outputs: list[Output] = []
    client.close(outputs)
    assert outputs == [Close("broker-1#bootstrap"), Close("broker-1")]
    assert client.next_deadline() == NEVER
