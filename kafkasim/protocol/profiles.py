"""The versions of Kafka that are modelled, and every difference between them: defaults, names, and what brokers and controllers do.

A version is a profile: defaults and behaviours. 4.1 (4.1.1) is the reference, and the rules in the other modules are its rules; 3.6
(3.6.2, in KRaft mode) is told apart here, each difference with its source in Kafka, and nowhere else. A rule that differs asks one
field of `Behaviours`, which its machine was given when it was made. librdkafka is a library of its own: to it, 3.6 is only the brokers.

Simplified: 3.6 is only its KRaft mode; its controllers that kept their state in ZooKeeper are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kafkasim.protocol.config_names import words

ELR_FEATURE = "eligible.leader.replicas.version"


@dataclass(frozen=True, slots=True)
class Behaviours:
    """What brokers and controllers of a version do. The values here are those of 4.1."""

    # The high watermark stands still while the ISR is below min.insync.replicas (3.7, KAFKA-15583; Partition.maybeIncrementLeaderHW).
    # Before, it follows whatever the ISR is: acks=1 is visible at once, and acks=all ends in NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    high_watermark_waits_for_min_isr: bool = True
    # min.insync.replicas above the replication factor counts as the replication factor (3.7, KAFKA-15583; Partition.effectiveMinIsr).
    # Before, acks=all is refused for ever.
    min_isr_is_at_most_replication_factor: bool = True
    # Errors of Produce and Fetch name the leader (3.7, KIP-951, KAFKA-15661). Before, a client has to ask for metadata.
    errors_name_the_leader: bool = True
    # Whether a new cluster has the feature eligible.leader.replicas.version, and what it is (KIP-966; on for clusters new since 4.1).
    # None: the feature does not exist yet (3.6).
    eligible_leader_replicas_version: int | None = 1
    # unclean.leader.election.enable is heeded in KRaft mode (3.9). In 3.6 ConfigurationControlManager always says no.
    unclean_election_configurable: bool = True
    # The session of a broker ends only by itself (4.0, BrokerHeartbeatTracker). In 3.6 a fenced broker has none
    # (BrokerHeartbeatManager.hasValidSession), so that after a controlled shutdown it may register again at once.
    session_outlives_fencing: bool = True
    # The controller looks for stale brokers eight times a session (4.0, maybeFenceStaleBroker as a PeriodicTask). In 3.6 it looks in the
    # very moment in which the oldest session ends (QuorumController.rescheduleMaybeFenceStaleBrokers).
    stale_brokers_by_periodic_task: bool = True
    # max.in.flight.requests.per.connection above 5 is an error, though idempotence is only the default (4.0). Before, it is switched off.
    in_flight_above_5_is_an_error: bool = True
    # The wait before a retry doubles, with jitter, up to retry.backoff.max.ms (3.7, KIP-580). Before, it is always retry.backoff.ms.
    retry_backoff_grows: bool = True
    # auto.offset.reset=by_duration:PT… (4.0, KIP-1106). Before, the Java client refuses that word.
    resets_by_duration: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """One version. Keyed by kind of configuration (the names of config.Kind), and there by parameter.

    `defaults` differ from those declared in the config classes. `absent` are names that these declare, or config_names lists, and this
    version does not have, with the reason; `added` are names that only this version has, modelled or not.
    """

    version: str
    release: str
    behaviours: Behaviours
    defaults: Mapping[str, Mapping[str, object]]
    absent: Mapping[str, Mapping[str, str]]
    added: Mapping[str, frozenset[str]]


def _because(reason: str, names: str) -> Mapping[str, str]:
    return MappingProxyType(dict.fromkeys(words(names), reason))


KAFKA_4_1 = Profile(
    version="4.1",
    release="4.1.1",
    behaviours=Behaviours(),
    defaults=MappingProxyType({}),
    absent=MappingProxyType(
        {"BROKER": _because("it went with 4.0, and coordinators always wait for the ISR", "offsets.commit.required.acks")}
    ),
    added=MappingProxyType({}),
)

_CAME_LATER = "it came later"
_JAVA_CLIENTS_LATER: Mapping[str, str] = {
    **_because("it came with 3.7 (KIP-580): the wait is always retry.backoff.ms", "retry.backoff.max.ms"),
    **_because("it came with 3.8 (KIP-899)", "metadata.recovery.strategy"),
    **_because("it came with 4.0 (KIP-1102)", "metadata.recovery.rebootstrap.trigger.ms"),
    **_because("it came with 3.7 (KIP-714)", "enable.metrics.push"),
}
_COMPRESSION_LEVELS = _because("it came with 3.8 (KIP-390)", "compression.gzip.level compression.lz4.level compression.zstd.level")
_BROKERS_LATER = """
add.partitions.to.txn.retry.backoff.max.ms add.partitions.to.txn.retry.backoff.ms group.consumer.migration.policy
group.coordinator.append.linger.ms group.coordinator.rebalance.protocols group.share.assignors group.share.delivery.count.limit
group.share.heartbeat.interval.ms group.share.max.heartbeat.interval.ms group.share.max.record.lock.duration.ms
group.share.max.session.timeout.ms group.share.max.share.sessions group.share.max.size group.share.min.heartbeat.interval.ms
group.share.min.record.lock.duration.ms group.share.min.session.timeout.ms group.share.partition.max.record.locks
group.share.record.lock.duration.ms group.share.session.timeout.ms group.streams.heartbeat.interval.ms
group.streams.max.heartbeat.interval.ms group.streams.max.session.timeout.ms group.streams.max.size
group.streams.max.standby.replicas group.streams.min.heartbeat.interval.ms group.streams.min.session.timeout.ms
group.streams.num.standby.replicas group.streams.session.timeout.ms log.dir.failure.timeout.ms max.request.partition.size.limit
remote.fetch.max.wait.ms remote.list.offsets.request.timeout.ms remote.log.manager.copier.thread.pool.size
remote.log.manager.copy.max.bytes.per.second remote.log.manager.copy.quota.window.num
remote.log.manager.copy.quota.window.size.seconds remote.log.manager.expiration.thread.pool.size
remote.log.manager.fetch.max.bytes.per.second remote.log.manager.fetch.quota.window.num
remote.log.manager.fetch.quota.window.size.seconds share.coordinator.append.linger.ms share.coordinator.load.buffer.size
share.coordinator.snapshot.update.records.per.snapshot share.coordinator.state.topic.compression.codec
share.coordinator.state.topic.min.isr share.coordinator.state.topic.num.partitions
share.coordinator.state.topic.replication.factor share.coordinator.state.topic.segment.bytes share.coordinator.threads
share.coordinator.write.timeout.ms share.fetch.purgatory.purge.interval.requests telemetry.max.bytes
transaction.two.phase.commit.enable
"""
_BROKERS_BEFORE = words(
    """
