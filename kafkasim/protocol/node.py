"""What every machine of the protocol is: input in, outputs out, and when to be woken. No clock, no wire, no dice of its own.

The shape is that of a sans-IO protocol library. A driver owns time and connections; a trainee may be that driver, by hand.

Nodes have names: `broker-1`, `controller-100`, a producer's name, `billing-0` for a member of a group. A *peer* is a node's name, or
`name#channel` for a further connection to the same node (a consumer keeps one to its leader and one to its coordinator,
as Kafka's ConsumerNetworkClient does with node id Integer.MAX_VALUE - id). What a server answers goes to the very `source` it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

# Delivered by the driver.


class Connected(NamedTuple):
    """The connection to `peer`, asked for with `Connect`, stands."""

    peer: str


class Disconnected(NamedTuple):
    """The connection to `peer` is gone, or could not be made (refused, reset, or closed by the other side)."""

    peer: str


# Asked of the driver.


class Connect(NamedTuple):
    """Open a connection to `peer`; `Connected` or `Disconnected` will follow, once no partition lies between."""

    peer: str


class Send(NamedTuple):
    """Write one message to the open connection with `peer`; on a connection that is gone it vanishes."""

    peer: str
    message: object


# Send(peer, message), for whoever makes many: `new_send((peer, message))` goes by the short way to the same tuple, in half the time.
new_send: Callable[[tuple[str, object]], Send] = partial(tuple.__new__, Send)


class Close(NamedTuple):
    """Close the connection with `peer`. What was already written still arrives; what would have come back does not."""

    peer: str


Output = object  # Send | Connect | Close | an answer to the application (producer.py, consumer.py)
Trace = Callable[[object], None]
Random = Callable[[], float]  # uniform in [0, 1), from a stream of the machine's own


class Node(Protocol):
    """A broker, a controller, a producer, a consumer."""

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """Take one message from `source`, a `Connected`/`Disconnected`, or an application's call (source "")."""

    def next_deadline(self) -> float | None:
        """The instant at which `wake` wants to be called, or None."""

    def wake(self, now: float) -> list[Output]:
        """Time has come: act on every deadline that is not after `now`."""


def broker_name(broker_id: int) -> str:
    """The node name of a broker: `broker-3`."""
    return f"broker-{broker_id}"


def controller_name(controller_id: int) -> str:
    """The node name of a controller: `controller-100`."""
    return f"controller-{controller_id}"
