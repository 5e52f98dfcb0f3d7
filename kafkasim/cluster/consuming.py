"""A consuming application on a real cluster: the interpreter of workload.py's consumer loops around one Kafka client.

    python -m kafkasim.cluster.consuming

One thread polls and commits. It handles records itself (`Process`), and polls no sooner than that is done, or gives them to a pool of
threads (`HandOver`). What a step means is what it means in the simulator's consuming.py. specs.py has what this process is told and tells.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from kafkasim.cluster.client_api import CommitSeen, ConsumerClient, ConsumerStopped, PartitionsChanged, PolledRun, PositionMoved
from kafkasim.cluster.specs import ConsumerSpec, read_consumer
from kafkasim.cluster.telling import Leave, Parent, guarded, leave
from kafkasim.cluster.work_pool import Gate, Handling, Record, WorkPool
from kafkasim.stores import FlagStore, RedisFlags, SqliteFlags
from kafkasim.workload import Commit, Finished, HandOver, PassOver, Poll, Process, consume

_LOOK_S = 0.05  # how soon a stopped loop notices that it may leave


class StandbyConsumer(ConsumerClient, Protocol):
    """A client that is warm, and makes its KafkaConsumer when told to begin."""

    def begin(self) -> None:
        """Create the KafkaConsumer, and subscribe."""


def main(make: Callable[[ConsumerSpec], StandbyConsumer] | None = None) -> int:
    """The whole life of the process; `make` makes the client (by default the one that the spec names). Returns the exit status."""
    parent = Parent()
    spec = read_consumer(parent.first_line())
    parent.catch_sigterm()
    parent.listen()
    client = (make or _client)(spec)
    flags = _flags(spec)
    parent.tell("ready")
    went = parent.wait_for_go()
    if went is None:
        client.close()
        return 0
    application = ConsumingApplication(replace(spec, **went), client, flags, parent)
    client.begin()
    parent.tell("started")
    application.run()
    return 0


def _client(spec: ConsumerSpec) -> StandbyConsumer:
    if spec.client == "java":
        from kafkasim.cluster.java_client import JavaConsumer

        return JavaConsumer(spec.java, spec)
    from kafkasim.cluster.librdkafka_client import LibrdkafkaConsumer

    return LibrdkafkaConsumer(spec)


def _flags(spec: ConsumerSpec) -> FlagStore | None:
    match spec.dedup:
        case "sqlite":
            return SqliteFlags(spec.dedup_where, fsync=True)
        case "redis":
            return RedisFlags(spec.dedup_where, namespace=spec.dedup_namespace)
        case _:
            return None


class ConsumingApplication:
    """One member's process from its start to its end."""

    def __init__(self, spec: ConsumerSpec, client: ConsumerClient, flags: FlagStore | None, parent: Parent) -> None:
        self._spec = spec
        self._client = client
        self._parent = parent
        self._assigned: tuple[str, ...] | None = None
        self._positions: dict[str, int] = {}
        self._committed: dict[str, int] = {}
        self._uncommitted = False  # records were polled since the last commit
        self._polling = False
        self._in_hand = 0  # polled and not handled
        self._in_hand_lock = threading.Lock()
        gate = self._gate = Gate(spec, parent)
        self._handling = Handling(spec, flags, gate, parent)
        pooled = spec.commit == "worker-threads"
        self._workers = WorkPool(spec, lambda: Handling(spec, flags, gate, parent), self._finished_one) if pooled else None

    def run(self) -> None:
        """Until "end" or SIGTERM, also where poll() threw; then close() the client.

        SIGTERM wakes the thread up from poll(), and it calls close(). What it has in hand it handles, and commits, first: close() in
        the middle of that would commit automatically what is not handled.
        """
        self._parent.interrupt = self._wake_up
        try:
            self._run_loop()
        except ConsumerStopped as stopped:
            self._polling = False
            self._tell_events()
            self._parent.tell("stopped", reason=str(stopped))
            while not (self._parent.terminated.is_set() or self._parent.ended.wait(_LOOK_S)):
                pass
        except Leave:
            self._polling = False
        self._client.close()
        self._tell_events()

    def _run_loop(self) -> None:
        loop = consume(self._spec.commit, cast(Finished, self._spec.worker_commit))
        answer: object = None
        while True:
            step = loop.send(answer)
            with self._gate.lock:  # where a worker stands at the gate, nothing is polled or committed either
                self._parent.sleep(0.0)  # Leave, where the run has ended
            answer = self._do(step)

    def _do(self, step: Any) -> object:
        match step:
            case Poll():
                return self._poll()
            case Process(records):
                self._handling.pace.begin()
                for record in records:
                    self._handling.handle(record, self._spec.processing_ms)
                    self._finished_one()
            case HandOver(records):
                assert self._workers is not None, "worker-threads has workers"
                self._workers.give(records)
            case Commit(upto):
                return self._commit(upto)
            case PassOver(records):
                for _ in records:
                    self._finished_one()
            case _:
                raise AssertionError(f"no consumer loop takes the step {step}")
        return None

    # ------------------------------------------------------------------------------------------------ poll

    def _poll(self) -> list[Record]:
        self._polling = True  # before the look: who is told to leave after it will wake us up
        if self._parent.terminated.is_set() or self._parent.ended.is_set():
            raise Leave
        polled = self._client.poll(self._spec.poll_timeout_ms, self._spec.max_poll_records)
        self._polling = False
        records = _one_by_one(polled)
        if records:
            self._uncommitted = True
            self._take_in_hand(len(records))
        self._tell_events()
        self._tell_positions()
        if not records and self._parent.terminated.is_set():
            raise Leave
        return records

    def _wake_up(self) -> None:
        if self._polling:
            self._client.wakeup()

    def _tell_events(self) -> None:
        for event in self._client.events():
            match event:
                case PartitionsChanged():
                    self._reassign(event)
                case CommitSeen():
                    self._commit_answered(event)
                case PositionMoved(partition, position, offset):
                    self._parent.tell("skipped", partition=partition, position=position, offset=offset, at=self._at())

    def _reassign(self, change: PartitionsChanged) -> None:
        had = self._assigned or ()
        if change.what == "assigned":
            self._assigned = (*had, *(partition for partition in change.partitions if partition not in had))
        else:
            self._assigned = tuple(partition for partition in had if partition not in change.partitions) or None
            if self._workers is not None:
                self._workers.forget(change.partitions)
        kept = self._assigned or ()  # a position in what comes back is news
        self._positions = {partition: offset for partition, offset in self._positions.items() if partition in kept}
        self._parent.tell("assigned", partitions=self._assigned)

    def _tell_positions(self) -> None:
        positions = dict(self._client.positions())
        moved = {partition: offset for partition, offset in positions.items() if self._positions.get(partition) != offset}
        self._positions = positions
        if moved:
            self._parent.tell("positions", positions=moved)

    # ------------------------------------------------------------------------------------------------ commit

    def _commit(self, upto: Finished) -> bool:
        """Whether it succeeded. Nothing new: nothing is sent."""
        if upto == "polled":
            if not self._uncommitted:
                return True
            self._uncommitted = False
            return self._commit_answered(self._client.commit(None))
        assert self._workers is not None, "only workers finish out of order"
        offsets = [(partition, offset) for partition, offset in self._workers.offsets(upto) if self._committed.get(partition, -1) != offset]
        return not offsets or self._commit_answered(self._client.commit(offsets))

    def _commit_answered(self, seen: CommitSeen) -> bool:
        self._parent.tell("commit", offsets=seen.offsets, error=seen.error, at=self._at())
        if not seen.error:
            self._committed.update(seen.offsets)
        return not seen.error

    # ------------------------------------------------------------------------------------------------ in hand

    def _take_in_hand(self, count: int) -> None:
        with self._in_hand_lock:
            if not self._in_hand:
                self._parent.tell("busy", busy=True)
            self._in_hand += count

    def _finished_one(self) -> None:
        with self._in_hand_lock:
            self._in_hand -= 1
            if not self._in_hand:
                self._parent.tell("busy", busy=False)

    def _at(self) -> float:
        return round(self._parent.now(), 3)


def _one_by_one(polled: Sequence[PolledRun]) -> list[Record]:
    return [
        Record(run.partition, run.base_offset + index, run.producer_index, run.first + index)
        for run in polled
        for index in range(run.records)
    ]


if __name__ == "__main__":
    guarded(lambda: leave(main()))
