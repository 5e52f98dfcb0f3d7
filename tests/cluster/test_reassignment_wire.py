"""The bytes of AlterPartitionReassignments, and a broker that answers them."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from kafkasim.cluster.reassignment_wire import alter_partition_reassignment, error_code, request_frame

# correlation id 1, no tags, throttle_time_ms 0; then error, message (null), and one topic with one partition
ACCEPTED = bytes.fromhex("00000001 00 00000000 0000 00 02 07") + b"orders" + bytes.fromhex("02 00000000 0000 00 00 00 00")
REFUSED = bytes.fromhex("00000001 00 00000000 0000 00 02 07") + b"orders" + bytes.fromhex("02 00000000 0027 04") + b"bad" + b"\0\0\0"
NO_CONTROLLER = bytes.fromhex("00000001 00 00000000 0029 00 01 00")


def test_a_reassignment_as_kafka_reads_it() -> None:
    assert request_frame("orders", 0, (4, 2), 3000) == (
        bytes.fromhex("002d 0000 00000001 ffff 00 00000bb8 02 07") + b"orders" + bytes.fromhex("02 00000000 03 00000004 00000002 00 00 00")
    )


def test_without_replicas_it_takes_back_what_is_under_way() -> None:
    assert request_frame("orders", 7, (), 3000).endswith(b"orders" + bytes.fromhex("02 00000007 00 00 00 00"))


def test_a_long_name_has_a_length_of_two_bytes() -> None:
    name = "x" * 200
    assert bytes.fromhex("c901") + name.encode() in request_frame(name, 0, (1,), 1)


@pytest.mark.parametrize(("answer", "code"), [(ACCEPTED, 0), (REFUSED, 39), (NO_CONTROLLER, 41)])
def test_the_error_is_that_of_the_request_or_of_its_partition(answer: bytes, code: int) -> None:
    assert error_code(answer) == code


def _serve(answer: bytes) -> tuple[tuple[str, int], list[bytes]]:
    """A broker for one request; it answers in two pieces, and closes instead where there is no answer."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, listening:
            (size,) = struct.unpack(">i", connection.recv(4))
            heard.append(connection.recv(size))
            if answer:
                framed = struct.pack(">i", len(answer)) + answer
                connection.sendall(framed[:5])
                connection.sendall(framed[5:])

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname(), heard


def test_a_broker_is_asked_and_its_answer_read() -> None:
    address, heard = _serve(REFUSED)
    assert alter_partition_reassignment(address, "orders", 0, (9,), 5.0) == 39
    assert heard == [request_frame("orders", 0, (9,), 5000)]


def test_a_broker_that_hangs_up_is_no_answer() -> None:
    address, _ = _serve(b"")
    with pytest.raises(OSError, match="closed the connection"):
        alter_partition_reassignment(address, "orders", 0, (9,), 5.0)
