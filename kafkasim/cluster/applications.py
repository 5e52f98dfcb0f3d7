"""The parent's side of an application: the process that runs now, the standby that will run next, and what they tell.

An application is a process of its own (producing.py, consuming.py), so that a crash is a real SIGKILL. A standby is a process that
has imported, and started its JVM, and waits: a restart then costs what it costs in the simulator, nothing.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden

Event = Mapping[str, Any]

_LAST_WORDS_S = 5.0  # of a dead process: its pipe ends with it, so this is the net below
_TAIL_LINES = 200
_ENDED: Event = {"e": "ended"}
_OF_ITS_LIFE = frozenset({"state", "busy", "assigned", "positions", "stopped", "reached"})  # of no interest once another process runs
_OWN_ERROR = f"{ClusterError.__module__}.{ClusterError.__name__}: "


class Application:
    """One client of a scenario over all its lives.

    `command` starts a process, whose first line, what it is, is `spec()`; `go()` is added to the word "go" at the moment of a start (where
    to begin). `told(event, reply)` is called for each event of the process that runs, by the function `post`, on the thread of the clock;
    `reply` goes to that very process. Its last event is "ended": nothing more will be heard of that process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        spec: Callable[[], str],
        go: Callable[[], Event],
        told: Callable[[Event, Callable[[Event], None]], None],
        post: Callable[[Callable[[], object]], None],
        warden: Warden,
        log: Path,
    ) -> None:
        self.name = name
        # How often it will be started yet after having been brought down, as far as is known: for each there is a standby.
        self.restarts = 0
        self._command = command
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
            self._standby = _Life(self, self._command, self._spec(), self._warden, self._log)

    @property
    def ready(self) -> bool:
        """Whether the standby, if there is one, is warm. Raises ClusterError where it has died instead."""
        standby = self._standby
        if standby is not None and not standby.ready and not standby.process.alive:
            raise ClusterError(f"The client {self.name} could not be started: {last_words(standby.process)}")
        return standby is None or standby.ready

    @property
    def started(self) -> bool:
        """Whether the process that runs has made its client."""
        return self._running is not None and self._running.started

    @property
    def alive(self) -> bool:
        """Whether a process runs (a paused one does)."""
        return self._running is not None and self._running.process.alive

    def start(self) -> None:
        """The standby becomes the process that runs, and where it will be brought down again, the next one gets ready."""
        self._hear_last_words()
        self.prepare()
        self._running, self._standby = self._standby, None
        self.say({"do": "go", **self._go()})
        if self.restarts:
            self.restarts -= 1
            self.prepare()

    def kill(self) -> None:
        """SIGKILL, to the application and to its driver. What it had told before is heard before this returns."""
        if self._running is not None:
            self._running.process.kill()
            self._hear_last_words()

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
        """The last words of the process that should run, or "" where it does, or never did."""
        return "" if self._running is None or self._running.process.alive else last_words(self._running.process)

    # ------------------------------------------------------------------------------------------------ what it tells

    def heard(self, life: _Life, event: Event) -> None:
        """On the clock's thread: an event of one of its processes."""
        if event["e"] == "ready":
            life.ready = True
        elif event["e"] == "started":
            life.started = True
        elif life is self._running or event["e"] not in _OF_ITS_LIFE:
            self._told(event, life.say)

    def post(self, function: Callable[[], object]) -> None:
        """Hand over to the clock's thread."""
        if not self._ending:
            self._post(function)

    def _hear_last_words(self) -> None:
        """Where the next process begins depends on how far the last one came: what is still in its pipe counts, and comes before."""
        if self._running is not None:
            self._running.listener.join(_LAST_WORDS_S)
            while self._running.hear():
                pass


class _Life:
    """One process of an application, from standby to its end."""

    def __init__(self, owner: Application, command: Sequence[str], spec: str, warden: Warden, log: Path) -> None:
        self.ready = False
        self.started = False
        self._owner = owner
        self._events: SimpleQueue[Event] = SimpleQueue()
        self.process = Process(owner.name, command, warden, log, pipes=True)
        self._write(spec.encode())
        self.listener = threading.Thread(target=self._listen, daemon=True, name=f"{owner.name} listens")
        self.listener.start()

    def say(self, word: Event) -> None:
        """One line to it."""
        self._write(json.dumps(word).encode() + b"\n")

    def hear(self) -> bool:
        """On the clock's thread: its next event, if there is one that was not heard yet."""
        try:
            event = self._events.get_nowait()
        except Empty:
            return False
        self._owner.heard(self, event)
        return True

    def _write(self, line: bytes) -> None:
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it is dead, and whoever cares will see that

    def _listen(self) -> None:
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # SIGKILL in the middle of a line
            self._tell(event)
        self._tell(_ENDED)

    def _tell(self, event: Event) -> None:
        self._events.put(event)
        self._owner.post(self.hear)


def last_words(process: Process) -> str:
    """The last line of its log that means something to people, or what its end was where it said nothing."""
    code = process.exit_code
    if code is not None and code < 0:
        return f"signal {-code} ended it ({signal.strsignal(-code)})"
    lines = process.tail(_TAIL_LINES).splitlines()
    for begin in range(len(lines) - 1, -1, -1):
        if lines[begin].startswith("Traceback (most recent call last)"):
            # Behind the last one's lines, which are indented, stands the exception; its message may have more lines.
            return next((_plain(line) for line in lines[begin + 1 :] if not line.startswith(" ")), "an error without a word")
    for line in reversed(lines):
        if not line.startswith((" ", "\t")):
            return _plain(line)
    return "it said nothing" if code is None else f"it said nothing, and its exit status was {code}"


def _plain(line: str) -> str:
    return line.removeprefix(_OWN_ERROR).strip()
