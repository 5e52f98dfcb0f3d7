"""A cluster of our own on this machine: KRaft from jars, each link through a proxy, each process in our hands."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kafkasim.cluster.addresses import Addresses
from kafkasim.cluster.admin import Admin
from kafkasim.cluster.applications import last_words
from kafkasim.cluster.brokers import LocalBrokers
from kafkasim.cluster.controller_view import Change, ControllerView, PartitionState
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import Distribution, compile_drivers, driver_command
from kafkasim.cluster.links import Links
from kafkasim.cluster.names import OFFSETS_TOPIC, Names
from kafkasim.cluster.processes import Process
from kafkasim.cluster.site import Doomed, Drivers, Made
from kafkasim.cluster.warden import Warden
from kafkasim.faults import LINK_VERBS, Verb
from kafkasim.protocol.profiles import ELR_FEATURE
from kafkasim.scenario import Scenario

_OFFSETS_REPLICAS = 3  # offsets.topic.replication.factor
_PATIENCE_S = 120.0
_LEAST_SLOTS = 3


class Plan:
    """What a cluster has to be for a scenario: two scenarios with equal plans can share one."""

    def __init__(self, scenario: Scenario) -> None:
        self.brokers = scenario.cluster.brokers
        self.config: dict[str, Any] = dict(scenario.cluster.config)
        self.features: dict[str, int] = {} if scenario.eligible_leader_replicas else {ELR_FEATURE: 0}  # a new cluster of 4.1 has it
        self.clients = len(scenario.producer_nodes) + len(scenario.consumer_nodes)

    @property
    def slots(self) -> int:
        """For how many clients a cluster made by this plan has listeners: some more than needed, so that it does for the next scenario."""
        return max(self.clients, _LEAST_SLOTS)

    def serves(self, other: Plan) -> bool:
        """Whether a cluster made by this plan does for the other."""
        return (
            self.brokers == other.brokers
            and self.config == other.config
            and self.features == other.features
            and self.slots >= other.clients
        )


class _Node:
    """One broker's or the controller's process, as stage.py's Doomed."""

    def __init__(self, site: LocalSite, name: str) -> None:
        self._site = site
        self._name = name

    @property
    def alive(self) -> bool:
        return self._site.brokers.process(self._name).alive

    def died(self) -> str:
        process = self._site.brokers.process(self._name)
        return "" if process.alive else last_words(process)

    def kill(self) -> None:
        self._site.brokers.kill(self._name)

    def terminate(self) -> None:
        self._site.brokers.terminate(self._name)

    def start(self) -> None:
        self._site.started_at[self._name] = time.monotonic()
        self._site.paused.discard(self._name)
        self._site.brokers.start_node(self._name)

    def pause(self) -> None:
        self._site.paused.add(self._name)
        self._site.brokers.pause(self._name)

    def resume(self) -> None:
        self._site.paused.discard(self._name)
        self._site.brokers.resume(self._name)


