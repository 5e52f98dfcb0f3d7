"""The Java client as an application's client: KafkaProducer and KafkaConsumer, in a JVM beside this process, led by lines of text.

The drivers are `drivers/ProducerDriver.java` and `drivers/ConsumerDriver.java`; their lines are described there. A driver is in our process
group, so that a crash or a pause hits both, and it exits at once when we are gone: its standard input ends then.

Made, a client is a JVM that has loaded its classes and connects to nobody; `begin()` makes the real one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence

from kafkasim.cluster.client_api import CommitSeen, ConsumerEvent, ConsumerStopped, Delivery, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.outcomes import java_outcome
from kafkasim.cluster.specs import ConsumerSpec, ProducerSpec, runs

_CHUNK = 65536
_GRACE_S = 5.0  # for the JVM to exit after close() has returned


class JavaProducer:
    """A ProducerClient. The driver has the sending thread; a thread of ours reads what it tells.

    send() and deliveries() raise ClusterError if the driver has died.
    """

    def __init__(self, command: Sequence[str], spec: ProducerSpec) -> None:
        """Starts the JVM and returns when it is warm. Raises ClusterError, also where Kafka refuses the configuration."""
        self._spec = spec
        self._partitions: dict[bytes, str] = {}
        self._handed = 0
        self._arrived: list[Delivery] = []
        self._news = threading.Condition()
        self._reader: threading.Thread | None = None
        self._failure: ClusterError | None = None
        self._closing = False
        facts = {"driver.topic": spec.real_topic, "driver.producer": str(spec.index), "driver.size": str(spec.record_size)}
        self._driver = _Driver(command, f"The Java producer {spec.name}", facts | spec.config | {"bootstrap.servers": spec.bootstrap})

    def begin(self) -> None:
        """Make the KafkaProducer."""
        self._driver.begin()
        self._reader = threading.Thread(target=self._read, daemon=True, name="callbacks")
        self._reader.start()

    def send(self, numbers: Sequence[int], keys: Sequence[int] | None) -> None:
        """Queue them for the driver's sending thread."""
        if keys is not None:
            lines = [f"k {number} {key}\n" for number, key in zip(numbers, keys, strict=True)]
        elif isinstance(numbers, range) and numbers.step == 1:
            lines = [f"s {numbers[0]} {numbers[-1]}\n"] if numbers else []
        else:
            lines = [f"s {first} {last}\n" for first, last in runs(list(numbers))]
        self._driver.tell("".join(lines))

    def handed(self) -> int:
        """How often send() has been called."""
        return self._handed

    def deliveries(self, timeout_s: float) -> list[Delivery]:
        """The callbacks that came, and what send() threw."""
        with self._news:
            if not self._arrived and self._failure is None:
                self._news.wait(timeout_s)
            arrived, self._arrived = self._arrived, []
        if not arrived and self._failure is not None:
            raise self._failure
        return arrived

    def close(self, timeout_s: float) -> None:
        """What was asked to be sent is handed over, then close(), all within `timeout_s`; the last callbacks are among `deliveries` yet."""
        self._closing = True
        if self._reader is not None:
            with contextlib.suppress(ClusterError):  # it is dead: it is as closed as it can be
                self._driver.tell(f"q {round(timeout_s * 1000)}\n")
            self._reader.join(timeout_s + _GRACE_S)
        self._driver.end()

    def _read(self) -> None:
        """The reading thread: all lines that came together are taken together."""
        while lines := self._driver.lines():
            arrived = []
            for line in lines:
                words = line.split()
                match words[0]:
                    case b"h":
                        self._handed = int(words[1])
                    case b"a":
                        arrived.append(Delivery(int(words[1]), "", False, self._partition(words[2]), int(words[3])))
                    case b"f":
                        arrived.append(self._failed(int(words[1]), words[2], words[3].decode(), words[4].decode()))
                    case _:
                        self._failure = self._driver.failure(line)
            if arrived:
                with self._news:
                    self._arrived += arrived
                    self._news.notify()
        with self._news:
            if not self._closing and self._failure is None:
                self._failure = self._driver.failure(b"")
            self._news.notify()

    def _failed(self, number: int, partition: bytes, exception: str, when: str) -> Delivery:
        """What send() itself threw was not queued, whatever it is."""
        outcome = java_outcome(exception, when, self._spec.retries, left_client=partition != b"-1")
        return Delivery(number, outcome.name, outcome.definite or when == "thrown", self._partition(partition), -1)

    def _partition(self, partition: bytes) -> str:
        name = self._partitions.get(partition)
        if name is None:
            name = self._partitions[partition] = "" if partition == b"-1" else f"{self._spec.topic}-{int(partition)}"
        return name


