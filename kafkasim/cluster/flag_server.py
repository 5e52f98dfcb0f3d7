"""A Redis of our own for `dedup: redis` without a `dedup.url`: a real server on a free port, with nothing on disk."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.processes import Process
from kafkasim.cluster.warden import Warden

_PATIENCE_S = 60.0


def missing() -> str:
    """Why there can be no such server on this machine, or ""."""
    if shutil.which("redis-server") is None:
        return "`dedup: redis` needs a Redis: install redis-server, or name one with `dedup.url`."
    return ""


class FlagServer:
    """Started when its URL is first asked for; it outlives the consumers, as a database server would, and ends with the run."""

    def __init__(self, warden: Warden, folder: Path) -> None:
        self._warden = warden
        self._folder = folder
        self._process: Process | None = None
        self._url = ""

    def url(self) -> str:
        """redis://… of a server that answers. Raises ClusterError without a redis-server on this machine."""
        if self._process is None:
            self._start()
        return self._url

    def close(self) -> None:
        """Kill it; what it held goes with it."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _start(self) -> None:
        if complaint := missing():
            raise ClusterError(complaint)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._process = Process("redis", ["redis-server", *options], self._warden, self._folder / "redis.log")
        self._url = f"redis://127.0.0.1:{port}/0"
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self._process.alive:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                return
            except OSError:
                time.sleep(0.02)
        said = self._process.tail(3)
        self.close()
        raise ClusterError(f"redis-server did not start: {said}")
