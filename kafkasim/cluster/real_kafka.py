"""The backend on real brokers. It keeps its cluster from one scenario to the next, as long as both ask for the same one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from kafkasim.backend import Tick
from kafkasim.cluster.calibrate import Calibration, calibrate
from kafkasim.cluster.casting import check
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import Distribution, distribution
from kafkasim.cluster.local_site import LocalSite, Plan
from kafkasim.cluster.replay import Run
from kafkasim.cluster.site import Site
from kafkasim.cluster.users_site import UsersSite
from kafkasim.ledger import Ledger
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace

_SWITCH_S = 0.0005  # the proxies' thread must not wait for the one that reads what clients tell


def _silent(_: str) -> None:
    """Nobody wants to hear what takes long."""


class RealKafka:
    """A Backend and a context manager: what it started ends with it.

    `bootstrap_server`: somebody's own cluster, with `commands` for the faults that may be done to it ("kill": "ssh {host} …");
    `kafka_home`: a distribution to start brokers from; neither: jars from Maven. `say` hears what takes long.
    """

    name = "cluster"

    def __init__(
        self,
        *,
        bootstrap_server: str | None = None,
        commands: Mapping[str, str] | None = None,
        kafka_home: Path | None = None,
        say: Callable[[str], None] = _silent,
    ) -> None:
        self._bootstrap = bootstrap_server
        self._commands = dict(commands or {})
        self._kafka_home = kafka_home
        self._say = say
        self._distribution: Distribution | None = None
        self._site: Site | None = None
        self._calibrations: dict[int, Calibration] = {}  # of the cluster at hand, by the number of brokers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    @property
    def client_versions(self) -> Mapping[str, str]:
        """Of the real clients: Java's are those of the jars, librdkafka says its own."""
        java = self._distribution.version if self._distribution is not None else "unknown"
        return {"java": java, "librdkafka": confluent_kafka.libversion()[0]}

    @property
    def options(self) -> Sequence[str]:
        """See Backend."""
        given = [("--bootstrap-server", self._bootstrap), ("--kafka-home", self._kafka_home)]
        commands = [("--command", f"{verb}={command}") for verb, command in self._commands.items()]
        return [str(word) for option in (*given, *commands) if option[1] is not None for word in option]

    @property
    def versions(self) -> Mapping[str, str]:
        """What ran: Kafka, Java, and the clients."""
        found = dict(self._site.versions) if self._site is not None else {}
        if self._distribution is not None:
            said = subprocess.run([str(self._distribution.java), "-version"], capture_output=True, text=True, check=False)
            found["java"] = said.stderr.splitlines()[0] if said.stderr else "unknown"
        return found | {"librdkafka": confluent_kafka.libversion()[0]}

    def run(self, scenario: Scenario, seed: int, trace: Trace | None = None, tick: Tick | None = None) -> Ledger:
        """Run once, in real time. `seed` decides arrivals, keys and pauses; the rest is the world's. Raises ClusterError."""
        groups = tuple(group.group for group in scenario.consumers)
        topics = tuple(group.topics for group in scenario.consumers)
        ledger = Ledger(backend=self.name, seed=seed, groups=groups, group_topics=topics)
        interval = sys.getswitchinterval()
        check(scenario)
        site = self.site(scenario)
        with self._closed_on_failure():
            ledger.notes += site.differences(scenario)
            sys.setswitchinterval(_SWITCH_S)
            try:
                Run(scenario, seed, site, ledger, trace, tick).all_phases()
            finally:
                sys.setswitchinterval(interval)
        try:
            with self._closed_on_failure():
                site.heal()
        except ClusterError as error:  # the run is over, and what it showed is true
            ledger.notes.append(f"after the run the cluster did not recover, and was given up: {error}")
        return ledger

    def site(self, scenario: Scenario) -> Site:
        """A cluster that is right for the scenario: the one at hand, or a new one. Raises ClusterError."""
        with _as_cluster_errors():
            return self._find_site(scenario)

    def calibration(self, scenario: Scenario) -> Calibration:
        """How fast the scenario's cluster is, measured once for each cluster and number of brokers. Raises ClusterError."""
        check(scenario)
        brokers = scenario.cluster.brokers
        site = self.site(scenario)
        if brokers not in self._calibrations:
            self._say("calibrating …")
            with self._closed_on_failure():
                self._calibrations[brokers] = calibrate(site, brokers)
        return self._calibrations[brokers]

    def cluster_of(self, scenario: Scenario) -> tuple[int, str, int]:
        """To sort by: scenarios that can share a cluster come one after another, and the one with the most clients makes it."""
        plan = Plan(scenario)
        return plan.brokers, str(sorted({**plan.config, **plan.features}.items())), -plan.clients

    def close(self) -> None:
        """End everything that was started."""
        self._calibrations.clear()
        site, self._site = self._site, None
        if site is not None:
            site.close()

    def _find_site(self, scenario: Scenario) -> Site:
        if self._bootstrap is not None:
            theirs = self._site
            if not isinstance(theirs, UsersSite):
                theirs = UsersSite(self._bootstrap, self._commands, self._find_jars, self._say)
            self._site = theirs
            theirs.check(scenario)
            return theirs
        plan = Plan(scenario)
        if isinstance(self._site, LocalSite) and self._site.plan.serves(plan):
            return self._site
        self.close()
        self._site = LocalSite(self._find_jars(), plan, self._say)
        return self._site

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """Whatever state a cluster is in after a failure, nobody else should find it."""
        try:
            with _as_cluster_errors():
                yield
        except BaseException:
            self.close()
            raise

    def _find_jars(self) -> Distribution:
        if self._distribution is None:
            self._distribution = distribution(self._kafka_home, self._say)
        return self._distribution


@contextmanager
def _as_cluster_errors() -> Iterator[None]:
    """What the operating system refuses (a process, a socket, a file) is a sentence about the machine."""
    try:
        yield
    except OSError as error:
        about = f" ({error.filename})" if error.filename else ""
        raise ClusterError(f"This machine does not let real brokers run: {error.strerror or error}{about}.") from error
