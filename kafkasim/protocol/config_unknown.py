"""What to say about a key that does not belong: the nearest right name, or whose key it is; and which keys name places.

Kafka itself only logs "These configurations were supplied but are not used yet": a misspelled acks then changes nothing, in
silence. The simulator refuses instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from kafkasim.protocol.config_broker import TOPIC_SYNONYMS
from kafkasim.protocol.config_names import (
    BROKER_NAMES,
    JAVA_CONSUMER_NAMES,
    JAVA_PRODUCER_NAMES,
    LIBRDKAFKA_CONSUMER_ONLY,
    LIBRDKAFKA_NAMES,
    LIBRDKAFKA_PRODUCER_ONLY,
    TOPIC_NAMES,
    words,
)

# The other library's word for the same idea. Not always the same meaning: flavours.py says where they differ.
_JAVA_TO_LIBRDKAFKA: Mapping[str, str] = MappingProxyType(
    {
        "buffer.memory": "queue.buffering.max.kbytes (in kibibytes)",
        "max.block.ms": "nothing of the kind: its produce() never blocks, a full queue fails at once",
        "max.request.size": "message.max.bytes",
        "fetch.max.wait.ms": "fetch.wait.max.ms",
        "partitioner.class": "partitioner",
        "default.api.timeout.ms": "socket.timeout.ms",
        "socket.connection.setup.timeout.max.ms": "socket.connection.setup.timeout.ms, which does not grow",
    }
)
_LIBRDKAFKA_TO_JAVA: Mapping[str, str] = MappingProxyType(
    {
        "message.timeout.ms": "delivery.timeout.ms",
        "queue.buffering.max.ms": "linger.ms",
        "queue.buffering.max.kbytes": "buffer.memory (in bytes)",
        "queue.buffering.max.messages": "buffer.memory (in bytes)",
        "message.send.max.retries": "retries",
        "request.required.acks": "acks",
        "max.in.flight": "max.in.flight.requests.per.connection",
        "socket.timeout.ms": "request.timeout.ms",
        "message.max.bytes": "max.request.size",
        "topic.metadata.refresh.interval.ms": "metadata.max.age.ms",
        "topic.metadata.refresh.fast.interval.ms": "retry.backoff.ms",
        "fetch.wait.max.ms": "fetch.max.wait.ms",
        "fetch.message.max.bytes": "max.partition.fetch.bytes",
        "enable.auto.offset.store": "nothing of the kind: poll() commits what earlier polls returned",
        "partitioner": "partitioner.class",
        "batch.num.messages": "batch.size (in bytes)",
    }
)
_BROKER_TO_TOPIC: Mapping[str, str] = MappingProxyType({broker: topic for topic, broker in TOPIC_SYNONYMS.items()})

# Who knows a name, in the order in which one would rather hear it.
_OWNERS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("JAVA_PRODUCER", "the Java producer", JAVA_PRODUCER_NAMES),
    ("JAVA_CONSUMER", "the Java consumer", JAVA_CONSUMER_NAMES),
    ("TOPIC", "a topic", TOPIC_NAMES),
    ("BROKER", "a broker", BROKER_NAMES),
    ("LIBRDKAFKA_PRODUCER", "librdkafka's producer", LIBRDKAFKA_NAMES - LIBRDKAFKA_CONSUMER_ONLY),
    ("LIBRDKAFKA_CONSUMER", "librdkafka's consumer", LIBRDKAFKA_NAMES - LIBRDKAFKA_PRODUCER_ONLY),
)

_PLACES = words(
    """
bootstrap.servers metadata.broker.list bootstrap.controllers client.id client.rack group.id group.instance.id
node.id broker.id broker.rack process.roles listeners advertised.listeners early.start.listeners inter.broker.listener.name
controller.listener.names controller.quorum.voters controller.quorum.bootstrap.servers
log.dir log.dirs metadata.log.dir authorizer.class.name principal.builder.class
key.serializer value.serializer key.deserializer value.deserializer plugin.library.paths
https.ca.location https.ca.pem enable.ssl.certificate.verification enable.sasl.oauthbearer.unsecure.jwt
"""
)
_PLACE_PREFIXES = ("ssl.", "ssl_", "sasl.", "security.", "listener.", "delegation.token.")


def is_place(key: str) -> bool:
    """Whether a key says where or who rather than how to behave: addresses, ids, directories, security, (de)serializer classes."""
    return key in _PLACES or key.startswith(_PLACE_PREFIXES)


def unknown_key(key: str, kind_name: str, kind_words: str, known: Iterable[str]) -> str:
    """One sentence for a key that `kind` does not know: what it would call it, who else knows it, or the nearest name."""
    start = f"{key} is not a setting of {kind_words}"
    counterpart = _counterpart(key, kind_name)
    if counterpart is not None:
        return f"{start}; it has {counterpart}." if counterpart.startswith("nothing") else f"{start}; its name there is {counterpart}."
    owners = _owners(key, kind_name)
    if owners:
        return f"{start} but of {' and '.join(owners)}."
    for candidates in (known, _all_names()):
        near = get_close_matches(key.lower().replace("_", "."), sorted(set(candidates)), n=1, cutoff=0.75)
        if near:
            return _did_you_mean(start, near[0], kind_name)
    return f"{start}, and nothing that Kafka knows is spelled alike."


def _did_you_mean(start: str, name: str, kind_name: str) -> str:
    owners = _owners(name, kind_name) if all(name not in names for kind, _, names in _OWNERS if kind == kind_name) else []
    whose = f" That is a setting of {' and '.join(owners)}." if owners else ""
    return f"{start}; did you mean {name}?{whose}"


def _counterpart(key: str, kind_name: str) -> str | None:
    if kind_name.startswith("LIBRDKAFKA"):
        return _JAVA_TO_LIBRDKAFKA.get(key)
    if kind_name == "TOPIC":
        return _BROKER_TO_TOPIC.get(key)
    if kind_name == "BROKER":
        return TOPIC_SYNONYMS.get(key)
    return _LIBRDKAFKA_TO_JAVA.get(key) if kind_name == "JAVA_PRODUCER" or key in _JAVA_CONSUMERS_WORDS else None


def _owners(key: str, kind_name: str) -> list[str]:
    """Who else knows a key: of several the nearest two, Java's clients before librdkafka's."""
    found = [words for kind, words, names in _OWNERS if kind != kind_name and key in names]
    return found[:2]


def _all_names() -> list[str]:
    return [name for _, _, names in _OWNERS for name in sorted(names)]


_JAVA_CONSUMERS_WORDS = frozenset(
    (
        *("socket.timeout.ms", "topic.metadata.refresh.interval.ms", "topic.metadata.refresh.fast.interval.ms"),
        *("fetch.wait.max.ms", "fetch.message.max.bytes", "enable.auto.offset.store"),
    )
)
