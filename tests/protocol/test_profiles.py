"""Kafka 3.6 beside 4.1: its names and defaults as Kafka's own classes print them, and each behaviour that differs, by both versions.

kafka-3.6-defaults.txt is what the ConfigDefs of 3.6.2 say, without the keys of ssl and sasl.
"""

import re
from pathlib import Path

import pytest
from pump import Cluster
from three_brokers import ORDERS, Three, batch_of, consume

from kafkasim.protocol.broker import BeginControlledShutdown, ShutDownComplete
from kafkasim.protocol.config import BrokerConfig, JavaProducerConfig, Kind, parameters, parse
from kafkasim.protocol.config_unknown import is_place
from kafkasim.protocol.errors import Error
from kafkasim.protocol.flavours import producer_settings
from kafkasim.protocol.messages import FetchPartition, OffsetCommitRequest
from kafkasim.protocol.partition import Partition
from kafkasim.protocol.profiles import KAFKA_3_6, KAFKA_4_1, Behaviours
from kafkasim.protocol.records import TopicPartition

SECTIONS = {
    Kind.JAVA_PRODUCER: "ProducerConfig",
    Kind.JAVA_CONSUMER: "ConsumerConfig",
    Kind.BROKER: "KafkaConfig",
    Kind.TOPIC: "LogConfig",
}


def kafkas_own_words(section: str) -> dict[str, str]:
    """name -> default, as 3.6.2 prints it."""
    text = (Path(__file__).parent / "kafka-3.6-defaults.txt").read_text().split(f"## {section} ")[1].split("\n## ")[0]
    lines = [line.partition(" = ") for line in text.splitlines()[1:] if line]
    internal = {"log.initial.task.delay.ms": "30000"} if section == "KafkaConfig" else {}  # defineInternal in LogConfig: not printed
    return {name: rest.partition("| valid:")[0].strip() for name, _, rest in lines} | internal


# --- names and defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_parameter_of_3_6_has_the_default_that_its_own_class_prints(kind: Kind) -> None:
    own = kafkas_own_words(SECTIONS[kind])
    listed = parameters(kind, KAFKA_3_6)
    shown = {p.name: str(p.default).replace("True", "true").replace("False", "false").replace("None", "null") for p in listed}
    assert len(shown) >= 5
    assert shown == {name: own[name] for name in shown}


@pytest.mark.parametrize("kind", SECTIONS)
def test_3_6_knows_the_names_of_its_own_classes_and_no_others(kind: Kind) -> None:
    own = {name for name in kafkas_own_words(SECTIONS[kind]) if not is_place(name)}
    modelled = {p.name for p in parameters(kind, KAFKA_3_6)}
    assert parse(kind, dict.fromkeys(own - modelled, "anything"), KAFKA_3_6).problems == ()
    newer = KAFKA_3_6.absent[kind.name]
    assert len(newer) >= 5
    assert not own & newer.keys()
    assert {problem.key for problem in parse(kind, dict.fromkeys(newer, "x"), KAFKA_3_6).problems} == newer.keys()


@pytest.mark.parametrize("kind", SECTIONS)
def test_what_only_3_6_has_is_refused_in_4_1(kind: Kind) -> None:
    older = KAFKA_3_6.added[kind.name]
    assert older <= kafkas_own_words(SECTIONS[kind]).keys()
    assert {problem.key for problem in parse(kind, dict.fromkeys(older, "x")).problems} == set(older)


def test_a_name_of_another_version_is_told_with_the_reason() -> None:
    sentences = [problem.sentence for problem in parse(Kind.JAVA_PRODUCER, {"retry.backoff.max.ms": 500}, KAFKA_3_6).problems]
    assert sentences == [
        "retry.backoff.max.ms is not a setting of the Java producer of Kafka 3.6; "
        "it came with 3.7 (KIP-580): the wait is always retry.backoff.ms."
    ]
    sentences = [problem.sentence for problem in parse(Kind.BROKER, {"offsets.commit.required.acks": 1}).problems]
    assert sentences == [
        "offsets.commit.required.acks is not a setting of a broker of Kafka 4.1; "
        "it went with 4.0, and coordinators always wait for the ISR."
    ]


