"""A cluster that somebody has. It gets topics of our own names, which are taken away again, and nothing else is touched.

Clients are processes of ours, so their crashes and pauses are real here, too. Of the brokers' faults those are possible for which
the user gives a command; links have no proxies.
"""

from __future__ import annotations

import os
import shlex
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
from kafkasim.cluster.site import Doomed, Drivers, Made
from kafkasim.cluster.warden import Warden
from kafkasim.faults import PROCESS_VERBS, Verb
from kafkasim.protocol.config import belongs_to_place
from kafkasim.scenario import Scenario, as_text

_UNDONE_BY: Mapping[str, str] = {"kill": "start", "stop": "start", "pause": "resume"}
_COMMAND_S = 120.0
_FRESH_S = 0.5  # how long what a broker has said about itself and about leaders may be believed
_HEAL_S = 120.0


def _silent(_: str) -> None:
    """Nobody wants to hear what went wrong at the end."""


class _Commanded:
    """A broker of theirs as stage.py's Doomed: each verb is the user's command, in which {node} and {id} are filled in.

    While it is down or paused the warden knows the command that ends that, so that it comes back even if we die.
    """

    def __init__(self, name: str, commands: Mapping[str, str], warden: Warden) -> None:
        self.name = name
        self.struck_at = -float("inf")  # time.monotonic() of the last command: what was known of the broker before is out of date
        self._commands = commands
        self._warden = warden
        self._owed: list[str] = []  # the verbs that put it back: start, resume
        self._folder = os.getcwd()

    @property
    def alive(self) -> bool:
        return "start" not in self._owed

    @property
    def untouched(self) -> bool:
        """Whether nothing of ours holds it down or still."""
        return not self._owed

    def kill(self) -> None:
        self._bring_down("kill")

    def terminate(self) -> None:
        self._bring_down("stop")

    def start(self) -> None:
        self._put_back("start")

    def pause(self) -> None:
        if not self._owed:  # one that is down cannot be paused
            self._owe("resume")
            self._run("pause")

    def resume(self) -> None:
        self._put_back("resume")

    def put_back(self) -> None:
        """Whatever was done to it is undone. Raises ClusterError where a command fails."""
        for verb in list(self._owed):
            self._put_back(verb)

    def _bring_down(self, verb: str) -> None:
        if self.alive:
            self._owe("start")
            self._run(verb)
            if "resume" in self._owed:  # the process that was paused is gone
                self._settled("resume")

    def _put_back(self, verb: str) -> None:
        if verb in self._owed:
            self._run(verb)
            self._settled(verb)

    def _owe(self, verb: str) -> None:
        self._warden.at_end(self._by_the_warden(verb))
        self._owed.append(verb)

    def _settled(self, verb: str) -> None:
        self._owed.remove(verb)
        self._warden.not_at_end(self._by_the_warden(verb))

    def _line(self, verb: str) -> str:
        return self._commands[verb].replace("{node}", self.name).replace("{id}", self.name.rpartition("-")[2])

    def _by_the_warden(self, verb: str) -> list[str]:
        """From our folder, for the warden is in another."""
        return ["/bin/sh", "-c", f"cd {shlex.quote(self._folder)} && {{ {self._line(verb)}\n}}"]

    def _run(self, verb: str) -> None:
        line = self._line(verb)
        # Into a file and not a pipe: a broker that the command leaves in the background would hold a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            try:
                done = subprocess.run(line, shell=True, stdout=output, stderr=output, timeout=_COMMAND_S, check=False)
            except subprocess.TimeoutExpired:
                raise ClusterError(f"The command for {verb} ({line}) did not end within {_COMMAND_S:g} s.") from None
            finally:
                self.struck_at = time.monotonic()
            output.seek(0)
            said = output.read().strip().splitlines()
        if done.returncode:
            raise ClusterError(f"The command for {verb} ({line}) failed with code {done.returncode}: {said[-1] if said else 'no word'}")


