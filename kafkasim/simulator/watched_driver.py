"""The driver of a run that is watched: somebody is told before what a process has done takes effect, and before a process ends.

It stands in a module of its own because a compiled class (driver.py) can have compiled subclasses only (.compile/compile_core.py).
"""

from __future__ import annotations

from typing import Any, Protocol

from kafkasim.protocol.node import Output
from kafkasim.simulator.driver import Driver, Host


class Watcher(Protocol):
    """Whoever looks."""

    def acted(self, host: Host, outputs: list[Any], now: float) -> None:
        """The host's node was given input and has changed; `outputs` are what it asks for, and nobody has them yet."""

    def ended(self, host: Host, now: float) -> None:
        """The host's process ends at this instant; its node is still there."""

    def power_failed(self, node: str, now: float) -> None:
        """The node's disk has just lost what was not flushed."""


class WatchedDriver(Driver):
    """The driver, with somebody who is told."""

    def __init__(self) -> None:
        super().__init__()
        self.watcher: Watcher | None = None

    def after(self, host: Host, outputs: list[Output], now: float) -> None:
        """As in Driver; whoever watches looks first."""
        if self.watcher is not None:
            self.watcher.acted(host, outputs, now)
        super().after(host, outputs, now)

    def kill(self, host: Host) -> None:
        """As in Driver."""
        if self.watcher is not None:
            self.watcher.ended(host, self.now)
        super().kill(host)
