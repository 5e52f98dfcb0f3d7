"""What a client knows of the cluster, and when it asks again: org.apache.kafka.clients.Metadata and Cluster.

The rules, in Kafka's order of thought:

* A refresh is *due* when somebody asked for one, or when the knowledge is `metadata.max.age.ms` old, but never sooner
  after the last refresh than a backoff (which grows while attempts fail, and while answers bring no news).
* A leader is believed only from an answer whose leader epoch is not older than the newest one seen (KIP-320).
* A produce or fetch error may name the new leader (KIP-951): believed at once, where its epoch is newer.
* Rebootstrap (KIP-899, KIP-1102) forgets everything but the bootstrap brokers and the topics of interest.

Simplified: topics stay of interest for ever (Kafka's producer forgets one after metadata.max.idle.ms without a send), and a
refresh always asks for all of them. Simplified: the jitter of a backoff is drawn once per refresh, not at every look.
"""

from __future__ import annotations

from kafkasim.protocol.backoff import ExponentialBackoff
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import MetadataResponse, PartitionMetadata
from kafkasim.protocol.node import Random, broker_name
from kafkasim.protocol.records import TopicPartition

NEVER = float("inf")
NO_LEADER = -1


class ClientMetadata:
    """The cached cluster of one client, and the clock of its refreshes. Times in ms.

    `peers` are the connections one may ask for metadata: the brokers known, or before the first answer (and after a
    rebootstrap) `broker-N#bootstrap`, since Kafka gives bootstrap nodes ids, and so connections, of their own.
    `version` grows with every change. `update_at` is when a refresh is due; NEVER while one is in flight.
    """

    __slots__ = (
        "_allowed_at",
        "_attempts",
        "_backoff",
        "_bootstrap",
        "_equivalent_responses",
        "_expires_at",
        "_last_refresh",
        "_max_age",
        "_new_topics",
        "_requested",
        "brokers",
        "in_progress",
        "leader_epochs",
        "leaders",
        "partitions",
        "peers",
        "topics",
        "update_at",
        "version",
    )

    def __init__(self, bootstrap: tuple[int, ...], retry_ms: float, retry_max_ms: float, max_age_ms: float, random: Random) -> None:
        self._bootstrap = tuple(f"{broker_name(broker_id)}#bootstrap" for broker_id in bootstrap)
        self._backoff = ExponentialBackoff(retry_ms, retry_max_ms, random)
        self._max_age = max_age_ms
        self._attempts = 0
        self._equivalent_responses = 0
        self._last_refresh = -NEVER
        self._expires_at = -NEVER
        self._allowed_at = -NEVER
        self._requested = False
        self._new_topics = False
        self.topics: dict[str, None] = {}
        self.version = 0
        self.in_progress = False
        self.update_at = NEVER
        self.brokers: tuple[int, ...] = ()
        self.peers: tuple[str, ...] = ()
        self.partitions: dict[str, tuple[TopicPartition, ...]] = {}
        self.leaders: dict[TopicPartition, int] = {}
        self.leader_epochs: dict[TopicPartition, int] = {}
        self.rebootstrap()

    # ------------------------------------------------------------------------------------------------ asking

    def add_topic(self, topic: str) -> None:
        """WHEN the client takes interest in a topic; THEN, if it is new, it asks at once and without backoff."""
        if topic not in self.topics:
            self.topics[topic] = None
            self.request_update_for_new_topics()

    def request_update(self) -> None:
        """WHEN something hints at stale knowledge (an error, a disconnect); THEN a refresh is due once the backoff allows it."""
        self._requested = True
        self._schedule()

    def request_update_for_new_topics(self) -> None:
        """WHEN knowledge is missing rather than stale; THEN the backoff is waived (requestUpdateForNewTopics)."""
        self._new_topics = True
        self._equivalent_responses = 0
        self._last_refresh = -NEVER
        self._allowed_at = -NEVER
        self.request_update()

    def started(self) -> None:
        """WHEN the request has been written."""
        self.in_progress = True
        self._new_topics = False
        self._schedule()

    # ------------------------------------------------------------------------------------------------ answers

    def update(self, response: MetadataResponse, now: float) -> None:
        """WHEN an answer came; THEN brokers are replaced, leaders too unless the answer is older than what is known."""
        if not response.brokers:  # a broker that has just started knows nobody yet
            self.failed_update(now)
            return
        self.in_progress = False
        self.version += 1
        self._requested = self._new_topics  # whatever else was asked for meanwhile, this answer satisfies
        self._attempts = 0
        self._equivalent_responses += 1
        self._last_refresh = now
        self._expires_at = now + self._max_age
        self.brokers = response.brokers
        self.peers = tuple(broker_name(broker_id) for broker_id in response.brokers)
        self._update_partitions(response.partitions)
        self._back_off()

    def failed_update(self, now: float) -> None:
        """WHEN the request failed, or could not be made before its connection went; THEN the backoff grows."""
        self.in_progress = False
        self._attempts += 1
        self._equivalent_responses = 0
        self._last_refresh = now
        self._back_off()

    def update_leadership(self, partition: TopicPartition, leader: int, leader_epoch: int) -> bool:
        """WHEN an error names the current leader (KIP-951); THEN believe it, if it is newer than what is known."""
        known = self.leader_epochs.get(partition)
        if known is None or leader_epoch <= known or leader not in self.brokers:
            return False
        self.leaders[partition] = leader
        self.leader_epochs[partition] = leader_epoch
        self.version += 1
        return True

    def rebootstrap(self) -> None:
        """WHEN no known broker can be reached (KIP-899), or no refresh succeeded for long (KIP-1102); THEN start from nothing."""
        self.version += 1
        self.brokers = ()
        self.peers = self._bootstrap
        self.partitions = {}
        self.leaders = {}
        self.leader_epochs = {}
        self.request_update()

    @property
    def is_bootstrap(self) -> bool:
        """Nothing is known but the bootstrap addresses."""
        return not self.brokers

    # ------------------------------------------------------------------------------------------------ helpers

    def _update_partitions(self, answered: tuple[PartitionMetadata, ...]) -> None:
        """Take over what is not older than what is known; keep asking while a topic or a leader is missing."""
        known_leaders, known_epochs = self.leaders, self.leader_epochs
        partitions: dict[str, list[TopicPartition]] = {}
        self.leaders, self.leader_epochs = {}, {}
        for partition, error, leader, leader_epoch in answered:
            if error.invalid_metadata:
                self._requested = True
            if error is Error.UNKNOWN_TOPIC_OR_PARTITION:
                continue
            known = known_epochs.get(partition, -1)
            if 0 <= leader_epoch < known:
                self.leaders[partition] = known_leaders[partition]
                self.leader_epochs[partition] = known
            else:
                self.leaders[partition] = leader
                self.leader_epochs[partition] = leader_epoch
                if leader_epoch != known:
                    self._equivalent_responses = 0
            partitions.setdefault(partition.topic, []).append(partition)
        self.partitions = {topic: tuple(sorted(of_topic)) for topic, of_topic in partitions.items()}
        if any(topic not in self.partitions for topic in self.topics):
            self._requested = True

    def _back_off(self) -> None:
        """The earliest next refresh: the longer of the backoffs for failed attempts and for answers without news."""
        wait = self._backoff.backoff(max(self._attempts - 1, 0))
        if self._equivalent_responses > 0:
            wait = max(wait, self._backoff.backoff(self._equivalent_responses - 1))
        self._allowed_at = self._last_refresh + wait
        self._schedule()

    def _schedule(self) -> None:
        if self.in_progress:
            self.update_at = NEVER
        else:
            self.update_at = self._allowed_at if self._requested else max(self._expires_at, self._allowed_at)
