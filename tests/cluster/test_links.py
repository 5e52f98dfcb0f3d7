"""Links are tested with plain sockets: what a client and a server see of the network between them."""

import errno
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from cluster.patience import PATIENCE_S, eventually

from kafkasim.cluster.connection import Frames
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.links import Links

A_WHILE = 0.06  # longer than anything takes that is not held back

Pair = tuple[socket.socket, socket.socket]


class Server:
    """The server's process: a listening socket that can die and come back at its address, and all that was connected to it."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.address = ("127.0.0.1", 0)
        self.start()

    def start(self) -> None:
        self.listener = socket.create_server(self.address)
        self.listener.settimeout(PATIENCE_S)
        self.address = self.listener.getsockname()

    def die(self) -> None:
        self.listener.close()

    def accept(self) -> socket.socket:
        accepted = self.listener.accept()[0]
        accepted.settimeout(PATIENCE_S)
        self.ends.append(accepted)
        return accepted

    def forget(self) -> None:
        for end in (self.listener, *self.ends):
            end.close()


@pytest.fixture(autouse=True)
def no_error_in_the_loop(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio logs what a callback raises, and goes on."""
    yield
    logged = [record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when)]
    assert not logged


@pytest.fixture
def links() -> Iterator[Links]:
    made = Links()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.forget()


def connected(links: Links, server: Server) -> Pair:
    """(the end of "client-1", the end of "broker-1")"""
    return reached(links.add("client-1", "broker-1", server.address), server)


def reached(address: tuple[str, int], server: Server) -> Pair:
    client = socket.create_connection(address, PATIENCE_S)
    server.ends.append(client)
    return client, server.accept()


