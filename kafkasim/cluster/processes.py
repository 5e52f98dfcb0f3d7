"""One child process, and the signals that faults are made of: SIGKILL (crash), SIGTERM (shutdown), SIGSTOP and SIGCONT (pause, resume).

A child leads a session and a process group of its own. A crash and a pause hit the whole group (an application and its Java driver are
one), a shutdown only the leader, which then ends the others in its own way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kafkasim.cluster.warden import Warden

_TAIL_BYTES = 64 * 1024


class Process:
    """A process that runs from the moment it is made, watched by the warden. Methods may be called at any time, from any thread, again.

    Standard error, and standard output unless `pipes`, are appended to `log`. With `pipes`, `stdin` and `stdout` are binary pipes, buffered
    as Popen buffers them: whoever writes flushes. `env` replaces the environment. Raises OSError where the program cannot be started.
    """

    def __init__(
        self, name: str, command: Sequence[str], warden: Warden, log: Path, pipes: bool = False, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = log
        self._warden = warden
        self._lock = threading.Lock()
        self._over = False
        with log.open("ab") as file:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else file,
                stderr=file,
                env=env,
                start_new_session=True,
                preexec_fn=warden.enrolment(),  # noqa: PLW1509  (one write to a pipe takes no lock that another thread could hold)
            )

    @property
    def pid(self) -> int:
        """Of the leader, and so the number of the process group."""
        return self._popen.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input; only with `pipes`."""
        assert self._popen.stdin is not None, "the process was started without pipes"
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output; only with `pipes`."""
        assert self._popen.stdout is not None, "the process was started without pipes"
        return self._popen.stdout

    @property
    def alive(self) -> bool:
        """Whether the leader runs, or is paused. A group whose leader has ended by itself is ended too."""
        if self._popen.poll() is None:
            return True
        self._end()
        return False

    @property
    def exit_code(self) -> int | None:
        """As Popen has it: negative, the signal that ended it; None while it is alive."""
        return None if self.alive else self._popen.returncode

    def kill(self) -> None:
        """SIGKILL to the whole group, paused or not; the leader is gone when this returns."""
        self._end()
        self._popen.wait()
        self._close_stdin()

    def terminate(self) -> None:
        """SIGTERM to the leader alone, and no wait."""
        self._popen.terminate()

    def pause(self) -> None:
        """SIGSTOP to the group."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the group."""
        self._signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, at the latest after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return not self.alive

    def tail(self, lines: int) -> str:
        """The last lines of its log, without Java's stack frames, which tell nobody but Kafka's authors anything."""
        with self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        told = [line for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "\t..."))]
        return "\n".join(told[-lines:])

    def _end(self) -> None:
        """The group's last signal, once: after the leader has been waited for, its number may come to belong to somebody else."""
        with self._lock:
            if self._over:
                return
            self._over = True
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
                os.killpg(self.pid, signal.SIGKILL)
            self._warden.forget(self.pid)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if not self._over:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)

    def _close_stdin(self) -> None:
        """What was written and not flushed has no reader any more."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
