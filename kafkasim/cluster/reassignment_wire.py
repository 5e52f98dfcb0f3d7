"""AlterPartitionReassignments (KIP-455) over a socket: the one request of an administrator that librdkafka has no call for.

In Kafka: AlterPartitionReassignmentsRequest.json, version 0, which is "flexible" (KIP-482): lengths are unsigned varints, one more than
what they count, and every structure ends with its tagged fields, of which there are none here. Any broker takes the request and passes it
on to the controller (KIP-590).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

API_KEY, API_VERSION, _CORRELATION_ID = 45, 0, 1
_NO_TAGS = b"\0"


def alter_partition_reassignment(address: tuple[str, int], topic: str, partition: int, replicas: Sequence[int], timeout_s: float) -> int:
    """Ask the broker at `address`; Kafka's error code, 0 for none. No replicas: cancel. Raises OSError where no answer comes in time."""
    with socket.create_connection(address, timeout=timeout_s) as connection:
        frame = request_frame(topic, partition, replicas, int(timeout_s * 1000))
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        (size,) = struct.unpack(">i", _read(connection, 4))
        return error_code(_read(connection, size))


def request_frame(topic: str, partition: int, replicas: Sequence[int], timeout_ms: int) -> bytes:
    """Header and body, without the size before them."""
    header = struct.pack(">hhih", API_KEY, API_VERSION, _CORRELATION_ID, -1) + _NO_TAGS  # -1: no client.id
    wanted = _length(len(replicas)) + struct.pack(f">{len(replicas)}i", *replicas) if replicas else b"\0"  # null: cancel
    one_partition = struct.pack(">i", partition) + wanted + _NO_TAGS
    name = topic.encode()
    one_topic = _length(len(name)) + name + _length(1) + one_partition + _NO_TAGS
    return header + struct.pack(">i", timeout_ms) + _length(1) + one_topic + _NO_TAGS


def error_code(answer: bytes) -> int:
    """Of the whole request, or else of its one partition."""
    reader = _Reader(answer)
    reader.take(">i")  # correlation id
    reader.skip(1)  # tagged fields of the header
    reader.take(">i")  # throttle_time_ms
    of_all = reader.take(">h")
    reader.text()
    if of_all or reader.length() < 1:
        return of_all
    reader.text()  # the topic's name
    reader.length()
    reader.take(">i")  # the partition
    return reader.take(">h")


class _Reader:
    """Takes values off the front of an answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._at = 0

    def take(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._answer, self._at)
        self._at += struct.calcsize(layout)
        return int(value)

    def skip(self, count: int) -> None:
        self._at += count

    def length(self) -> int:
        """A compact length; -1 for null."""
        value = shift = 0
        while True:
            byte = self.take(">B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 1

    def text(self) -> None:
        self.skip(max(self.length(), 0))


def _length(count: int) -> bytes:
    """A compact length: an unsigned varint of one more."""
    value, encoded = count + 1, bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def _read(connection: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = connection.recv(count - len(chunks))
        if not chunk:
            raise ConnectionError("the broker closed the connection instead of answering")
        chunks += chunk
    return bytes(chunks)