def received(end: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        chunk = end.recv(size - len(got))
        assert chunk, f"the connection ended after {len(got)} of {size} bytes"
        got += chunk
    return bytes(got)


def hears_nothing(end: socket.socket) -> bool:
    return not select.select([end], [], [], A_WHILE)[0]


def send_and_close(end: socket.socket, data: bytes) -> None:
    end.sendall(data)
    end.close()


def close_with_reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def met_reset(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b"never"
    except ConnectionResetError:
        return True


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def connects(address: tuple[str, int]) -> bool:
    with socket.socket() as end:
        return end.connect_ex(address) == 0


# ---------------------------------------------------------------------------------------------------- bytes


def test_bytes_pass_in_order_and_in_both_directions(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    for number in range(50):
        client.sendall(b"request %02d" % number)
        assert received(broker, 10) == b"request %02d" % number
        broker.sendall(b"answer %02d" % number)
        assert received(client, 9) == b"answer %02d" % number


def test_a_proxy_listens_where_it_is_told_and_says_so_where_it_cannot(links: Links, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        wanted = free.getsockname()
    assert links.add("client-1", "broker-1", server.address, wanted) == wanted
    client, broker = reached(wanted, server)
    client.sendall(b"x")
    assert received(broker, 1) == b"x"
    for taken in (server.address, wanted):
        with pytest.raises(ClusterError, match=rf"no proxy can listen on 127\.0\.0\.1:{taken[1]}"):
            links.add("client-2", "broker-1", server.address, taken)


def test_a_pair_is_known_whoever_of_the_two_connects(links: Links, server: Server) -> None:
    links.add("client-1", "broker-1", server.address)
    assert links.known("client-1", "broker-1")
    assert links.known("broker-1", "client-1")
    assert not links.known("client-1", "broker-2")


def test_a_server_that_does_not_read_stops_its_client_and_loses_nothing(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    client.setblocking(False)
    sent = 0
    while select.select([], [client], [], A_WHILE)[1]:
        sent += client.send(bytes(1 << 16))
        assert sent < 1 << 26, "the proxy swallows whatever it is given"
    assert len(received(broker, sent)) == sent
    assert hears_nothing(broker)


# ---------------------------------------------------------------------------------------------------- how connections end


def test_a_client_that_closes_is_heard_of_after_its_last_byte_and_reads_no_answer(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    data = bytes(range(256)) * 4096
    sender = threading.Thread(target=send_and_close, args=(client, data))
    sender.start()
    time.sleep(A_WHILE)
    assert received(broker, len(data)) == data
    sender.join()
    assert broker.recv(1) == b""
    broker.sendall(b"answer")
    assert eventually(lambda: broker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in {errno.EPIPE, errno.ECONNRESET})


def test_a_request_whose_client_closes_on_an_unread_answer_still_arrives(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.cut("broker-1", "client-1")
    broker.sendall(b"an answer under way")
    client.sendall(b"request")
    client.close()
    time.sleep(A_WHILE)
    assert received(broker, 7) == b"request"


def test_a_reset_client_resets_its_server_after_the_last_byte(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    client.sendall(b"request")
    assert received(broker, 1) == b"r"
    close_with_reset(client)
    time.sleep(A_WHILE)
    assert received(broker, 6) == b"equest"
    assert met_reset(broker)


def test_a_killed_server_is_heard_of_as_its_kernel_tells_it(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    broker.sendall(b"answer")
    broker.close()
    assert received(client, 6) == b"answer"
    assert client.recv(1) == b"", "with nothing unread the kernel sends FIN"
    client, broker = reached(links.add("client-2", "broker-1", server.address), server)
    client.sendall(b"unread request")
    assert select.select([broker], [], [], PATIENCE_S)[0]
    broker.close()
    assert met_reset(client), "with something unread it sends RST"


def test_while_a_server_is_down_connects_are_refused_and_then_accepted_when_it_is_there_again(links: Links, server: Server) -> None:
    address = links.add("client-1", "broker-1", server.address)
    server.die()
    links.down("broker-1")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)
    links.up("broker-1")
    time.sleep(A_WHILE)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)
    server.start()
    assert eventually(lambda: connects(address))


def test_a_server_that_dies_again_while_it_is_waited_for_stays_down(links: Links, server: Server) -> None:
    address = links.add("client-1", "broker-1", server.address)
    links.add("client-1", "broker-2", server.address)
    server.die()
    links.down("broker-1")
    links.up("broker-1")
    links.down("broker-1")
    server.start()
    time.sleep(A_WHILE)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)


def test_a_server_that_refuses_resets_the_client(links: Links, server: Server) -> None:
    address = links.add("client-1", "broker-1", server.address)
    server.die()
    with pytest.raises(ConnectionResetError), socket.create_connection(address, PATIENCE_S) as client:
        client.recv(1)


def test_a_reset_breaks_every_connection_between_the_two_on_both_sides_even_while_cut(links: Links, server: Server) -> None:
    pairs = [connected(links, server), reached(links.add("broker-1", "client-1", server.address), server)]
    bystanders = reached(links.add("client-2", "broker-1", server.address), server)
    links.cut("client-1", "broker-1")
    links.reset("client-1", "broker-1")
    assert all(met_reset(end) for pair in pairs for end in pair)
    bystanders[0].sendall(b"x")
    assert received(bystanders[1], 1) == b"x"


def test_close_ends_everything(server: Server) -> None:
    links = Links()
    client, broker = connected(links, server)
    address = links.add("client-1", "broker-2", server.address)
    threads = threading.active_count()
    links.close()
    links.close()
    assert met_reset(client)
    assert met_reset(broker)
    assert threading.active_count() == threads - 1
    with socket.socket() as again:
        again.bind(address)


# ---------------------------------------------------------------------------------------------------- cuts


def test_a_cut_holds_back_one_direction_and_a_join_lets_everything_through_in_order(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.cut("client-1", "broker-1")
    for number in range(10):
        client.sendall(b"%d" % number)
    broker.sendall(b"answer")
    assert received(client, 6) == b"answer"
    assert hears_nothing(broker)
    links.join("client-1", "broker-1")
    assert received(broker, 10) == b"0123456789"


def test_a_cut_holds_back_answers_on_connections_that_the_other_side_opened(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.cut("broker-1", "client-1")
    client.sendall(b"request")
    assert received(broker, 7) == b"request"
    broker.sendall(b"answer")
    assert hears_nothing(client)
    links.join("broker-1", "client-1")
    assert received(client, 6) == b"answer"


def test_a_link_cut_twice_is_whole_when_it_has_been_joined_twice(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.cut("client-1", "broker-1")
    links.cut("client-1", "broker-1")
    client.sendall(b"x")
    links.join("client-1", "broker-1")
    assert hears_nothing(broker)
    links.join("client-1", "broker-1")
    assert received(broker, 1) == b"x"
    with pytest.raises(AssertionError, match="client-1>broker-1 is joined without having been cut"):
        links.join("client-1", "broker-1")


@pytest.mark.parametrize("die", [socket.socket.close, close_with_reset])
def test_across_a_cut_the_death_of_a_client_is_not_heard_of_until_the_join(
    links: Links, server: Server, die: Callable[[socket.socket], None]
) -> None:
    client, broker = connected(links, server)
    links.cut("client-1", "broker-1")
    client.sendall(b"request")
    die(client)
    broker.sendall(b"answers to somebody who is gone")
    time.sleep(0.01)
    broker.sendall(b"answers to somebody who is gone")
    assert hears_nothing(broker)
    links.join("client-1", "broker-1")
    assert received(broker, 7) == b"request"
    assert met_reset(broker), "the client's kernel answered with RST"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops a SYN that finds the accept queue full")
def test_across_a_cut_nobody_gets_connected_and_after_the_join_everybody_does(links: Links, server: Server) -> None:
    address = links.add("client-1", "broker-1", server.address)
    other = Server()
    down = links.add("client-1", "broker-2", other.address)
    for a, b in (("client-1", "broker-1"), ("broker-1", "client-1"), ("client-1", "broker-2"), ("client-1", "broker-3")):
        links.cut(a, b)
    third = Server()
    later = links.add("client-1", "broker-3", third.address)
    clients = {place: socket.socket() for place in (address, down, later)}
    server.ends += clients.values()
    for place, client in clients.items():
        client.setblocking(False)
        assert client.connect_ex(place) == errno.EINPROGRESS
    other.die()
    links.down("broker-2")
    assert select.select([], list(clients.values()), [], 4 * A_WHILE)[1] == [], "a SYN was answered"
    links.join("broker-1", "client-1")
    assert select.select([], list(clients.values()), [], A_WHILE)[1] == [], "the other direction is still cut"
    for broker in ("broker-1", "broker-2", "broker-3"):
        links.join("client-1", broker)
    errors = {}
    for place, client in clients.items():
        client.setblocking(True)
        assert select.select([], [client], [], PATIENCE_S)[1]
        errors[place] = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert errors == {address: 0, down: errno.ECONNREFUSED, later: 0}
    for place, reached_server in ((address, server), (later, third)):
        clients[place].sendall(b"x")
        assert received(reached_server.accept(), 1) == b"x"
    third.forget()


# ---------------------------------------------------------------------------------------------------- delays


def test_delays_add_up_each_way_for_itself_and_the_oldest_ends_first(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.delay("client-1", "broker-1", 100.0, 0.0)
    links.delay("client-1", "broker-1", 40.0, 0.0)
    assert quickest_trip(client, broker) >= 0.14
    assert quickest_trip(broker, client) < 0.1
    links.undelay("client-1", "broker-1")
    assert 0.04 <= quickest_trip(client, broker) < 0.1
    links.undelay("client-1", "broker-1")
    assert quickest_trip(client, broker) < 0.04
    with pytest.raises(AssertionError, match="client-1>broker-1 is sped up without having been slowed down"):
        links.undelay("client-1", "broker-1")


def quickest_trip(sender: socket.socket, receiver: socket.socket) -> float:
    """Of several, because the machine is not ours alone."""
    took = []
    for _ in range(10):
        since = time.monotonic()
        sender.sendall(b"x")
        assert received(receiver, 1) == b"x"
        took.append(time.monotonic() - since)
    return min(took)


def test_jitter_varies_a_delay_never_below_zero_and_never_the_order(server: Server) -> None:
    drawn = iter([1.0])
    links = Links(random=lambda: next(drawn, 0.0))
    client, broker = connected(links, server)
    links.delay("client-1", "broker-1", 20.0, 80.0)
    since = time.monotonic()
    client.sendall(b"slow")
    time.sleep(0.01)
    client.sendall(b"fast")
    assert received(broker, 8) == b"slowfast"
    assert time.monotonic() - since >= 0.1
    assert quickest_trip(client, broker) < 0.1, "20 ms less 80 ms is no wait"
    links.close()


def test_a_delay_does_not_limit_throughput(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.delay("client-1", "broker-1", 100.0, 0.0)
    data = bytes(8_000_000)
    since = time.monotonic()
    sender = threading.Thread(target=send_and_close, args=(client, data))
    sender.start()
    assert len(received(broker, len(data))) == len(data)
    assert broker.recv(1) == b""
    assert 0.1 <= time.monotonic() - since < 6.0, "122 chunks, one after another, would take 12 s"
    sender.join()


def test_the_end_of_an_idle_connection_is_delayed_as_bytes_are(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.delay("client-1", "broker-1", 200.0, 0.0)
    since = time.monotonic()
    client.close()
    assert broker.recv(1) == b""
    assert time.monotonic() - since >= 0.2


def test_what_is_under_way_when_a_link_is_cut_arrives_as_in_the_simulator(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.delay("client-1", "broker-1", 400.0, 0.0)
    client.sendall(b"before")
    time.sleep(0.2)
    links.cut("client-1", "broker-1")
    client.sendall(b"after")
    assert received(broker, 6) == b"before"
    assert hears_nothing(broker)


# ---------------------------------------------------------------------------------------------------- lost answers


def test_a_lost_answer_resets_both_sides_after_the_request_arrived_and_earlier_answers_passed(server: Server) -> None:
    drawn = iter([0.5, 0.5, 0.49])
    links = Links(random=lambda: next(drawn))
    client, broker = connected(links, server)
    links.drop_responses("broker-1", "client-1", 0.5)
    client.sendall(b"request")
    assert received(broker, 7) == b"request"
    broker.sendall(frame(b"one") + frame(b"two") + frame(b"three"))
    assert received(client, 14) == frame(b"one") + frame(b"two")
    assert met_reset(client)
    assert met_reset(broker)
    links.close()


def test_an_answer_is_lost_though_its_request_is_still_under_way_with_others(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.drop_responses("broker-1", "client-1", 1.0)
    links.delay("client-1", "broker-1", 400.0, 0.0)
    client.sendall(b"the next request")
    time.sleep(0.2)
    broker.sendall(frame(b"answer"))
    assert met_reset(client)
    assert received(broker, 16) == b"the next request"
    assert met_reset(broker)


def test_losing_can_begin_in_the_middle_of_an_answer_which_then_passes(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    answer = frame(bytes(1000))
    broker.sendall(answer[:2])
    assert received(client, 2) == answer[:2]
    links.drop_responses("broker-1", "client-1", 1.0)
    broker.sendall(answer[2:500])
    assert received(client, 498) == answer[2:500]
    broker.sendall(answer[500:] + frame(b"lost"))
    assert received(client, 504) == answer[500:]
    assert met_reset(client)


def test_requests_are_never_lost_and_nor_are_answers_to_others(links: Links, server: Server) -> None:
    client, broker = connected(links, server)
    links.drop_responses("client-1", "broker-1", 1.0)
    links.drop_responses("broker-1", "client-2", 1.0)
    client.sendall(frame(b"request"))
    assert received(broker, 11) == frame(b"request")
    broker.sendall(frame(b"answer"))
    assert received(client, 10) == frame(b"answer")


def test_of_several_chances_the_greatest_counts_and_the_oldest_ends_first(server: Server) -> None:
    links = Links(random=lambda: 0.5)
    client, broker = connected(links, server)
    for probability in (0.9, 0.3, 0.4):
        links.drop_responses("broker-1", "client-1", probability)
    links.stop_dropping("broker-1", "client-1")
    broker.sendall(frame(b"passes"))
    assert received(client, 10) == frame(b"passes")
    links.drop_responses("broker-1", "client-1", 0.9)
    broker.sendall(frame(b"lost"))
    assert met_reset(client)
    for _ in range(3):
        links.stop_dropping("broker-1", "client-1")
    with pytest.raises(AssertionError, match="broker-1 does not drop its answers to client-1"):
        links.stop_dropping("broker-1", "client-1")
    links.close()


@pytest.mark.parametrize("step", [1, 3, 5, 7, 1000])
def test_frames_are_counted_however_the_stream_is_split(step: int) -> None:
    bodies = [b"", b"a", b"bc" * 30, b"", b"the fifth is asked for and lost"]
    stream = b"".join(map(frame, bodies))
    frames, asked, passed = Frames(), 0, 0

    def swallow() -> bool:
        nonlocal asked
        asked += 1
        return asked == 5

    for at in range(0, len(stream), step):
        chunk = stream[at : at + step]
        passing = frames.passing(chunk, swallow)
        passed += passing
        if passing < len(chunk):
            break
    assert passed == len(stream) - len(frame(bodies[-1]))