def test_a_client_of_3_6_retries_after_a_constant_time_never_rebootstraps_and_does_not_linger() -> None:
    config = parse(Kind.JAVA_PRODUCER, {"retry.backoff.ms": 300}, KAFKA_3_6).config
    assert isinstance(config, JavaProducerConfig)
    settings = producer_settings(config)
    assert (settings.retry_backoff_ms, settings.retry_backoff_max_ms, settings.metadata_retry_ms) == (300, 300, 300)
    assert not settings.rebootstrap
    assert settings.linger_ms == 0


def test_more_than_five_in_flight_is_an_error_since_4_0_and_before_switches_the_defaulted_idempotence_off() -> None:
    six = {"max.in.flight.requests.per.connection": 6}
    assert parse(Kind.JAVA_PRODUCER, six).config is None
    older = parse(Kind.JAVA_PRODUCER, six, KAFKA_3_6)
    assert isinstance(older.config, JavaProducerConfig)
    assert not older.config.enable_idempotence
    assert older.notes == ("max.in.flight.requests.per.connection=6 switched the defaulted enable.idempotence off, in silence.",)
    assert parse(Kind.JAVA_PRODUCER, {**six, "enable.idempotence": True}, KAFKA_3_6).config is None


# --- the leader -----------------------------------------------------------------------------------------------------------------


class ThreeOf(Three):
    """Three brokers of a version."""

    def __init__(self, behaviours: Behaviours, min_isr: int = 2, isr: tuple[int, ...] = (1, 2, 3)) -> None:
        self.behaviours = behaviours
        super().__init__(min_isr, isr)

    def start(self, broker: int) -> Partition:
        config = BrokerConfig()
        return Partition(
            ORDERS, broker, self.logs[broker], self.config, config, self.events.append, self.brokers, behaviours=self.behaviours
        )


def test_below_min_insync_replicas_acks_1_is_visible_in_3_6_and_invisible_in_4_1() -> None:
    for behaviours, visible in ((KAFKA_3_6.behaviours, 10), (KAFKA_4_1.behaviours, 0)):
        leader = ThreeOf(behaviours, isr=(1,)).at[1]
        assert leader.append_records_to_leader(batch_of(), 1, 0.0).error is Error.NONE
        assert leader.append_records_to_leader(batch_of(10), -1, 0.0).error is Error.NOT_ENOUGH_REPLICAS
        assert leader.high_watermark == visible
        assert sum(log_batch.batch.count for log_batch in consume(leader, 0).batches) == visible


def test_an_isr_that_shrinks_after_the_append_ends_acks_all_in_3_6_and_leaves_it_waiting_in_4_1() -> None:
    answers = {"3.6": (True, Error.NOT_ENOUGH_REPLICAS_AFTER_APPEND), "4.1": (False, Error.NONE)}
    for profile in (KAFKA_3_6, KAFKA_4_1):
        three = ThreeOf(profile.behaviours)
        leader = three.at[1]
        assert leader.append_records_to_leader(batch_of(), -1, 0.0).error is Error.NONE
        three.elect(1, leader_epoch=1, isr=(1,))
        assert leader.check_enough_replicas_reach_offset(10) == answers[profile.version]


def test_min_insync_replicas_above_the_replication_factor_refuses_acks_all_for_ever_in_3_6() -> None:
    for behaviours, error in ((KAFKA_3_6.behaviours, Error.NOT_ENOUGH_REPLICAS), (KAFKA_4_1.behaviours, Error.NONE)):
        leader = ThreeOf(behaviours, min_isr=4).at[1]
        assert leader.append_records_to_leader(batch_of(), -1, 0.0).error is error


def test_who_leads_is_told_with_an_error_since_3_7() -> None:
    for behaviours, told in ((KAFKA_3_6.behaviours, (-1, -1)), (KAFKA_4_1.behaviours, (2, 1))):
        three = ThreeOf(behaviours)
        three.elect(2, leader_epoch=1, isr=(1, 2, 3))
        fetched = three.at[1].read_for_fetch(FetchPartition(ORDERS, 0, 0, -1, 1_000_000), -1, False)
        assert fetched.error is Error.FENCED_LEADER_EPOCH
        assert (fetched.current_leader, fetched.current_leader_epoch) == told


