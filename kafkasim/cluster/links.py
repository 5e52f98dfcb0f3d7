"""The network of a real cluster: a TCP proxy for each directed pair of nodes, and the verbs of faults.py that concern links.

All proxies share one asyncio loop in one daemon thread. A link is one direction between two nodes: from `a` to `b` go the requests on
connections that `a` opened to `b`, and the answers on those that `b` opened to `a`. Faults may be given for pairs before they have a proxy.
"""

from __future__ import annotations

import asyncio
import random as randomness
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from kafkasim.cluster.connection import Link
from kafkasim.cluster.proxy import Proxy, Route

_T = TypeVar("_T")


class Links:
    """Callable from any thread; each call returns when it is done. `random` draws from [0, 1): jitter, and whose answer is swallowed."""

    def __init__(self, random: Callable[[], float] = randomness.random) -> None:
        self._random = random
        self._links: dict[tuple[str, str], Link] = {}
        self._proxies: list[Proxy] = []
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()

    def add(self, client: str, server: str, target: tuple[str, int], listen: tuple[str, int] | None = None) -> tuple[str, int]:
        """A proxy for connections that `client` opens to `server`, which is at `target`. Returns where it listens.

        It listens on `listen` or on a free port of 127.0.0.1. Raises ClusterError where that cannot be had.
        """

        def add() -> tuple[str, int]:
            route = Route(client, server, target, (self._link(client, server), self._link(server, client)))
            proxy = Proxy(self._loop, route, listen, self._random)
            self._proxies.append(proxy)
            return proxy.address

        return self._on_loop(add)

    def known(self, a: str, b: str) -> bool:
        """Whether there is a proxy between the two, whoever opens connections."""
        return self._on_loop(lambda: bool(self._between(a, b)))

    def close(self) -> None:
        """Abort every connection, give every port back, end the thread. A second call does nothing."""
        if self._loop.is_closed():
            return
        self._on_loop(lambda: _each(self._proxies, Proxy.close))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ------------------------------------------------------------------------------------------------ the life of servers

    def down(self, server: str) -> None:
        """The process died: its proxies refuse. What becomes of existing connections, its kernel tells."""
        self._on_loop(lambda: _each(self._towards(server), Proxy.server_died))

    def up(self, server: str) -> None:
        """The process was started: each of its proxies accepts again as soon as its target does. Does not wait for that."""
        self._on_loop(lambda: _each(self._towards(server), Proxy.server_started))

    # ------------------------------------------------------------------------------------------------ what faults do

    def cut(self, a: str, b: str) -> None:
        """Hold back every byte from `a` to `b`, FIN and RST too; nobody gets connected meanwhile, for a handshake needs both ways."""

        def cut() -> None:
            self._link(a, b).cuts += 1
            self._update(a, b)

        self._on_loop(cut)

    def join(self, a: str, b: str) -> None:
        """Let the bytes from `a` to `b` through again, those held back first."""

        def join() -> None:
            link = self._link(a, b)
            assert link.cuts > 0, f"{a}>{b} is joined without having been cut"
            link.cuts -= 1
            self._update(a, b)

        self._on_loop(join)

    def delay(self, a: str, b: str, latency_ms: float, jitter_ms: float) -> None:
        """Everything from `a` to `b` takes `latency_ms`, give or take `jitter_ms` (uniformly), longer. Several delays add up."""

        def delay() -> None:
            link = self._link(a, b)
            link.slowed.append((latency_ms / 1000.0, jitter_ms / 1000.0))
            link.add_up()

        self._on_loop(delay)

    def undelay(self, a: str, b: str) -> None:
        """Take the delay that has held longest away again."""

        def undelay() -> None:
            link = self._link(a, b)
            assert link.slowed, f"{a}>{b} is sped up without having been slowed down"
            del link.slowed[0]
            link.add_up()

        self._on_loop(undelay)

    def reset(self, a: str, b: str) -> None:
        """Abort every connection between the two with RST to both sides, at once. Both may connect again at once."""
        self._on_loop(lambda: _each(self._between(a, b), Proxy.reset))

    def drop_responses(self, a: str, b: str, probability: float) -> None:
        """Swallow each answer of `a` to `b` with `probability`, and reset its connection. Of several chances the greatest counts."""

        def drop_responses() -> None:
            link = self._link(a, b)
            link.dropping.append(probability)
            link.add_up()

        self._on_loop(drop_responses)

    def stop_dropping(self, a: str, b: str) -> None:
        """End the `drop_responses` that has held longest."""

        def stop_dropping() -> None:
            link = self._link(a, b)
            assert link.dropping, f"{a} does not drop its answers to {b}"
            del link.dropping[0]
            link.add_up()

        self._on_loop(stop_dropping)

    # ------------------------------------------------------------------------------------------------ on the loop's thread

    def _link(self, source: str, target: str) -> Link:
        return self._links.setdefault((source, target), Link())

    def _between(self, a: str, b: str) -> list[Proxy]:
        return [proxy for proxy in self._proxies if {proxy.route.client, proxy.route.server} == {a, b}]

    def _towards(self, server: str) -> list[Proxy]:
        return [proxy for proxy in self._proxies if proxy.route.server == server]

    def _update(self, a: str, b: str) -> None:
        _each(self._between(a, b), Proxy.update)

    def _on_loop(self, function: Callable[[], _T]) -> _T:
        """Run `function` there and wait for it; what it raises is raised here."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return future.result()


def _each(proxies: list[Proxy], do: Callable[[Proxy], None]) -> None:
    for proxy in proxies:
        do(proxy)
