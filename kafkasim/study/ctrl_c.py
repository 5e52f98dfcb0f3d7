"""Ctrl-C between two steps and never within one: what has been written down is also known to have been written down."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, Self


class CtrlC:
    """While it is entered, Ctrl-C is a KeyboardInterrupt as always, but comes only at the end of what is `held_back`.

    In a thread that is not the main one, and where somebody has a way of his own to take Ctrl-C, it changes nothing.
    """

    def __init__(self) -> None:
        self._held = self._came = self._ours = False

    def __enter__(self) -> Self:
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _take(self, *_: Any) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._came = True

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """A step that is done whole. Raises KeyboardInterrupt after it, if Ctrl-C came meanwhile."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came:
            self._came = False
            raise KeyboardInterrupt
