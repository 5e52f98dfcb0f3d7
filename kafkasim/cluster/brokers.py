"""A cluster of one's own: a KRaft controller and brokers as processes of this machine, every link between two nodes through a proxy.

Each broker has the listeners REPLICATION (for other brokers, by a name that every node resolves to a proxy of its own), ADMIN (for
ourselves, direct) and CLIENT1, CLIENT2 …, each advertised where the proxies of that client slot listen.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from kafkasim.cluster.addresses import Addresses
from kafkasim.cluster.broker_files import (
    CONTROLLER,
    Listener,
    Place,
    format_arguments,
    formatted_like,
    hosts_file,
    node_config,
    to_properties,
)
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import Distribution
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden

CONTROLLER_NAME = f"controller-{CONTROLLER}"
_UP_WITHIN_S = 90.0
_ENDS_WITHIN_S = 60.0  # of a controlled shutdown, before a start has it killed
_LOG_LINES = 15
_ERROR_LINES = 4  # of them, for the first error with its exceptions
_WHOLE_LOG = 1_000_000  # lines: all that is kept
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


class ProxyLinks(Protocol):
    """What of links.Links a cluster needs."""

    def add(self, client: str, server: str, target: tuple[str, int], listen: tuple[str, int] | None = None) -> tuple[str, int]:
        """Start the proxy for what `client` connects to on `server`; returns where it listens."""

    def down(self, server: str) -> None:
        """Nobody answers there: refuse connections."""

    def up(self, server: str) -> None:
        """Forward again."""


class LocalBrokers:
    """Brokers 1 … `brokers`, a controller 100, and listeners for `clients` slots; all their files lie in `folder`, which stays its owner's.

    `config` is the scenario's cluster.config, `features` its cluster.features. Nothing runs before `start`.
    """

    def __init__(
        self,
        distribution: Distribution,
        addresses: Addresses,
        links: ProxyLinks,
        warden: Warden,
        folder: Path,
        brokers: int,
        clients: int,
        config: Mapping[str, object],
        features: Mapping[str, int] | None = None,
    ) -> None:
        self._features = features or {}
        self._distribution = distribution
        self._addresses = addresses
        self._links = links
        self._warden = warden
        self._folder = folder
        self._brokers = range(1, brokers + 1)
        self._slots = range(1, clients + 1)
        self._processes: dict[str, Process] = {}
        self._ending: dict[str, threading.Thread] = {}  # who waits for the end of a controlled shutdown
        self._ports = {number: addresses.free_port(addresses.node(number)) for number in (CONTROLLER, *self._brokers)}
        self._admin = {number: (addresses.node(number), addresses.free_port(addresses.node(number))) for number in self._brokers}
        self._entrances: dict[tuple[int, int], tuple[str, int]] = {}  # (slot, broker) -> where the slot's proxy to it listens
        self._places = [self._controller_place(), *(self._broker_place(number) for number in self._brokers)]
        if addresses.loopback_net:
            self._link_nodes()
        for place in self._places:
            self._write(place, config)

    # ------------------------------------------------------------------------------------------------ all of it

    def start(self) -> None:
        """Formats, starts everything and returns when every broker is registered. Raises ClusterError with the log of who failed."""
        self._format()
        for place in self._places:
            self._spawn(_name(place.number))
        self._await_registration(time.monotonic() + _UP_WITHIN_S)

    def close(self) -> None:
        """SIGKILL to all. The files stay."""
        for name in list(self._processes):
            self.kill(name)
        for ending in self._ending.values():
            ending.join()

    @property
    def admin_bootstrap(self) -> str:
        """bootstrap.servers past all proxies."""
        return _joined(self._admin[number] for number in self._brokers)

    def bootstrap(self, slot: str) -> str:
        """bootstrap.servers of the client in `slot` ("client-1"): its own proxies to every broker."""
        return _joined(self._entrances[int(slot.removeprefix("client-")), number] for number in self._brokers)

    @property
    def metadata_log(self) -> Path:
        """The folder of the controller's log of metadata, the partition __cluster_metadata-0."""
        return self._places[0].logs / "__cluster_metadata-0"

    # ------------------------------------------------------------------------------------------------ one node

    def process(self, name: str) -> Process:
        """The latest process of the node ("broker-1", "controller-100"), alive or not."""
        return self._processes[name]

    def start_node(self, name: str) -> None:
        """Starts it again, and does not wait until it is up. A controlled shutdown under way is waited for; nothing to do if it runs."""
        process = self._processes[name]
        ending = self._ending.pop(name, None)
        if ending is not None:
            if not process.wait(_ENDS_WITHIN_S):
                process.kill()
            ending.join()
        if not process.alive:
            self._spawn(name)

    def kill(self, name: str) -> None:
        """SIGKILL, and its port answers nobody."""
        self._processes[name].kill()
        self._links.down(name)

    def terminate(self, name: str) -> None:
        """SIGTERM: a controlled shutdown begins. Returns at once; the links go down when it has ended."""
        if name not in self._ending:
            process = self._processes[name]
            process.terminate()
            self._ending[name] = threading.Thread(target=self._down_after, args=(name, process), daemon=True)
            self._ending[name].start()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self._processes[name].pause()

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._processes[name].resume()

    # ------------------------------------------------------------------------------------------------ where everybody is

    def _controller_place(self) -> Place:
        own, advertised = self._own(CONTROLLER), self._as_told(CONTROLLER)
        hosts = self._hosts(CONTROLLER)
        return Place(CONTROLLER, (Listener("CONTROLLER", own, advertised),), advertised, self._logs(CONTROLLER), hosts)

    def _broker_place(self, number: int) -> Place:
        name, host = _name(number), self._addresses.node(number)
        listeners = [
            Listener("REPLICATION", self._own(number), self._as_told(number)),
            Listener("ADMIN", self._admin[number], self._admin[number]),
        ]
        for slot in self._slots:
            bound = (host, self._addresses.free_port(host))
            self._entrances[slot, number] = self._links.add(f"client-{slot}", name, bound)
            listeners.append(Listener(f"CLIENT{slot}", bound, self._entrances[slot, number]))
        return Place(number, tuple(listeners), self._as_told(CONTROLLER), self._logs(number), self._hosts(number))

    def _link_nodes(self) -> None:
        """A proxy for every directed pair of nodes that connects: brokers to each other, and each to the controller."""
        for source in self._brokers:
            for target in (*self._brokers, CONTROLLER):
                if source != target:
                    listen = (self._addresses.seen_by(source, target), self._ports[target])
                    self._links.add(_name(source), _name(target), self._own(target), listen)

    def _own(self, number: int) -> tuple[str, int]:
        """Where the node itself listens for other nodes."""
        return self._addresses.node(number), self._ports[number]

    def _as_told(self, number: int) -> tuple[str, int]:
        """What other nodes are told: a name that each of them resolves to its own proxy, where each pair can have an address."""
        return (_host(number), self._ports[number]) if self._addresses.loopback_net else self._own(number)

    def _hosts(self, source: int) -> dict[str, str]:
        """Who is who for one node; itself it finds without a proxy."""
        targets = (*self._brokers, CONTROLLER)
        names = {_host(target): self._addresses.seen_by(0 if source in (target, CONTROLLER) else source, target) for target in targets}
        return {"localhost": "127.0.0.1", socket.gethostname(): "127.0.0.1", **names}

    def _logs(self, number: int) -> Path:
        return self._folder / _name(number) / "logs"

    # ------------------------------------------------------------------------------------------------ processes

    def _write(self, place: Place, config: Mapping[str, object]) -> None:
        folder = place.logs.parent
        folder.mkdir(parents=True, exist_ok=True)
        whole = node_config(place, config, len(self._brokers), len(self._slots))
        (folder / "server.properties").write_text(to_properties(whole), encoding="ascii")
        (folder / "hosts").write_text(hosts_file(place.hosts), encoding="utf-8")

    def _format(self) -> None:
        """The controller by StorageTool; for a broker that has no more to it than one small file, which saves a JVM for each."""
        folder = self._folder / CONTROLLER_NAME
        arguments = ["kafka.tools.StorageTool", *format_arguments(folder / "server.properties", self._features)]
        tool = Process("format", [*self._java("-Xmx128m"), *arguments], self._warden, folder / "format.log")
        try:
            if not tool.wait(_UP_WITHIN_S) or tool.exit_code != 0:
                raise ClusterError(_why("Kafka could not format the controller's log directory", tool))
        finally:
            tool.kill()
        controller, *brokers = self._places
        meta_properties = (controller.logs / "meta.properties").read_text(encoding="ascii")
        for place in brokers:
            place.logs.mkdir(exist_ok=True)
            (place.logs / "meta.properties").write_text(formatted_like(meta_properties, place.number), encoding="ascii")

    def _spawn(self, name: str) -> None:
        folder = self._folder / name
        flags = ["-Xms192m", "-Xmx256m"]
        if self._addresses.loopback_net:
            flags.append(f"-Djdk.net.hosts.file={folder / 'hosts'}")
        command = [*self._java(*flags), "kafka.Kafka", str(folder / "server.properties")]
        self._processes[name] = Process(name, command, self._warden, folder / "node.log")
        self._links.up(name)

    def _java(self, *flags: str) -> list[str]:
        made = self._distribution
        return [str(made.java), *flags, *_JVM, *made.logging("info"), "-cp", made.classpath]

    def _down_after(self, name: str, process: Process) -> None:
        """In a thread: a shutdown takes as long as it takes."""
        if process.wait(_ENDS_WITHIN_S):
            self._links.down(name)

    # ------------------------------------------------------------------------------------------------ whether it is up

    def _await_registration(self, deadline: float) -> None:
        """Until the metadata, as a client sees them, name every broker; a node that dies meanwhile is told at once."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        quiet = logging.Logger("kafkasim.cluster.admin", logging.CRITICAL)  # it complains of every broker that is not up yet
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.admin_bootstrap,
            "reconnect.backoff.max.ms": 100,
            "reconnect.backoff.ms": 50,
        }
        admin = AdminClient(settings, logger=quiet)
        while time.monotonic() < deadline:
            for process in self._processes.values():
                if not process.alive:
                    raise ClusterError(_why(f"{process.name} ended while it was starting", process))
            with contextlib.suppress(KafkaException):
                if len(admin.list_topics(timeout=0.5).brokers) == len(self._brokers):
                    return
            time.sleep(0.05)
        name = self._silent()
        raise ClusterError(_why(f"{name} did not come up within {_UP_WITHIN_S:.0f} s", self._processes[name]))

    def _silent(self) -> str:
        """Who is to blame: the first broker that nobody can connect to, else the controller, which all of them wait for."""
        for number in self._brokers:
            try:
                socket.create_connection(self._admin[number], timeout=1.0).close()
            except OSError:
                return _name(number)
        return CONTROLLER_NAME


def _name(number: int) -> str:
    return CONTROLLER_NAME if number == CONTROLLER else f"broker-{number}"


def _host(number: int) -> str:
    return f"{_name(number)}.kafkasim"


def _why(what: str, process: Process) -> str:
    """In one sentence where Kafka refuses a value of cluster.config; else `what` happened, and the log: its first error, and its end."""
    log = process.tail(_WHOLE_LOG).splitlines()
    refused = next(filter(None, (re.search(r"ConfigException: (.+)", line) for line in log)), None)
    if refused:
        return f"Kafka does not accept `cluster: config:`: {refused[1]}"
    error = next((place for place, line in enumerate(log) if re.search(r"\b(ERROR|FATAL)\b", line)), len(log))
    said, lines = "the end of its log", log[-_LOG_LINES:]
    if error < len(log) - _LOG_LINES:  # a shutdown has more to tell than what brought it about
        said, lines = "the first error in its log, and its end", [*log[error : error + _ERROR_LINES], "…", *lines[_ERROR_LINES + 1 :]]
    return "\n".join([f"{what}; {said}:", *lines])


def _joined(places: Iterable[tuple[str, int]]) -> str:
    return ",".join(f"{host}:{port}" for host, port in places)