class JavaConsumer:
    """A ConsumerClient. What the driver tells is read inside poll(), commit() and close(). The first two raise ClusterError if it has died.

    Of the group's changes it tells, as `assigned`, all that the member has then. An automatic commit that failed is not told, for the Java
    client tells nobody but its log.
    """

    def __init__(self, command: Sequence[str], spec: ConsumerSpec) -> None:
        """Starts the JVM and returns when it is warm. Raises ClusterError, also where Kafka refuses the configuration."""
        self._spec = spec
        self._scenario_names = {real: name for name, real in spec.topics.items()}
        self._names: dict[str, str] = {}
        self._positions: dict[str, int] = {}
        self._events: list[ConsumerEvent] = []
        self._polled: list[PolledRun] = []
        self._begun = False
        facts = {"driver.topics": ",".join(spec.topics.values())}
        own = {"bootstrap.servers": spec.bootstrap, "group.id": spec.real_group}
        self._driver = _Driver(command, f"The Java consumer {spec.member}", facts | spec.config | own)
        self._unread: Iterator[bytes] = iter(())

    def begin(self) -> None:
        """Make the KafkaConsumer, and subscribe."""
        self._driver.begin()
        self._begun = True

    def poll(self, timeout_ms: float, max_records: int) -> list[PolledRun]:  # noqa: ARG002  (Java takes max.poll.records)
        """poll(): waits for the first record, or for `timeout_ms`; as many records as `max.poll.records` of the configuration allows."""
        self._driver.tell(f"p {round(timeout_ms)}\n")
        answer = self._answer(b".", b"stop")
        polled, self._polled = self._polled, []
        kind, _, rest = answer.partition(" ")
        if kind == "stop":
            exception, _, message = rest.partition(" ")
            raise ConsumerStopped(f"{exception}: {message}")
        self._positions = dict(self._offsets(rest))
        return polled

    def commit(self, offsets: Sequence[tuple[str, int]] | None) -> CommitSeen:
        """commitSync(): waits for up to default.api.timeout.ms."""
        if offsets is not None and not offsets:
            return CommitSeen((), "")
        wanted = "" if offsets is None else " " + ",".join(f"{self._real(name)}={offset}" for name, offset in offsets)
        self._driver.tell(f"c{wanted}\n")
        _, error, *rest = self._answer(b"c").split(" ")
        return CommitSeen(self._offsets(rest[0]), "" if error == "ok" else java_outcome(error, "other", 0).name)

    def positions(self) -> dict[str, int]:
        """As of the last poll; none for a partition whose position is not known yet."""
        return dict(self._positions)

    def events(self) -> list[ConsumerEvent]:
        """What came between the answers so far."""
        events, self._events = self._events, []
        return events

    def wakeup(self) -> None:
        """A poll or commit under way returns; if there is none, the next one does."""
        self._driver.tell("w\n")

    def close(self) -> None:
        """close(): the automatic commit, if there is one, and LeaveGroup. What its callbacks tell is among `events`."""
        if self._begun:
            with contextlib.suppress(ClusterError):  # it is dead: it is as closed as it can be
                self._driver.tell("q\n")
                self._answer()
        self._driver.end()

    def _answer(self, *awaited: bytes) -> str:
        """The first line of an awaited kind; what comes before it is kept. Raises ClusterError where the driver ends instead."""
        while True:
            for line in self._unread:
                if line.split(b" ", 1)[0] in awaited:
                    return line.decode()
                self._heard(line.decode())
            lines = self._driver.lines()
            if not lines:
                raise self._driver.failure(b"")
            self._unread = iter(lines)

    def _heard(self, line: str) -> None:
        words = line.split(" ")
        match words[0]:
            case "r":
                base_offset, place, first, records = map(int, words[2:])
                self._polled.append(PolledRun(self._name(words[1]), base_offset, place, first, records))
            case "assigned" | "revoked" | "lost":
                names = tuple(self._name(real) for real in words[1].split(",") if real)
                self._events.append(PartitionsChanged(words[0], names))
            case "auto":
                self._events.append(CommitSeen(self._offsets(words[1]), ""))
            case "moved":
                self._events.append(PositionMoved(self._name(words[1]), int(words[2]), int(words[3])))
            case _:
                raise self._driver.failure(line.encode())

    def _offsets(self, pairs: str) -> tuple[tuple[str, int], ...]:
        found = [pair.rpartition("=") for pair in pairs.split(",") if pair]
        return tuple((self._name(real), int(offset)) for real, _, offset in found)

    def _name(self, real: str) -> str:
        """The scenario's name of a real partition."""
        name = self._names.get(real)
        if name is None:
            topic, _, partition = real.rpartition("-")
            name = self._names[real] = f"{self._scenario_names[topic]}-{partition}"
        return name

    def _real(self, name: str) -> str:
        topic, _, partition = name.rpartition("-")
        return f"{self._spec.topics[topic]}-{partition}"