class UsersSite:
    """Implements site.py's Site on `bootstrap`. Raises ClusterError where nobody answers there. `say` hears what could not be put back."""

    placed = False

    def __init__(
        self, bootstrap: str, commands: Mapping[str, str], jars: Callable[[], Distribution], say: Callable[[str], None] = _silent
    ) -> None:
        self._bootstrap = bootstrap
        self._commands = commands
        self._jars = jars
        self._say = say
        self._drivers: Drivers | None = None
        self._described: dict[str, tuple[float, Described]] = {}
        self._answered: dict[int, tuple[float, bool]] = {}
        self._remembered: list[Made] = []
        self.admin = Admin(bootstrap)
        self._brokers = self.admin.brokers()
        self.warden = Warden()
        self.folder = Path(tempfile.mkdtemp(prefix="kafkasim-"))
        self.warden.remove(self.folder)
        names = [f"broker-{broker}" for broker in self._brokers] if commands else []
        self._commanded = {name: _Commanded(name, commands, self.warden) for name in names}

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
        key = f"{topic}-{index}"
        asked, found = self._described.get(key, (0.0, None))
        if found is None or not self._fresh(asked):
            now = time.monotonic()
            for number, described in enumerate(self.admin.describe(topic)):
                self._described[f"{topic}-{number}"] = (now, described)
            _, found = self._described.get(key, (0.0, None))
        return found

    def coordinator(self, names: Names, group: str) -> int | None:
        """See Site."""
        return self.admin.coordinator(names.groups[group])

    def in_sync(self, node: str) -> bool:
        """See Site: it answers by itself, and our own topics have it in every ISR."""
        broker_id = int(node.rpartition("-")[2])
        if broker_id not in self._brokers:
            return True  # the scenario has more brokers than there are
        commanded = self._commanded.get(node)
        if (commanded is not None and not commanded.untouched) or not self._answers(broker_id):
            return False
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
        node, back = str(verb.arguments[0]), _UNDONE_BY.get(verb.name)
        if back is not None and back not in self._commands:
            return f"no command was given for {back} (--command {back}=…), without which {node} would not come back"
        return "" if node in self._commanded else f"the cluster at {self._bootstrap} has no {node}"

    def history(self) -> Sequence[Change]:
        """See Site: their controller's log is not ours to read."""
        return ()

    def do(self, verb: Verb) -> None:
        """See Site."""
        raise AssertionError(f"{verb} cannot be done here, and `cannot` says so")

    def differences(self, scenario: Scenario) -> list[str]:
        """See Site: by the word of one of their brokers, of what the scenario says itself and is no address, id or directory."""
        notes = []
        if scenario.cluster.features:
            notes.append("whether the cluster has the scenario's cluster.features is not looked at")
        wanted = {key: as_text(value) for key, value in scenario.cluster.config.items() if not belongs_to_place(key)}
        if not wanted:
            return notes
        try:
            theirs = self.admin.broker_config(self._brokers[0])
        except ClusterError as error:
            return [*notes, f"whether the cluster has the scenario's cluster.config could not be found out: {error}"]
        pairs = [(key, value, theirs.get(key) or "not set") for key, value in wanted.items()]
        differing = [(key, ours, there) for key, ours, there in pairs if not _alike(ours, there)]
        return [*notes, *(f"cluster.config.{key} is {ours} in the scenario and {there} on the cluster" for key, ours, there in differing)]

    def remember(self, made: Made) -> None:
        """See Site."""
        for topic in made.topics.values():
            if self.admin.topic_exists(topic):
                raise ClusterError(f"The cluster at {self._bootstrap} has a topic {topic} already, and it is not ours; run again.")
        self._remembered.append(made)
        self.warden.at_end(self._removal(made))

    def forget(self, made: Made) -> None:
        """See Site."""
        self.admin.forget(list(made.topics.values()), list(made.groups.values()))
        if made in self._remembered:
            self._remembered.remove(made)
            self.warden.not_at_end(self._removal(made))

    def heal(self) -> None:
        """See Site: what we stopped is started, what we paused goes on. A run's topics are gone by now; that is made sure of."""
        for broker in self._commanded.values():
            broker.put_back()
        deadline = time.monotonic() + _HEAL_S
        while missing := sorted({*self._brokers} - {*self.admin.brokers()}):
            if time.monotonic() > deadline:
                gone = ", ".join(f"broker-{broker}" for broker in missing)
                raise ClusterError(f"Of the cluster at {self._bootstrap} {gone} did not come back within {_HEAL_S:g} s.")
            time.sleep(0.2)
        for made in list(self._remembered):
            self.forget(made)
        self._described.clear()

    def close(self) -> None:
        """See Site. What cannot be put back is said: whoever closes has perhaps an error of his own to tell."""
        for broker in self._commanded.values():
            try:
                broker.put_back()
            except ClusterError as error:
                self._say(f"{broker.name} could not be put back: {error}")
        for made in list(self._remembered):
            try:
                self.forget(made)
            except ClusterError as error:
                self._say(f"topics of ours are left on the cluster: {error}")
        self.admin.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.warden.close()

    # ------------------------------------------------------------------------------------------------ helpers

    def _removal(self, made: Made) -> list[str]:
        return command(self._bootstrap, list(made.topics.values()), list(made.groups.values()))

    def _answers(self, broker_id: int) -> bool:
        asked, answers = self._answered.get(broker_id, (0.0, False))
        if not self._fresh(asked):
            now = time.monotonic()
            answers = self.admin.answers(broker_id)
            self._answered[broker_id] = (now, answers)
        return answers

    def _fresh(self, asked: float) -> bool:
        """Whether what was asked then may still be believed: it is not old, and nothing was done to a broker since."""
        struck_at = max((broker.struck_at for broker in self._commanded.values()), default=0.0)
        return asked > struck_at and time.monotonic() - asked <= _FRESH_S


def _alike(ours: str, theirs: str) -> bool:
    """Whether two texts are one value: 1000 and 1000.0 are."""
    try:
        return ours == theirs or float(ours) == float(theirs)
    except ValueError:
        return False