auto.include.jmx.reporter broker.id.generation.enable control.plane.listener.name controlled.shutdown.max.retries
controlled.shutdown.retry.backoff.ms group.coordinator.new.enable inter.broker.protocol.version
leader.imbalance.per.broker.percentage log.message.downconversion.enable log.message.format.version
log.message.timestamp.difference.max.ms metadata.log.segment.min.bytes offsets.commit.required.acks
password.encoder.cipher.algorithm password.encoder.iterations password.encoder.key.length password.encoder.keyfactory.algorithm
password.encoder.old.secret password.encoder.secret
remote.log.manager.task.retry.backoff.max.ms remote.log.manager.task.retry.backoff.ms remote.log.manager.task.retry.jitter
reserved.broker.max.id server.max.startup.time.ms unstable.api.versions.enable zookeeper.clientCnxnSocket zookeeper.connect
zookeeper.connection.timeout.ms zookeeper.max.in.flight.requests zookeeper.metadata.migration.enable
zookeeper.metadata.migration.min.batch.size zookeeper.session.timeout.ms zookeeper.set.acl zookeeper.ssl.cipher.suites
zookeeper.ssl.client.enable zookeeper.ssl.crl.enable zookeeper.ssl.enabled.protocols
zookeeper.ssl.endpoint.identification.algorithm zookeeper.ssl.keystore.location zookeeper.ssl.keystore.password
zookeeper.ssl.keystore.type zookeeper.ssl.ocsp.enable zookeeper.ssl.protocol zookeeper.ssl.truststore.location
zookeeper.ssl.truststore.password zookeeper.ssl.truststore.type
"""
)

KAFKA_3_6 = Profile(
    version="3.6",
    release="3.6.2",
    behaviours=Behaviours(
        high_watermark_waits_for_min_isr=False,
        min_isr_is_at_most_replication_factor=False,
        errors_name_the_leader=False,
        eligible_leader_replicas_version=None,
        unclean_election_configurable=False,
        session_outlives_fencing=False,
        stale_brokers_by_periodic_task=False,
        in_flight_above_5_is_an_error=False,
        retry_backoff_grows=False,
        resets_by_duration=False,
    ),
    defaults=MappingProxyType(
        {
            # linger.ms became 5 with 4.0 (KIP-1030). Without metadata.recovery.strategy a client does what `none` says.
            "JAVA_PRODUCER": {"linger.ms": 0, "metadata.recovery.strategy": "none"},
            "JAVA_CONSUMER": {"metadata.recovery.strategy": "none"},
        }
    ),
    absent=MappingProxyType(
        {
            "JAVA_PRODUCER": {
                **_JAVA_CLIENTS_LATER,
                **_COMPRESSION_LEVELS,
                **_because(_CAME_LATER, "transaction.two.phase.commit.enable"),
            },
            "JAVA_CONSUMER": {
                **_JAVA_CLIENTS_LATER,
                **_because("it came with 3.7 (KIP-848)", "group.protocol group.remote.assignor"),
                **_because(_CAME_LATER, "share.acknowledgement.mode"),
            },
            "BROKER": {**_COMPRESSION_LEVELS, **_because(_CAME_LATER, _BROKERS_LATER)},
            "TOPIC": {**_COMPRESSION_LEVELS, **_because(_CAME_LATER, "remote.log.copy.disable remote.log.delete.on.disable")},
        }
    ),
    added=MappingProxyType(
        {
            "JAVA_PRODUCER": frozenset({"auto.include.jmx.reporter"}),
            "JAVA_CONSUMER": frozenset({"auto.include.jmx.reporter"}),
            "BROKER": _BROKERS_BEFORE,
            "TOPIC": frozenset({"message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"}),
        }
    ),
)

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.version: profile for profile in (KAFKA_4_1, KAFKA_3_6)})
