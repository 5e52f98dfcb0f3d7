"""Waiting for what has to happen on a machine that others use too: long enough that only what never comes is missed."""

import subprocess
import time
from collections.abc import Callable

PATIENCE_S = 60.0


def eventually(true: Callable[[], object], within_s: float = PATIENCE_S) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + within_s
    while not (happened := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(happened)


def gone(pid: int) -> bool:
    """Dead, though perhaps a zombie that nobody has waited for."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip().startswith("Z") or not state.strip()
