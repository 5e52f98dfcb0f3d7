"""How a record carries its identity (producer, n) through a real cluster: in the first bytes of its value.

Eight bytes, big-endian: two for the producer's place in the scenario, six for n. A shorter value keeps the last of the eight, as many
as it has. `drivers/Identity.java` is the same rule for the Java clients.
"""

from __future__ import annotations

_WHOLE = 8
_PLACE = 1 << 48


def encode(producer_index: int, number: int, size: int) -> bytes:
    """A value of `size` bytes for record `number` of that producer. Raises ValueError where the identity does not fit into it."""
    identity = producer_index * _PLACE + number
    kept = min(size, _WHOLE)
    if identity >= 1 << (8 * kept):
        raise ValueError(f"record.size {size} is too small to tell record {number} of producer {producer_index} from all others")
    return identity.to_bytes(kept, "big") + bytes(size - kept)


def decode(value: bytes) -> tuple[int, int]:
    """(place of the producer, n) of a value that `encode` made."""
    return divmod(int.from_bytes(value[:_WHOLE], "big"), _PLACE)
