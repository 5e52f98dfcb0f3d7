from pump import ORDERS, Cluster, produce

from kafkasim.protocol.broker import BeginControlledShutdown, BrokerFencingSeen, ShutDownComplete
from kafkasim.protocol.broker_lifecycle import BrokerState
from kafkasim.protocol.config import BrokerConfig
from kafkasim.protocol.controller_trace import BrokerFenced, BrokerRegistered, BrokerUnfenced
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
    MetadataRequest,
)
from kafkasim.protocol.node import Disconnected


def heard(pump: Cluster, kind: type) -> list[tuple[float, object]]:
    """Records what the controller will be sent of this kind, and when."""
    events: list[tuple[float, object]] = []

    def watch(target: str, event: object, source: str) -> None:
        if target == "controller-100" and isinstance(event, kind):
            events.append((pump.now, event))

    pump.on_deliver = watch
    return events


def test_a_broker_registers_reads_the_metadata_log_and_is_unfenced() -> None:
    pump = Cluster(brokers=0)
    registrations = heard(pump, BrokerRegistrationRequest)
    pump.start_broker(1)
    [(_, registration)] = registrations
    assert (registration.incarnation, registration.previous_broker_epoch) == (1, -1)
    assert pump.broker(1).state is BrokerState.RUNNING
    assert pump.traces(BrokerFencingSeen) == [BrokerFencingSeen(1, False)]


def test_a_broker_accepts_no_connection_before_it_is_unfenced_and_refuses_requests_that_come_all_the_same() -> None:
    pump = Cluster(brokers=0)
    pump.crash("controller-100")
    pump.start_broker(1)
    assert pump.broker(1).state is BrokerState.STARTING
    pump.request("shop", "broker-1", MetadataRequest(1, ()))
    assert pump.replies("shop") == [Disconnected("broker-1")]
    assert [type(output).__name__ for output in pump.broker(1).receive(MetadataRequest(1, ()), "shop", pump.now)] == ["Close"]
    pump.start_controller()
    pump.advance(1_000)
    pump.request("shop", "broker-1", MetadataRequest(1, ()))
    assert pump.replies("shop")[0].brokers == (1,)


def test_heartbeats_come_every_interval_and_keep_the_broker_unfenced() -> None:
    pump = Cluster(brokers=1)
    heartbeats = heard(pump, BrokerHeartbeatRequest)
    start = pump.now
    pump.advance(60_000)
    assert [time - start for time, _ in heartbeats] == [2_000.0 * n for n in range(1, 31)]
    assert not any(heartbeat.want_fence or heartbeat.want_shut_down for _, heartbeat in heartbeats)
    assert pump.traces(BrokerFenced) == []


def test_a_broker_cut_off_from_the_controller_is_fenced_and_after_the_heal_a_heartbeat_unfences_it_before_it_has_read_of_either() -> None:
    pump = Cluster(brokers=3)
    pump.create_topic("orders")
    pump.cut("broker-3", "controller-100")
    pump.advance(15_000)
    assert pump.state.image.brokers[3].fenced
    assert pump.partition(1).isr == (1, 2)
    assert pump.broker(3).state is BrokerState.RUNNING  # it has no idea
    pump.heal()
    pump.advance(10_000)
    assert [event.fenced for event in pump.traces(BrokerFencingSeen) if event.broker == 3] == [False]  # both are in one answer
    assert pump.traces(BrokerUnfenced)[-1].broker_id == 3
    assert set(pump.partition(1).isr) == {1, 2, 3}


def test_a_heartbeat_without_an_answer_is_given_up_after_half_a_session_and_another_is_sent_on_a_new_connection() -> None:
    pump = Cluster(brokers=1)
    heartbeats = heard(pump, BrokerHeartbeatRequest)
    pump.advance(2_000)
    pump.cut("broker-1", "controller-100")
    pump.advance(2_000 + 4_500 + 1_000)
    assert len(heartbeats) == 1
    pump.heal()
    pump.advance(1_000)
    # The one that was held back has arrived, and its answer went to a connection that is no more; the next is a new one.
    assert len(heartbeats) >= 3
    assert heartbeats[1][1].correlation_id < heartbeats[2][1].correlation_id


def test_a_controller_that_comes_back_finds_the_brokers_still_trying() -> None:
    pump = Cluster(brokers=3)
    pump.create_topic("orders")
    pump.crash("controller-100")
    pump.advance(30_000)
    pump.request("shop", "broker-1", produce())
    assert pump.replies("shop")[0].results[0].error is Error.NONE  # nobody needs the controller for that
    pump.start_controller()
    pump.advance(30_000)
    assert pump.traces(BrokerFenced) == []


