"""A record may be handed over late only where nobody can tell: every run is the same as with hand-overs at each event."""

from __future__ import annotations

from typing import Any

import pytest

from kafkasim.ledger import Ledger
from kafkasim.protocol.producer import Producer
from kafkasim.runner import run
from kafkasim.scenario import Scenario

PRODUCERS = {
    "linger": "config: {linger.ms: 7}",
    "one in flight": "config: {linger.ms: 5, max.in.flight.requests.per.connection: 1, enable.idempotence: false}",
    "full batches": "config: {linger.ms: 20, batch.size: 700}",
    "little memory": "config: {linger.ms: 5, batch.size: 600, buffer.memory: 1300, max.block.ms: 30}",
    "not one batch's memory": "config: {linger.ms: 5, batch.size: 2000, buffer.memory: 1900, max.request.size: 1900, max.block.ms: 3}",
    "re-sends": "on.failure: resend, config: {linger.ms: 5, retries: 0, request.timeout.ms: 40, delivery.timeout.ms: 45}",
    "spool": "on.failure: spool, config: {linger.ms: 5, retries: 0, request.timeout.ms: 40, delivery.timeout.ms: 45}",
    "poisson": "arrivals: poisson, config: {linger.ms: 5}",
    "keys": "keys: uniform(9), config: {linger.ms: 5}",
    "librdkafka": "client: librdkafka, config: {linger.ms: 5}",
}


def seen(scenario: Scenario) -> dict[str, Any]:
    """All that the clients saw, but not how the records of several producers took turns in `Ledger.sent`."""
    ledgers: list[Ledger] = []
    run(scenario, 3, keep=ledgers.append)
    ledger = ledgers[0]
    return {
        "sent": sum(len(entry.numbers) for entry in ledger.sent),
        **{
            name: [tuple(map(str, entry)) for entry in getattr(ledger, name)]
            for name in ("callbacks", "resent", "spooled", "handled", "log")
        },
    }


@pytest.mark.parametrize("producer", PRODUCERS.values(), ids=PRODUCERS.keys())
def test_a_late_hand_over_is_noticed_by_nobody(producer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario.loads(
        "topics: {orders: {partitions: 3, config: {min.insync.replicas: 2}}}\n"
        f"producers: [{{name: shop, topic: orders, records: 1500, rate: 900, record.size: 90, {producer}}}]\n"
        "consumers: [{group: billing, topics: [orders]}]\n"
        "faults:\n"
        "  - {at: 300ms, fault: drop-responses, node: brokers, from: producer(shop), probability: 0.1, for: 400ms}\n"
        "  - {at: 800ms, fault: crash, node: leader(orders-0), for: 300ms}\n"
        "  - {when: {sent: 1203, producer: shop}, fault: pause, node: broker(2), for: 100ms}\n"
    )
    late = seen(scenario)
    monkeypatch.setattr(Producer, "records_that_can_wait", lambda *_: 0)
    monkeypatch.setattr(Producer, "would_not_notice", lambda *_: False)
    assert late == seen(scenario)
