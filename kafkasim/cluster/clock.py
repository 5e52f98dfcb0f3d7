"""The clock of a real run: what the simulator's driver is to simulated time. Everything happens on the thread that calls `run`.

Other threads (readers of pipes, mostly) hand over what they have with `post`.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable

_Function = Callable[[], object]  # whatever it returns, nobody looks at it


class RealClock:
    """Implements injector.py's Clock. `now` in ms, on the monotonic clock that all processes of a machine share."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int, _Function]] = []
        self._order = 0
        self._posted: queue.SimpleQueue[_Function] = queue.SimpleQueue()

    @property
    def now(self) -> float:
        """This instant, in ms."""
        return time.monotonic() * 1000.0

    def call_at(self, instant: float, function: _Function) -> None:
        """Call `function` then, or as soon as `run` comes to it."""
        self._order += 1
        heapq.heappush(self._calls, (instant, self._order, function))

    def post(self, function: _Function) -> None:
        """From any thread: call `function` on the thread that runs, next."""
        self._posted.put(function)

    def run(self, over: Callable[[], bool], at_most: float, every: float) -> bool:
        """Let time pass until `over()`, asked every `every` ms, or until the instant `at_most`; whether it was over."""
        look = self.now
        while True:
            if self.now >= look:
                if over():
                    return True
                if self.now >= at_most:
                    return False
                look = self.now + every
            self._step(min(look, at_most))

    def _step(self, until: float) -> None:
        """Everything that is due, then wait for whatever comes next, but not beyond `until`."""
        while self._calls and self._calls[0][0] <= self.now:
            heapq.heappop(self._calls)[2]()
        if self._calls:
            until = min(until, self._calls[0][0])
        try:
            function = self._posted.get(timeout=max(0.0, until - self.now) / 1000.0)
        except queue.Empty:
            return
        function()
        # What came together is done together; but a fault that has become due meanwhile strikes first.
        while not (self._calls and self._calls[0][0] <= self.now):
            try:
                function = self._posted.get_nowait()
            except queue.Empty:
                return
            function()