def test_a_restarted_broker_is_refused_until_its_old_session_is_over_and_tries_until_then() -> None:
    pump = Cluster(brokers=3)
    pump.create_topic("orders")
    refusals = []

    def watch(target: str, event: object, source: str) -> None:
        if isinstance(event, BrokerRegistrationResponse):
            refusals.append((round(pump.now - start), event.error))

    start = pump.now
    pump.on_deliver = watch
    pump.crash("broker-1")
    pump.start_broker(1)
    pump.advance(30_000)
    *refused, (registered_at, last_error) = refusals
    assert {error for _, error in refused} == {Error.DUPLICATE_BROKER_REGISTRATION}
    assert [time for time, _ in refused[:5]] == [0, 100, 300, 700, 1_500]  # 100 ms, doubling
    assert last_error is Error.NONE
    assert 9_000 <= registered_at <= 20_000
    assert pump.broker(1).state is BrokerState.RUNNING
    assert pump.partition(1).leader == 2


def test_a_stale_broker_epoch_leaves_the_broker_as_it_is_asking_again_and_again() -> None:
    pump = Cluster(brokers=1)
    heartbeats = heard(pump, BrokerHeartbeatRequest)
    pump.state.image.brokers[1] = pump.state.image.brokers[1]._replace(broker_epoch=77)
    pump.advance(5_000)
    assert pump.broker(1).state is BrokerState.RUNNING
    assert len(heartbeats) > 4  # 100, 200, 400 ms ... after the first
    assert {heartbeat.broker_epoch for _, heartbeat in heartbeats} == {0}


def test_a_controlled_shutdown_moves_leaderships_first_and_a_clean_stop_is_told_to_the_controller_at_the_next_start() -> None:
    pump = Cluster(brokers=3)
    pump.create_topic("orders")
    pump.request("shop", "broker-1", produce(1))
    pump.advance(1_900)
    heartbeats = heard(pump, BrokerHeartbeatRequest)
    start = pump.now
    pump.call("broker-1", BeginControlledShutdown())
    assert pump.partition(2).is_leader
    assert pump.outputs["broker-1"] == []
    pump.advance(5_000)
    # Leave is given when the others have said, in heartbeats of their own, that they know who leads now.
    assert [time - start for time, heartbeat in heartbeats if heartbeat.want_shut_down] == [0, 50, 2_050]
    assert pump.outputs["broker-1"] == [ShutDownComplete()]
    assert pump.broker(1).state is BrokerState.SHUTTING_DOWN
    broker_epoch = pump.state.image.brokers[1].broker_epoch
    pump.broker(1).shut_down(pump.now)
    assert pump.disks[1].clean_shutdown_broker_epoch == broker_epoch
    log = pump.disks[1].logs[ORDERS]
    assert (log.recovery_point, log.high_watermark_checkpoint) == (1, 1)
    pump.crash("broker-1")
    pump.advance(10_000)
    pump.start_broker(1)
    assert pump.disks[1].clean_shutdown_broker_epoch == -1
    assert pump.traces(BrokerRegistered)[-1].clean_shutdown is True


def test_a_broker_that_is_shutting_down_takes_no_more_requests() -> None:
    pump = Cluster(brokers=1)
    pump.call("broker-1", BeginControlledShutdown())
    assert pump.outputs["broker-1"] == [ShutDownComplete()]
    assert not pump.broker(1).accepts_connections
    pump.request("shop", "broker-1", MetadataRequest(1, ()))
    assert pump.replies("shop") == [Disconnected("broker-1")]
    pump.advance(60_000)
    assert pump.outputs["broker-1"] == [ShutDownComplete()]


def test_without_controlled_shutdown_a_broker_may_stop_at_once() -> None:
    pump = Cluster(brokers=2, config=BrokerConfig(controlled_shutdown_enable=False))
    pump.create_topic("orders", replication_factor=2)
    pump.call("broker-1", BeginControlledShutdown())
    assert pump.outputs["broker-1"] == [ShutDownComplete()]
    assert pump.state.image.partitions[ORDERS].leader == 1


def test_a_broker_that_never_came_up_may_stop_at_once() -> None:
    pump = Cluster(brokers=0)
    pump.crash("controller-100")
    pump.start_broker(1)
    pump.call("broker-1", BeginControlledShutdown())
    assert pump.outputs["broker-1"] == [ShutDownComplete()]


def test_an_answer_to_a_heartbeat_that_was_given_up_is_ignored() -> None:
    pump = Cluster(brokers=1)
    heartbeats = heard(pump, BrokerHeartbeatRequest)
    pump.cut("broker-1", "controller-100")
    pump.advance(2_000)
    late = BrokerHeartbeatResponse(1, Error.NONE, is_fenced=False, should_shut_down=False)
    pump.broker(1).receive(late, "controller-100#heartbeat", pump.now)
    pump.advance(3_000)
    pump.heal()
    assert len(heartbeats) == 1  # the one on its way still counts, and no other was sent meanwhile
