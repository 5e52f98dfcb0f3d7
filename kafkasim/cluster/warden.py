"""A tiny process that cleans up after us, whatever happens to us: the other end of a pipe that the operating system closes when we die.

It runs this very file, with the standard library only. Each line of its standard input is a JSON list: ["watch", PID], ["forget", PID],
["remove", FOLDER], ["at_end", COMMAND…], ["not_at_end", COMMAND…], or ["orderly"], after which no command is needed any more. At the end
of its input it kills the process groups still watched, removes the folders, runs the commands, and exits. It lives in a session of its own
and ignores the signals of a terminal, so that a Ctrl-C for us is none for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_COMMANDS_MAY_TAKE_S = 30.0
_FOLDERS_MAY_TAKE_S = 10.0


class Warden:
    """Our end of it. Everything told is one short write to a pipe, so that it counts from the moment a call returns."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
        nowhere = subprocess.DEVNULL  # it must not keep open a pipe that we write into: whoever reads that would wait for the warden
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            cwd="/",
            start_new_session=True,
            bufsize=0,
            preexec_fn=_ignore_a_terminal,  # noqa: PLW1509  (it takes no lock, and from its first moment on the warden ignores them)
        )
        assert self._process.stdin is not None, "a pipe was asked for"
        self._pipe = self._process.stdin

    def watch(self, pid: int) -> None:
        """Kill the process group `pid` when we are gone. Its leader may be gone by then; the others are killed all the same."""
        self._tell("watch", pid)

    def enrolment(self) -> Callable[[], None]:
        """For the child's side of a fork, before exec: enrols the child itself, so that no moment exists in which nobody watches it."""
        pipe = self._pipe.fileno()
        return lambda: _write(pipe, ["watch", os.getpid()])

    def forget(self, pid: int) -> None:
        """The process group has ended, and its number may soon be somebody else's."""
        self._tell("forget", pid)

    def remove(self, folder: Path) -> None:
        """Remove this folder, with all that is in it, at the end; no complaint where it is gone already."""
        self._tell("remove", str(folder.resolve()))

    def at_end(self, command: Sequence[str]) -> None:
        """Run this command if we die before `close`: after the killing and removing, beside other commands, for 30 s at most."""
        self._tell("at_end", *command)

    def not_at_end(self, command: Sequence[str]) -> None:
        """What this command was for has been done: it is taken back, once."""
        self._tell("not_at_end", *command)

    def close(self) -> None:
        """We end in order: what is still watched is killed, the folders are removed, no command is run. Waits until that is done."""
        if not self._pipe.closed:
            self._tell("orderly")
            self._pipe.close()
        self._process.wait()

    def _tell(self, *message: str | int) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed the warden: from here on we clean up by ourselves, or nobody does
            _write(self._pipe.fileno(), message)


def _ignore_a_terminal() -> None:
    """Between fork and exec, which keeps what is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _write(pipe: int, message: Sequence[str | int]) -> None:
    os.write(pipe, json.dumps(message).encode() + b"\n")


# ---------------------------------------------------------------------------------------------------- its side of the pipe


def main() -> None:
    """Keep the lists until the input ends; then act on them."""
    groups: dict[int, None] = {}
    folders: list[str] = []
    commands: list[list[str]] = []
    for line in sys.stdin:
        what, *rest = json.loads(line)
        if what == "watch":
            groups[rest[0]] = None
        elif what == "forget":
            groups.pop(rest[0], None)
        elif what == "remove":
            folders.append(rest[0])
        elif what == "at_end":
            commands.append(rest)
        elif what == "not_at_end":
            with contextlib.suppress(ValueError):
                commands.remove(rest)
        elif what == "orderly":
            commands.clear()
    _kill(groups)
    for folder in folders:
        _remove(folder)
    _run(commands)


def _kill(groups: Iterable[int]) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _remove(folder: str) -> None:
    """A killed process may write for a moment longer, so one try is not enough."""
    deadline = time.monotonic() + _FOLDERS_MAY_TAKE_S
    while os.path.isdir(folder) and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def _run(commands: Iterable[Sequence[str]]) -> None:
    nowhere = subprocess.DEVNULL
    running: list[subprocess.Popen[bytes]] = []
    for command in commands:
        with contextlib.suppress(OSError):
            running.append(subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True))
    deadline = time.monotonic() + _COMMANDS_MAY_TAKE_S
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill([process.pid])


if __name__ == "__main__":
    main()
