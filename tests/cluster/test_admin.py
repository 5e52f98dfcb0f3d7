"""The administrator's connection: what it says where nobody answers, and what it and the controller's view see of real brokers."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster.patience import eventually
from confluent_kafka import Producer

from kafkasim.cluster import admin as admin_module
from kafkasim.cluster.addresses import Addresses
from kafkasim.cluster.admin import Admin
from kafkasim.cluster.brokers import LocalBrokers
from kafkasim.cluster.controller_view import ControllerView
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import compile_drivers, distribution, driver_command
from kafkasim.cluster.links import Links
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden
from kafkasim.protocol.records import TopicPartition

RECORDS = 5000


@pytest.mark.parametrize("listening", [False, True], ids=["nobody", "somebody who is no broker"])
def test_an_address_without_a_broker_is_named_in_one_sentence(
    listening: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(admin_module, "_CONNECT_S", 0.1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listening:
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"^No Kafka broker answers at {address}.$"):
            Admin(address)
    assert capfd.readouterr() == ("", "")


class Real(NamedTuple):
    """Two brokers, an administrator, and the observer of the controller's log."""

    brokers: LocalBrokers
    admin: Admin
    view: ControllerView
    folder: Path
    warden: Warden
    observer: list[str]

    def observe(self, name: str, folder: Path) -> ControllerView:
        process = Process(name, [*self.observer, str(folder)], self.warden, self.folder / f"{name}.log", pipes=True)
        assert process.stdout is not None
        return ControllerView(process.stdout)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    jars, addresses, links, warden = distribution(None, lambda _: None), Addresses(), Links(), Warden()
    config: dict[str, object] = {"broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500}
    brokers = LocalBrokers(jars, addresses, links, warden, tmp_path, 2, 1, config)
    observer = driver_command(jars, compile_drivers(jars, tmp_path / "classes"), "MetadataLog")
    try:
        brokers.start()
        process = Process("observer", [*observer, str(brokers.metadata_log)], warden, tmp_path / "observer.log", pipes=True)
        assert process.stdout is not None
        yield Real(brokers, Admin(brokers.admin_bootstrap), ControllerView(process.stdout), tmp_path, warden, observer)
    finally:
        brokers.close()
        links.close()
        addresses.close()
        warden.close()


@pytest.mark.kafka
@pytest.mark.slow
def test_administrator_and_view_agree_on_what_becomes_of_a_topic(real: Real) -> None:
    admin, view = real.admin, real.view
    assert eventually(lambda: all(view.in_sync(broker) for broker in (1, 2)))
    admin.create_topic("orders", [[2, 1], [1, 2]], {"min.insync.replicas": "1"})
    with pytest.raises(ClusterError, match=r"did not create the topic orders: .*already exists"):
        admin.create_topic("orders", [[2, 1]], {})
    assert [each.leader for each in admin.describe("orders")] == [2, 1]
    assert eventually(lambda: len(view.held_by(2)) == 2)

    producer = Producer({"bootstrap.servers": real.brokers.admin_bootstrap, "acks": "all", "log_level": 0})
    for number in range(RECORDS):
        producer.produce("orders", number.to_bytes(8, "big"), partition=0)
    assert producer.flush(30) == 0
    assert list(view.held_by(2)) == [TopicPartition("orders", 0), TopicPartition("orders", 1)]
    assert admin.end_offsets("orders", 3) == [RECORDS, 0, None]
    read = [record for chunk in admin.read_log("orders", 0, 30.0) for record in chunk]
    assert read == [(number, number.to_bytes(8, "big")) for number in range(RECORDS)]

    assert [admin.answers(broker) for broker in (1, 2, 3)] == [True, True, False]
    real.brokers.pause("broker-2")
    assert not admin.answers(2), "it is registered still, and does not answer"
    assert admin.end_offsets("orders", 1) == [RECORDS], "the paused leader is not asked for ever, nor believed"
    assert eventually(lambda: view.brokers[2].fenced and not view.in_sync(2))
    state = view.partition("orders", 0)
    assert state is not None
    assert (state.leader, state.leader_epoch, state.isr) == (1, 1, (1,))
    real.brokers.resume("broker-2")
    assert eventually(lambda: view.in_sync(2))
    admin.elect_preferred([("orders", 0), ("orders", 1)])
    assert eventually(lambda: (state := view.partition("orders", 0)) is not None and state.leader == 2)
    elected = [change.event for change in view.changes if change.kind == "LeaderElected"]
    assert [event.leader for event in elected if event.partition == TopicPartition("orders", 0)] == [2, 1, 2]

    admin.delete_topics(["orders", "never-was"])
    assert eventually(lambda: view.partition("orders", 0) is None)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_log_that_grows_by_halves_of_batches_and_is_cut_off_is_followed(real: Real) -> None:
    real.admin.create_topic("orders", [[2, 1], [1, 2]], {})
    assert eventually(lambda: len(real.view.held_by(1)) == 2)
    seen = real.view.changes
    copy = real.folder / "copy"
    view = real.observe("copied", copy)
    copy.mkdir()
    segment = sorted(real.brokers.metadata_log.glob("*.log"))[0]
    written, target = segment.read_bytes(), copy / segment.name
    for end in range(0, len(written), 997):
        with target.open("wb" if not end else "ab") as file:
            file.write(written[end : end + 997])
    assert eventually(lambda: len(view.held_by(1)) == 2)
    assert [change.event for change in view.changes[: len(seen)]] == [change.event for change in seen]

    target.write_bytes(b"")
    assert eventually(lambda: not view.brokers and not view.held_by(1))
    shutil.copyfile(segment, target)
    assert eventually(lambda: len(view.held_by(1)) == 2)