class _Driver:
    """The JVM: lines to it, lines from it. `what` begins the sentences about it."""

    def __init__(self, command: Sequence[str], what: str, settings: Mapping[str, str]) -> None:
        self._what = what
        self._rest = b""
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        for key, value in settings.items():
            if "\n" in value:
                raise ClusterError(f"{what}: the value of {key} has more than one line")
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise ClusterError(f"{what} cannot be started: {command[0]}: {error.strerror}") from error
        assert self._process.stdin is not None, "it was started with pipes"
        assert self._process.stdout is not None, "it was started with pipes"
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._expect(b"ready", "".join(f"{key}={value}\n" for key, value in settings.items()) + "\n")

    def begin(self) -> None:
        """Let it make its client."""
        self._expect(b"started", "go\n")

    def tell(self, lines: str) -> None:
        """Orders. From any thread."""
        data = lines.encode()
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._stdin, data) :]
        except OSError as error:
            raise self.failure(b"") from error

    def lines(self) -> list[bytes]:
        """All complete lines that came since, at least one, without their ends; none: it has ended."""
        while True:
            if self._lines:
                lines, self._lines = self._lines, []
                return lines
            more = os.read(self._stdout, _CHUNK)
            if not more:
                return []
            *self._lines, self._rest = (self._rest + more).split(b"\n")

    def failure(self, line: bytes) -> ClusterError:
        """Why it is of no use any more. `line`: what it said last, or nothing."""
        if line:
            return ClusterError(f"{self._what} cannot go on: {line.decode(errors='replace').removeprefix('stop ')}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        return ClusterError(f"{self._what} has ended unexpectedly (its JVM's exit status is {self._process.returncode})")

    def end(self) -> None:
        """It has closed, or never began: nothing more is to come. Whatever it still does, it is ended."""
        with contextlib.suppress(OSError), self._lock:
            assert self._process.stdin is not None, "it was started with pipes"
            self._stdin = -1  # the number may soon be another file's
            self._process.stdin.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _expect(self, word: bytes, order: str) -> None:
        with contextlib.suppress(ClusterError):  # a driver that refuses its configuration says why, and may be gone before it is asked
            self.tell(order)
        lines = self.lines()
        if not lines or lines[0] != word:
            failure = self.failure(lines[0] if lines else b"")
            self.end()
            raise failure
        self._lines = lines[1:]
