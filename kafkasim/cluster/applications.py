"""The parent's side of an application: the process that runs now, the standby that will run next, and what they tell.

An application is a process of its own (producing.py, consuming.py), so that a crash is a real SIGKILL. A standby is a process that
has imported, and started its JVM, and waits: a restart then costs what it costs in the simulator, nothing.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden

Event = Mapping[str, Any]


class Application:
    """One client of a scenario over all its lives.

    `spec`: the line that tells a new process what it is. `go`: what is added to the word "go" at the moment of a start (where to begin).
    `told(event)` is called for each event of the process that runs, by the function `post`, on the thread of the clock.
    """

    def __init__(
        self,
        name: str,
        module: str,
        spec: Callable[[], str],
        go: Callable[[], Event],
        told: Callable[[Event], None],
        post: Callable[[Callable[[], None]], None],
        warden: Warden,
        log: Path,
    ) -> None:
        self.name = name
        self.started = False  # the process that runs has made its client
        self._module = module
        self._spec = spec
        self._go = go
        self._told = told
        self._post = post
        self._warden = warden
        self._log = log
        self._running: _Life | None = None
        self._standby: _Life | None = None
        self._ending = False

    # ------------------------------------------------------------------------------------------------ lives

    def prepare(self) -> None:
        """Have a standby, if there is none."""
        if self._standby is None:
            self._standby = _Life(self, self._module, self._spec(), self._warden, self._log)

    @property
    def ready(self) -> bool:
        """Whether the standby is warm. Raises ClusterError where it has died instead."""
        standby = self._standby
        if standby is not None and not standby.process.alive and not standby.ready:
            raise ClusterError(f"The client {self.name} could not be started: {standby.process.tail(5) or 'it said nothing'}")
        return standby is not None and standby.ready

    @property
    def alive(self) -> bool:
        """Whether a process runs (a paused one does)."""
        return self._running is not None and self._running.process.alive

    def start(self) -> None:
        """The standby becomes the process that runs."""
        self.prepare()
        assert self._standby is not None, "it has just been made"
        self._running, self._standby = self._standby, None
        self.started = False
        self.say({"do": "go", **self._go()})

    def kill(self) -> None:
        """SIGKILL, to the application and to its driver. What it had told before is still heard."""
        if self._running is not None:
            self._running.process.kill()

    def terminate(self) -> None:
        """SIGTERM: close() and exit."""
        if self._running is not None:
            self._running.process.terminate()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._running is not None:
            self._running.process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._running is not None:
            self._running.process.resume()

    def say(self, word: Event) -> None:
        """One line to the process that runs; a dead one hears nothing."""
        if self._running is not None:
            self._running.say(word)

    def end(self) -> None:
        """The run is over: ask it to leave, and dismiss the standby."""
        self._ending = True
        self.say({"do": "end"})
        if self._standby is not None:
            self._standby.process.kill()
            self._standby = None

    def gone(self, timeout_s: float) -> None:
        """After `end`: wait so long for it to leave, then kill it."""
        if self._running is not None and not self._running.process.wait(timeout_s):
            self._running.process.kill()

    def died(self) -> str:
        """Why the process that should run does not, or ""."""
        if self._running is None or self._running.process.alive:
            return ""
        return self._running.process.tail(5)

    # ------------------------------------------------------------------------------------------------ what it tells

    def heard(self, life: _Life, event: Event) -> None:
        """On the clock's thread: an event of one of its processes; the last words of a dead one count."""
        if event["e"] == "ready":
            life.ready = True
        elif event["e"] == "started":
            self.started = True
        else:
            self._told(event)

    def post(self, function: Callable[[], None]) -> None:
        """Hand over to the clock's thread."""
        if not self._ending:
            self._post(function)


class _Life:
    """One process of an application, from standby to its end."""

    def __init__(self, owner: Application, module: str, spec: str, warden: Warden, log: Path) -> None:
        self.ready = False
        self._owner = owner
        self.process = Process(owner.name, [sys.executable, "-m", module], warden, log, pipes=True)
        self._write(spec.encode())
        threading.Thread(target=self._listen, daemon=True, name=f"{owner.name} listens").start()

    def say(self, word: Event) -> None:
        """One line to it."""
        self._write(json.dumps(word).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None, "it was started with pipes"
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it is dead, and whoever cares will see that

    def _listen(self) -> None:
        assert self.process.stdout is not None, "it was started with pipes"
        owner = self._owner
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # SIGKILL in the middle of a line
            owner.post(lambda event=event: owner.heard(self, event))  # type: ignore[misc]  # bound early