class LocalSite:
    """Implements site.py's Site. Made by `start`; `close` leaves nothing behind."""

    placed = True

    def __init__(self, distribution: Distribution, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.warden = Warden()
        self.folder = Path(tempfile.mkdtemp(prefix="kafkasim-"))
        self.warden.remove(self.folder)
        self.started_at: dict[str, float] = {}
        self.paused: set[str] = set()
        self._distribution = distribution
        self._say = say
        self._observer: Process | None = None
        self._admin: Admin | None = None
        self._view: ControllerView | None = None
        self._addresses: Addresses | None = None
        self.links = Links()
        try:
            self._classes = compile_drivers(distribution, self.folder / "classes")
            addresses = self._addresses = Addresses()
            self.brokers = LocalBrokers(
                distribution, addresses, self.links, self.warden, self.folder, plan.brokers, plan.slots, plan.config, plan.features
            )
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._say(f"starting a controller and {self.plan.brokers} brokers of Apache Kafka {self._distribution.version} …")
        nodes = ["controller-100", *(f"broker-{number}" for number in range(1, self.plan.brokers + 1))]
        self.processes: Mapping[str, Doomed] = {name: _Node(self, name) for name in nodes}
        self.started_at = dict.fromkeys(nodes, time.monotonic())
        self.brokers.start()
        command = [*driver_command(self._distribution, self._classes, "MetadataLog"), str(self.brokers.metadata_log)]
        self._observer = Process("metadata-log", command, self.warden, self.folder / "metadata-log.log", pipes=True)
        assert self._observer.stdout is not None, "it was started with pipes"
        self._view = ControllerView(self._observer.stdout)
        self._admin = Admin(self.brokers.admin_bootstrap)
        self._wait(lambda: len(self.view.brokers) == self.plan.brokers, "the controller's metadata log could not be read")
        self._create_offsets_topic()
        self._wait(self._all_in_sync, "the brokers did not get in sync")

    def _create_offsets_topic(self) -> None:
        """One partition of `__consumer_offsets` for each broker to lead, so that a group's name can choose its coordinator (names.py)."""
        brokers = self.plan.brokers
        factor = min(int(self.plan.config.get("offsets.topic.replication.factor", _OFFSETS_REPLICAS)), brokers)
        assignment = [[(first + position) % brokers + 1 for position in range(factor)] for first in range(brokers)]
        config = {"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
        self.admin.create_topic(OFFSETS_TOPIC, assignment, config)

    # ------------------------------------------------------------------------------------------------ Site

    @property
    def admin(self) -> Admin:
        """See Site."""
        assert self._admin is not None, "the site has started"
        return self._admin

    @property
    def view(self) -> ControllerView:
        """The controller's truth, read off its own log."""
        assert self._view is not None, "the site has started"
        return self._view

    @property
    def versions(self) -> Mapping[str, str]:
        """See Site."""
        return {"kafka": self._distribution.version}

    def drivers(self) -> Drivers:
        """See Site."""
        command = [driver_command(self._distribution, self._classes, main) for main in ("ProducerDriver", "ConsumerDriver")]
        return Drivers(*command)

    def bootstrap(self, slot: str) -> str:
        """See Site."""
        return self.brokers.bootstrap(slot)

    def partition(self, topic: str, index: int) -> PartitionState | None:
        """See Site."""
        return self.view.partition(topic, index)

    def coordinator(self, names: Names, group: str) -> int | None:
        """See Site."""
        state = self.partition(*names.coordinator_partition(group))
        return None if state is None or state.leader < 0 else state.leader

    def in_sync(self, node: str) -> bool:
        """See Site. A process that was started again counts from its own registration on, not by that of the one before it."""
        broker_id = int(node.rpartition("-")[2])
        if not self.processes[node].alive or node in self.paused:
            return False
        registered = self.view.registered_since.get(broker_id)
        return registered is not None and registered >= self.started_at[node] and self.view.in_sync(broker_id)

    def cannot(self, verb: Verb) -> str:
        """See Site: where a machine has one loopback address only, brokers reach each other without a proxy."""
        if verb.name in LINK_VERBS and not self.links.known(str(verb.arguments[0]), str(verb.arguments[1])):
            return f"there is no proxy between {verb.arguments[0]} and {verb.arguments[1]} on this machine"
        return ""

    def history(self) -> Sequence[Change]:
        """See Site."""
        return self.view.changes

    def do(self, verb: Verb) -> None:
        """See Site."""
        if self.links.known(str(verb.arguments[0]), str(verb.arguments[1])):
            getattr(self.links, verb.name)(*verb.arguments)

    def differences(self, scenario: Scenario) -> list[str]:  # noqa: ARG002  (a cluster of ours was made for its scenario)
        """See Site: none."""
        return []

    def remember(self, made: Made) -> None:
        """See Site: they go with the cluster."""

    def forget(self, made: Made) -> None:
        """See Site."""
        self.admin.forget(list(made.topics.values()), list(made.groups.values()))

    def heal(self) -> None:
        """See Site. The leaders of `__consumer_offsets` go back to where the next run wants them."""
        for node in self.processes.values():
            node.resume()
            if not node.alive:
                node.start()
        self._wait(self._all_in_sync, "the brokers did not get in sync again")
        self.admin.elect_preferred([(OFFSETS_TOPIC, index) for index in range(self.plan.brokers)])

    def _all_in_sync(self) -> bool:
        return all(self.in_sync(f"broker-{number}") for number in range(1, self.plan.brokers + 1))

    def _wait(self, ready: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not ready():
            if self.view.ended:
                raise ClusterError(f"The local cluster does not work: {complaint}; {self.view.ended}.")
            if time.monotonic() > deadline:
                raise ClusterError(f"The local cluster does not work: {complaint} within {_PATIENCE_S:g} s.")
            time.sleep(0.05)

    def close(self) -> None:
        """See Site."""
        if self._admin is not None:
            self._admin.close()
        if self._observer is not None:
            self._observer.kill()
        if hasattr(self, "brokers"):
            self.brokers.close()
        self.links.close()
        if self._addresses is not None:
            self._addresses.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.warden.close()
