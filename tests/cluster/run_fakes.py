"""A site without brokers, for runs whose clients obey a test; as a program, `run_fakes.py producing`, it is such a client's process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from cluster.application_fakes import FakeProducer
from confluent_kafka import KafkaError

from kafkasim.cluster import producing
from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.site import Drivers
from kafkasim.cluster.specs import ProducerSpec
from kafkasim.cluster.telling import guarded, leave
from kafkasim.cluster.warden import Warden

SLOW_S = 0.4


class Led(NamedTuple):
    replicas: tuple[int, ...] = (1, 2, 3)
    isr: tuple[int, ...] = (1, 2, 3)
    leader: int = 1


class FakeAdmin:
    """Notes what it was asked; `refusal` is what creating a topic says."""

    def __init__(self) -> None:
        self.refusal: BaseException | None = None
        self.there: list[str] = []
        self.ends: list[int | None] = [0]
        self.asked: list[tuple[object, ...]] = []
        self.objection: KafkaError | ClusterError | None = None

    def describe(self, topic: str) -> list[Led]:
        return [Led()] if any(topic.endswith(name) for name in self.there) else []

    def create_topic(self, *_: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    def create_topic_anywhere(self, *_: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    def elect(self, election: str, partitions: Sequence[tuple[str, int]]) -> list[KafkaError]:
        objection = self._answer("elect", election, *partitions)
        return [] if objection is None else [objection]

    def reassign(self, topic: str, index: int, replicas: Sequence[int]) -> KafkaError | None:
        return self._answer("reassign", topic, index, *replicas)

    def alter_topic_config(self, topic: str, name: str, value: str) -> KafkaError | None:
        return self._answer("alter", topic, name, value)

    def _answer(self, *asked: object) -> KafkaError | None:
        self.asked.append(asked)
        if isinstance(self.objection, ClusterError):
            raise self.objection
        return self.objection

    def end_offsets(self, *_: object) -> list[int | None]:
        return self.ends

    def read_log(self, *_: object, **__: object) -> Iterator[list[tuple[int, bytes]]]:
        return iter(())


class FakeSite:
    """Everything is in sync, always, as far as the controller knows; nothing is forgotten without an error."""

    def __init__(self, folder: Path, processes: Mapping[str, Any] | None = None, placed: bool = True) -> None:
        self.admin: Any = FakeAdmin()
        self.warden = Warden()
        self.folder = folder
        self.placed = placed
        self.processes = dict(processes or {})
        self.versions: dict[str, str] = {}
        self.calls: list[str] = []
        self.refuses_to_forget = False

    def drivers(self) -> Drivers:
        return Drivers([], [])

    def bootstrap(self, slot: str) -> str:
        return slot

    def partition(self, *_: object) -> Led:
        return Led()

    def coordinator(self, *_: object) -> int:
        return 1

    def in_sync(self, *_: object) -> bool:
        return True

    def history(self) -> Sequence[Any]:
        return ()

    def cannot(self, *_: object) -> str:
        return ""

    def do(self, verb: object) -> None:
        self.calls.append(str(verb))

    def differences(self, *_: object) -> list[str]:
        return []

    def remember(self, *_: object) -> None:
        self.calls.append("remember")

    def forget(self, *_: object) -> None:
        self.calls.append("forget")
        if self.refuses_to_forget:
            raise ClusterError("nothing answers")

    def heal(self) -> None:
        self.calls.append("heal")

    def close(self) -> None:
        self.warden.close()


class SlowProducer(FakeProducer):
    """Takes its time to get warm, and to begin."""

    def __init__(self) -> None:
        time.sleep(SLOW_S)
        super().__init__()

    def begin(self) -> None:
        time.sleep(SLOW_S)


class DyingProducer(FakeProducer):
    def send(self, *_: object) -> None:
        raise ClusterError("The Java producer cannot go on: it has no heart")


def _client(spec: ProducerSpec) -> FakeProducer:
    return DyingProducer() if spec.name == "dying" else SlowProducer()


if __name__ == "__main__":
    guarded(lambda: leave(producing.main(_client)))
