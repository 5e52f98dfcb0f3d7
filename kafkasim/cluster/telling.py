"""The line between an application's process and the one that started it: orders on stdin, events on stdout, SIGTERM beside them.

Of the operating system: a short write to a pipe is one piece (pipe(7), PIPE_BUF), so what was told before a SIGKILL arrives whole; and
`signal.set_wakeup_fd` makes a signal readable, so that one thread hears orders and SIGTERM even while the main thread is inside a client.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

_STDIN, _STDOUT = 0, 1
_AT_ONCE = 65536


class Leave(BaseException):
    """The run is over: whatever this thread is at, it leaves off. No Exception, so that no client swallows it."""


class Parent:
    """Who started this process: hears its orders, tells it events. `ended` and `terminated` are set by the thread that listens."""

    def __init__(self, orders: int = _STDIN, events: int = _STDOUT) -> None:
        self.zero = 0.0  # when the ledger's time began, by time.monotonic(), in s; known after `wait_for_zero`
        self.ended = threading.Event()  # "end": the run is over
        self.terminated = threading.Event()  # SIGTERM: close properly
        self.interrupt: Callable[[], None] = _nothing  # called by the thread that listens after either was set
        self._orders = orders
        self._events = events
        self._signals = -1
        self._buffer = b""
        self._lock = threading.Lock()
        self._go: Mapping[str, Any] | None = None
        self._may_go = threading.Event()
        self._may_begin = threading.Event()
        self._resumes = threading.Semaphore(0)

    # ------------------------------------------------------------------------------------------------ telling

    def now(self) -> float:
        """ms since zero."""
        return (time.monotonic() - self.zero) * 1000.0

    def tell(self, event: str, **fields: Any) -> None:
        """One event, one write. From any thread."""
        line = json.dumps({"e": event, **fields}, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while line:
                try:
                    line = line[os.write(self._events, line) :]
                except BrokenPipeError:
                    os._exit(1)  # nobody listens any more

    # ------------------------------------------------------------------------------------------------ hearing

    def first_line(self) -> str:
        """The spec. Before `listen`."""
        while b"\n" not in self._buffer:
            self._read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def catch_sigterm(self) -> None:
        """From now on SIGTERM is an order like others. On the main thread, before `listen`."""
        self._signals, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        signal.signal(signal.SIGTERM, _no_action)

    def listen(self) -> None:
        """Begin to hear orders, on a thread of its own. When the orders end, so does the process, at once."""
        threading.Thread(target=guarded, args=(self._listen,), name="orders", daemon=True).start()

    def wait_for_go(self) -> Mapping[str, Any] | None:
        """What was said with "go", besides zero; None where the process is to leave without having begun."""
        self._may_go.wait()
        return self._go

    def wait_for_zero(self) -> None:
        """Until it is known when the ledger's time begins, be it to come; or until the process is to leave."""
        self._may_begin.wait()

    def resumed(self) -> bool:
        """Whether a "resume" has come that nobody has taken yet; it is taken."""
        return self._resumes.acquire(blocking=False)

    def wait_for_resume(self) -> None:
        """Stand still until "resume". Raises Leave where "end" comes instead."""
        self._resumes.acquire()
        if self.ended.is_set():
            raise Leave

    def sleep(self, seconds: float) -> None:
        """Raises Leave as soon as "end" comes."""
        if self.ended.wait(seconds) if seconds > 0 else self.ended.is_set():
            raise Leave

    def _listen(self) -> None:
        watched = [self._orders] if self._signals < 0 else [self._orders, self._signals]
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                self._obey(json.loads(line))
            ready, _, _ = select.select(watched, [], [])
            if self._signals in ready and signal.SIGTERM in os.read(self._signals, _AT_ONCE):
                self.terminated.set()
                self._let_leave()
            if self._orders in ready:
                self._read()

    def _read(self) -> None:
        more = os.read(self._orders, _AT_ONCE)
        if not more:
            os._exit(1)  # the parent is gone
        self._buffer += more

    def _obey(self, order: dict[str, Any]) -> None:
        match order.pop("do"):
            case "go":
                if "zero" in order:
                    self._begin_at(order.pop("zero"))
                self._go = order
                self._may_go.set()
            case "zero":
                self._begin_at(order["zero"])
            case "resume":
                self._resumes.release()
            case "end":
                self.ended.set()
                self._resumes.release()
                self._let_leave()

    def _begin_at(self, zero: float) -> None:
        self.zero = zero
        self._may_begin.set()

    def _let_leave(self) -> None:
        self._may_go.set()
        self._may_begin.set()
        self.interrupt()


def guarded(work: Callable[[], None]) -> None:
    """What a thread runs: its failure is the process's, and is written to the log."""
    try:
        work()
    except Leave:
        return
    except BaseException:
        traceback.print_exc()
        leave(1)


def leave(status: int) -> NoReturn:
    """Exit now: threads that handle records, or wait for orders, are not waited for."""
    sys.stderr.flush()
    os._exit(status)


def _nothing() -> None:
    return


def _no_action(_number: int, _frame: object) -> None:
    """The thread that listens reads the signal; Python wants a handler."""
