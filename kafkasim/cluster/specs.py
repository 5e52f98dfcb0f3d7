"""What an application process is told (its spec, the first line of its stdin) and what it tells (events, one JSON line each).

Events, by their "e":
  ready                                    the standby is warm: "go" will begin at once
  started                                  the client exists; a producer waits until it is told zero
  asked     last                           records below `last` may go to send() from now on, and be in the log, before `sent` says so.
                                           If the process dies, they went; the number falls back where send() does not return
  sent      first, last, at                records first … last - 1 went to send() for the first time
  resent    numbers, at, spool             go to send() again, now
  callback  numbers, at, error, definite, partition, offset
  spooled   numbers, at
  state     open, spool, all_sent, idle    after any of it changed: records without a callback, records in the spool, schedule done,
                                           no re-send waiting
  assigned  partitions                     all that the member has now; null while it has no assignment
  handled   partition, offset, producer, number, at, effect       `producer` is the place in the scenario
  commit    offsets [[partition, offset], …], error, at
  skipped   partition, position, offset, at
  positions {partition: offset}            after each poll that moved one
  busy      busy                           whether records are in hand (polled and not handled)
  reached   count                          the gate: nothing goes on before {"do": "resume"}
  stopped   reason                         the loop has ended by itself: poll() threw
`numbers` is a list of [first, last] pairs, both inclusive. `at` in ms since zero.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ProducerSpec:
    """One producing application. Times in ms, on the ledger's clock (since zero)."""

    name: str
    index: int
    client: str  # java, librdkafka
    topic: str  # the scenario's name
    real_topic: str
    bootstrap: str
    config: dict[str, str]  # verbatim, and nothing of ours in it
    record_size: int
    arrivals: list[float]
    keys: list[int] | None
    first: int  # the record to begin with; after a restart not 0
    sent_before: int  # records below this went to send() in an earlier life: sending them again is `resent`
    on_failure: str
    retries: int
    retry_backoff_ms: float
    spool_path: str  # "" without a spool
    spool_retry_ms: float
    gates: list[int]  # stop after so many first sends in all, and tell "reached"
    java: list[str]  # the command that runs drivers/ProducerDriver, without arguments; empty for librdkafka


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One member of one group."""

    group: str
    real_group: str
    member: str
    client: str
    topics: dict[str, str]  # the scenario's name -> the real one
    bootstrap: str
    config: dict[str, str]
    max_poll_records: int
    poll_timeout_ms: float
    commit: str
    worker_commit: str
    threads: int
    processing_ms: float
    dedup: str
    dedup_order: str
    dedup_ms: float
    dedup_where: str  # path of the SQLite file, or the URL of the Redis
    dedup_namespace: str
    producers: list[str]  # names, by place: flags are kept by name
    gates: list[int]  # stop after so many handlings of the group in all, and tell "reached"
    handled_before: int  # handlings of the group so far
    seed: int
    java: list[str]


def to_line(spec: ProducerSpec | ConsumerSpec) -> str:
    """The spec as the one line that `read_producer` or `read_consumer` reads."""
    return json.dumps(asdict(spec)) + "\n"


def read_producer(line: str) -> ProducerSpec:
    """What `to_line` wrote."""
    return ProducerSpec(**json.loads(line))


def read_consumer(line: str) -> ConsumerSpec:
    """What `to_line` wrote."""
    return ConsumerSpec(**json.loads(line))


def runs(numbers: list[int]) -> list[list[int]]:
    """Consecutive numbers as [first, last] pairs, both inclusive, in the order given."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def numbers_of(pairs: list[list[int]]) -> range | tuple[int, ...]:
    """The other way round: a range where there is one run."""
    if len(pairs) == 1:
        return range(pairs[0][0], pairs[0][1] + 1)
    return tuple(number for first, last in pairs for number in range(first, last + 1))