# --- the controller -------------------------------------------------------------------------------------------------------------


def test_a_broker_that_was_shut_down_may_come_back_at_once_in_3_6_and_after_its_session_in_4_1() -> None:
    absent = {}
    for profile in (KAFKA_3_6, KAFKA_4_1):
        cluster = Cluster(profile=profile)
        cluster.create_topic("orders")
        cluster.call("broker-3", BeginControlledShutdown())
        cluster.advance(100)
        assert any(isinstance(said, ShutDownComplete) for said in cluster.outputs["broker-3"])
        cluster.broker(3).shut_down(cluster.now)
        cluster.crash("broker-3")
        stopped = cluster.now
        cluster.start_broker(3)
        while 3 not in cluster.state.image.partitions[ORDERS].isr:
            cluster.advance(50)
        absent[profile.version] = cluster.now - stopped
    assert absent["3.6"] < 1_000
    assert absent["4.1"] > 8_000


def test_a_dead_broker_is_fenced_at_the_very_end_of_its_session_in_3_6_and_at_the_next_look_in_4_1() -> None:
    fenced = {}
    for profile in (KAFKA_3_6, KAFKA_4_1):
        cluster = Cluster(profile=profile)
        cluster.advance(5_300)
        beat = cluster.now  # the brokers' clocks are in step, and the last heartbeat was up to two seconds ago
        cluster.crash("broker-3")
        while not cluster.state.image.brokers[3].fenced:
            cluster.advance(1)
        fenced[profile.version] = cluster.now - beat
    assert 7_000 <= fenced["3.6"] <= 9_001
    assert fenced["3.6"] + 1 < fenced["4.1"] <= fenced["3.6"] + 9_000 / 8 + 1


def test_unclean_election_is_not_to_be_had_in_kraft_mode_before_3_9() -> None:
    leaders = {}
    for profile in (KAFKA_3_6, KAFKA_4_1):
        cluster = Cluster(brokers=2, profile=profile, eligible_leader_replicas=False)
        cluster.create_topic("orders", replication_factor=2, unclean_leader_election_enable=True)
        cluster.crash("broker-2")
        cluster.advance(12_000)
        assert cluster.state.image.partitions[ORDERS].isr == (1,)
        cluster.crash("broker-1")
        cluster.start_broker(2)
        cluster.advance(12_000)
        leaders[profile.version] = cluster.state.image.partitions[ORDERS].leader
    assert leaders == {"3.6": -1, "4.1": 2}


def test_an_offset_that_is_committed_with_required_acks_1_is_answered_before_it_is_replicated() -> None:
    for required_acks, answered in ((1, True), (-1, False)):
        config = BrokerConfig(offsets_commit_required_acks=required_acks, offsets_topic_num_partitions=1)
        cluster = Cluster(config=config, profile=KAFKA_3_6)
        cluster.create_topic("__consumer_offsets")
        cluster.create_topic("orders")
        coordinator = cluster.state.image.partitions[TopicPartition("__consumer_offsets", 0)].leader
        for broker in {1, 2, 3} - {coordinator}:
            cluster.cut(f"broker-{coordinator}", f"broker-{broker}")
        cluster.request("billing", f"broker-{coordinator}", OffsetCommitRequest(1, "billing", -1, "", ((ORDERS, 40, 0),)))
        assert bool(cluster.replies("billing")) is answered
        assert cluster.partition(coordinator, "__consumer_offsets").high_watermark == 0


def test_every_behaviour_has_a_sentence_in_which_its_source_stands() -> None:
    source = (Path(__file__).parents[2] / "kafkasim/protocol/profiles.py").read_text()
    lines = source.split("class Behaviours:")[1].split("@dataclass")[0].splitlines()
    for name in Behaviours.__slots__:
        declared = next(index for index, line in enumerate(lines) if line.startswith(f"    {name}:"))
        assert re.search(r"\(.*\d\.\d|KIP-\d+|KAFKA-\d+", " ".join(lines[declared - 2 : declared])), name
