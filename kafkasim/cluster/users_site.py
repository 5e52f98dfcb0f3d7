"""A cluster that somebody has. It gets topics of our own names, which are taken away again, and nothing else is touched.

Clients are processes of ours, so their crashes and pauses are real here, too. Of the brokers' faults those are possible for which
the user gives a command; links have no proxies.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kafkasim.cluster.admin import Admin, Described
from kafkasim.cluster.cleanup import command
from kafkasim.cluster.controller_view import Change
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import Distribution, compile_drivers, driver_command
from kafkasim.cluster.names import Names
from kafkasim.cluster.site import Doomed, Drivers
from kafkasim.cluster.warden import Warden
from kafkasim.faults import Verb
from kafkasim.scenario import Scenario

PROCESS_VERBS = ("kill", "start", "stop", "pause", "resume")
_COMMAND_S = 120.0
_FRESH_S = 0.5  # how long what a broker has said about leaders may be believed
_HEAL_S = 120.0


class _Commanded:
    """A broker of theirs as stage.py's Doomed: each verb is the user's command, in which {node} and {id} are filled in."""

    def __init__(self, name: str, commands: Mapping[str, str]) -> None:
        self._name = name
        self._commands = commands
        self._down = False

    @property
    def alive(self) -> bool:
        return not self._down

    def kill(self) -> None:
        if not self._down:
            self._down = True
            self._run("kill")

    def terminate(self) -> None:
        if not self._down:
            self._run("stop")
            self._down = True

    def start(self) -> None:
        self._run("start")
        self._down = False

    def pause(self) -> None:
        self._run("pause")

    def resume(self) -> None:
        self._run("resume")

    def _run(self, verb: str) -> None:
        line = self._commands[verb].replace("{node}", self._name).replace("{id}", self._name.rpartition("-")[2])
        try:
            done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"The command for {verb} ({line}) did not end within {_COMMAND_S:g} s.") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ClusterError(f"The command for {verb} ({line}) failed with code {done.returncode}: {said[-1] if said else 'no word'}")


class UsersSite:
    """Implements site.py's Site on `bootstrap`. Raises ClusterError where nobody answers there."""

    placed = False

    def __init__(self, bootstrap: str, commands: Mapping[str, str], jars: Callable[[], Distribution]) -> None:
        self._bootstrap = bootstrap
        self._commands = commands
        self._jars = jars
        self._drivers: Drivers | None = None
        self._described: dict[str, tuple[float, Described]] = {}
        self.admin = Admin(bootstrap)
        self._brokers = self.admin.brokers()
        self.warden = Warden()
        self.folder = Path(tempfile.mkdtemp(prefix="kafkasim-"))
        self.warden.remove(self.folder)
        names = [f"broker-{broker}" for broker in self._brokers] if commands else []
        self._commanded = {name: _Commanded(name, commands) for name in names}

    def check(self, scenario: Scenario) -> None:
        """Raises ClusterError where the scenario asks for more replicas than there are brokers."""
        for name, topic in scenario.topics.items():
            if topic.replication_factor > len(self._brokers):
                there = "1 broker" if len(self._brokers) == 1 else f"{len(self._brokers)} brokers"
                raise ClusterError(
                    f"topics.{name}.replication.factor is {topic.replication_factor}, but the cluster at {self._bootstrap} has {there}."
                )

    @property
    def processes(self) -> Mapping[str, Doomed]:
        """See Site: those that a command reaches."""
        return self._commanded

    @property
    def versions(self) -> Mapping[str, str]:
        """See Site."""
        return {"kafka": f"the cluster at {self._bootstrap}"}

    def drivers(self) -> Drivers:
        """See Site."""
        if self._drivers is None:
            jars = self._jars()
            classes = compile_drivers(jars, self.folder / "classes")
            self._drivers = Drivers(*(driver_command(jars, classes, main) for main in ("ProducerDriver", "ConsumerDriver")))
        return self._drivers

    def bootstrap(self, slot: str) -> str:  # noqa: ARG002  (without proxies all clients go the same way)
        """See Site."""
        return self._bootstrap

    def partition(self, topic: str, index: int) -> Described | None:
        """See Site: as some broker has it, half a second old at most."""
        now = time.monotonic()
        key = f"{topic}-{index}"
        asked, found = self._described.get(key, (0.0, None))
        if found is None or now - asked > _FRESH_S:
            for number, described in enumerate(self.admin.describe(topic)):
                self._described[f"{topic}-{number}"] = (now, described)
            _, found = self._described.get(key, (0.0, None))
        return found

    def coordinator(self, names: Names, group: str) -> int | None:
        """See Site."""
        return self.admin.coordinator(names.groups[group])

    def in_sync(self, node: str) -> bool:
        """See Site: as far as our own topics show it."""
        broker_id = int(node.rpartition("-")[2])
        if broker_id not in self._brokers:
            return True  # the scenario has more brokers than there are
        for key in list(self._described):
            topic, _, index = key.rpartition("-")
            state = self.partition(topic, int(index))
            if state is not None and broker_id in state.replicas and (broker_id not in state.isr or state.leader < 0):
                return False
        return True

    def cannot(self, verb: Verb) -> str:
        """See Site."""
        if verb.name not in PROCESS_VERBS:
            return "the links of a cluster that is not ours have no proxies"
        if verb.name not in self._commands:
            return f"no command was given for {verb.name} (--command {verb.name}=…)"
        node = str(verb.arguments[0])
        return "" if node in self._commanded else f"the cluster at {self._bootstrap} has no {node}"

    def history(self) -> Sequence[Change]:
        """See Site: their controller's log is not ours to read."""
        return ()

    def do(self, verb: Verb) -> None:
        """See Site."""
        raise AssertionError(f"{verb} cannot be done here, and `cannot` says so")

    def remember(self, names: Names) -> None:
        """See Site."""
        self.warden.at_end(command(self._bootstrap, list(names.topics.values()), list(names.groups.values())))

    def heal(self) -> None:
        """See Site: what we stopped is started."""
        for broker in self._commanded.values():
            if not broker.alive:
                broker.start()
        self._described.clear()
        deadline = time.monotonic() + _HEAL_S
        while sorted(self.admin.brokers()) != sorted(self._brokers) and time.monotonic() < deadline:
            time.sleep(0.2)

    def close(self) -> None:
        """See Site."""
        self.admin.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.warden.close()
