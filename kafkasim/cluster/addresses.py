"""A loopback network of one's own: on Linux all of 127.0.0.0/8 is this machine, so each cluster can have a 127.X.0.0/16 for itself.

Broker D listens on 127.X.0.D, and what broker S believes to be broker D is 127.X.S.D, where a proxy listens. macOS has 127.0.0.1 alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from kafkasim.cluster.errors import ClusterError

_LOCK_PORT = 29092  # below the ports that Linux gives to outgoing connections, so that nobody holds it by accident
_NETWORKS = 253  # 127.1 to 127.253: programs that want a loopback address of their own like 127.0 and 127.254
_ONLY = "127.0.0.1"


class Addresses:
    """Draws an X whose lock (a UDP port on 127.X.255.254) nobody holds, and holds it until `close`, or until the process ends.

    `loopback_net`: whether there is such a network; where there is none, every host is 127.0.0.1. Raises ClusterError where all are taken.
    """

    def __init__(self) -> None:
        self._lock: socket.socket | None = None
        self._network = 0
        self._given: set[tuple[str, int]] = set()
        first = int.from_bytes(os.urandom(2), "big")
        for step in range(_NETWORKS):
            network = 1 + (first + step) % _NETWORKS
            try:
                self._lock = _bound(f"127.{network}.255.254", _LOCK_PORT, socket.SOCK_DGRAM)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    return
                continue
            self._network = network
            return
        raise ClusterError(
            f"no loopback network is free: UDP port {_LOCK_PORT} is taken on 127.1.255.254 and all the others up to 127.{_NETWORKS}"
        )

    @property
    def loopback_net(self) -> bool:
        """Whether each directed pair of nodes can have an address; if not, links between brokers have no proxies."""
        return self._network > 0

    def node(self, number: int) -> str:
        """Where node `number` (1 to 254) itself listens."""
        return self.seen_by(0, number)

    def seen_by(self, source: int, target: int) -> str:
        """Where node `source` finds node `target`; source 0: where the target itself listens."""
        return f"127.{self._network}.{source}.{target}" if self.loopback_net else _ONLY

    def free_port(self, host: str) -> int:
        """A TCP port that nobody has on `host` now; never the same one twice."""
        while True:
            with contextlib.closing(_bound(host, 0, socket.SOCK_STREAM)) as probe:
                place = (host, int(probe.getsockname()[1]))
            if place not in self._given:
                self._given.add(place)
                return place[1]

    def close(self) -> None:
        """Somebody else may have the network."""
        if self._lock is not None:
            self._lock.close()


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket bound there. Raises OSError."""
    bound = socket.socket(socket.AF_INET, kind)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
