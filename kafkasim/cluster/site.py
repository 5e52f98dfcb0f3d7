"""Where a run takes place: brokers of our own on this machine (local_site.py), or a cluster that somebody has (users_site.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from kafkasim.cluster.admin import Admin
from kafkasim.cluster.controller_view import Change
from kafkasim.cluster.names import Names
from kafkasim.cluster.warden import Warden
from kafkasim.faults import Verb
from kafkasim.scenario import Scenario


class Doomed(Protocol):
    """A process that faults may strike: a broker's, a controller's, an application's."""

    @property
    def alive(self) -> bool:
        """Whether it runs; a paused one does."""

    def kill(self) -> None:
        """SIGKILL."""

    def terminate(self) -> None:
        """SIGTERM."""

    def start(self) -> None:
        """Start it again."""

    def pause(self) -> None:
        """SIGSTOP."""

    def resume(self) -> None:
        """SIGCONT."""


class Leadership(Protocol):
    """One partition as the controller holds it."""

    @property
    def replicas(self) -> Sequence[int]:
        """Brokers that hold a replica."""

    @property
    def isr(self) -> Sequence[int]:
        """Those in sync."""

    @property
    def leader(self) -> int:
        """-1: none."""


class Drivers(NamedTuple):
    """How to start the Java clients: the commands, without arguments."""

    producer: list[str]
    consumer: list[str]


class Made(Protocol):
    """Topics and groups that we make, by our own names for them; the values are their real names."""

    @property
    def topics(self) -> Mapping[str, str]:
        """The topics."""

    @property
    def groups(self) -> Mapping[str, str]:
        """The groups."""


class Site(Protocol):
    """Brokers, and what can be done to them. Nodes by name; clients by their slot, "client-1" and so on."""

    @property
    def admin(self) -> Admin:
        """An administrator's and an observer's connection, past all faults."""

    @property
    def warden(self) -> Warden:
        """Who ends our processes should we die."""

    @property
    def folder(self) -> Path:
        """For logs and stores of a run; it goes with the site."""

    @property
    def placed(self) -> bool:
        """Whether replicas may be placed by hand: the cluster is ours."""

    @property
    def processes(self) -> Mapping[str, Doomed]:
        """The processes that faults may strike, by node name; on somebody else's cluster those for which there are commands."""

    @property
    def versions(self) -> Mapping[str, str]:
        """What runs here: kafka, java."""

    def drivers(self) -> Drivers:
        """The Java clients. Raises ClusterError where there is no Java."""

    def bootstrap(self, slot: str) -> str:
        """bootstrap.servers of the client in that slot."""

    def partition(self, topic: str, index: int) -> Leadership | None:
        """What the controller holds of a partition, by its real name; None where it has none."""

    def coordinator(self, names: Names, group: str) -> int | None:
        """The broker that coordinates a group of the scenario."""

    def in_sync(self, node: str) -> bool:
        """Whether the broker is up, unfenced, and in the ISR of every partition that it has a replica of."""

    def history(self) -> Sequence[Change]:
        """Every decision of the controller so far, at instants of `time.monotonic()`; empty where it cannot be had."""

    def cannot(self, verb: Verb) -> str:
        """Why the verb cannot be done here; "" where it can."""

    def do(self, verb: Verb) -> None:
        """A verb about links."""

    def differences(self, scenario: Scenario) -> list[str]:
        """Where the brokers are configured otherwise than the scenario's `cluster: config:`, a sentence each."""

    def remember(self, made: Made) -> None:
        """These topics and groups are about to be made: they must go even if we die before we can take them away.

        Raises ClusterError where somebody else has a topic of such a name: that one is not to go.
        """

    def forget(self, made: Made) -> None:
        """Take these topics and groups away. Raises ClusterError where the brokers do not do it."""

    def heal(self) -> None:
        """Whatever a run left behind: processes up, topics gone. Returns once every broker is in sync again; else raises ClusterError."""

    def close(self) -> None:
        """End everything that is ours."""
