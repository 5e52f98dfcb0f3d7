"""One controller of a quorum: org.apache.kafka.controller.QuorumController on its RaftClient (KIP-500, KIP-595, KIP-631).

All keep the metadata log (raft.py). The one that leads the quorum is the *active* controller: it decides (controller.py), writes, and
answers a broker only once what it wrote is committed. The others answer NOT_CONTROLLER.

* Active it is once its own epoch's first record is committed, and with it all that came before. It reads the log and begins: of the
  heartbeats that its predecessor got it knows nothing, so every broker that is not fenced counts as just heard.
* Deposed, it forgets what it decided and never got committed, and fails the answers that waited (`renounce`).

Simplified: a controller that has resigned renounces at once; Kafka's goes on until it hears of a higher epoch, or fails to write.
Simplified: topics' configurations are known from the start; Kafka writes them to the metadata log, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kafkasim.protocol.administration import ADMINISTRATORS_CALLS, AdministratorAnswered
from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import Controller, CreateTopic
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
    MetadataRecord,
)
from kafkasim.protocol.metadata_log import ControllerDisk
from kafkasim.protocol.node import Output, Random, Send, Trace
from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours
from kafkasim.protocol.raft import RaftNode
from kafkasim.protocol.raft_messages import NO_NODE
from kafkasim.protocol.replication_control import ControllerState

# Told of each committed record, in order: (offset, record).
CommitListener = Callable[[int, MetadataRecord], None]


class ControllerActive(NamedTuple):
    """The controller has read the log up to the first record of its epoch, and decides from now on."""

    controller_id: int
    epoch: int


class ControllerRenounced(NamedTuple):
    """The controller decides no more. `lost`: how many records it had written that were not committed; they may be gone."""

    controller_id: int
    epoch: int
    lost: int


class ResignLeadership(NamedTuple):
    """SIGTERM, from the driver: if you lead, let another be elected."""


class _Deferred(NamedTuple):
    """An answer to a broker, or what a trace is to be told: not before the log is committed up to `offset` (DeferredEventQueue)."""

    offset: int
    output: Output | None
    traced: object | None


class QuorumController:
    """One process of the controller `controller_id`, one of `voters`; `disk` is older than it."""

    def __init__(
        self,
        controller_id: int,
        voters: Sequence[int],
        config: BrokerConfig,
        topic_configs: Mapping[str, TopicConfig],
        disk: ControllerDisk,
        random: Random,
        now: float,
        trace: Trace | None = None,
        on_commit: CommitListener | None = None,
        behaviours: Behaviours = KAFKA_4_1.behaviours,
        eligible_leader_replicas: bool = True,
    ) -> None:
        self.controller_id = controller_id
        self._config = config
        self._topic_configs = topic_configs
        self._behaviours = behaviours
        self._eligible_leader_replicas = eligible_leader_replicas
        self._trace = trace
        self._on_commit = on_commit
        self._outbox: list[Output] = []
        self.raft = RaftNode(controller_id, voters, config, disk, self._outbox, random, now, trace)
        self._state = ControllerState()  # of the active controller: also what is not committed yet
        self._active: Controller | None = None
        self._active_epoch = 0
        self._deferred: deque[_Deferred] = deque()
        self._traced: list[object] = []  # by the controller, in the call that is under way
        self._committed = 0  # how far the listener has been told

    @property
    def is_active(self) -> bool:
        """Whether it decides, as far as it knows itself."""
        return self._active is not None

    @property
    def has_remote_leader(self) -> bool:
        """Whether another leads the quorum, as far as it knows."""
        return self.raft.quorum.leader_id not in {NO_NODE, self.controller_id}

    def start(self, now: float) -> list[Output]:
        """The process has started: it is a voter again, and as yet no active controller."""
        return self._settle(now)

    def receive(self, event: object, source: str, now: float) -> list[Output]:
        """A message of the quorum, a broker's fetch or request, a `CreateTopic` (source ""), or news of a connection."""
        if type(event) in self.raft.handlers:
            self.raft.receive(event, source, now)
        elif isinstance(event, ResignLeadership):
            if self.raft.quorum.is_leader:
                self.raft.resign(now)
        elif self._active is not None:
            self._decided(self._active.receive(event, source, now))
        elif isinstance(event, ADMINISTRATORS_CALLS):
            self._outbox.append(AdministratorAnswered(event, (("", Error.NOT_CONTROLLER),)))
        elif not isinstance(event, CreateTopic):
            self._outbox.append(Send(source, _not_controller(event)))
        return self._settle(now)

    def next_deadline(self) -> float | None:
        """The quorum's next, or the next of what the active controller does from time to time."""
        deadline = self.raft.next_deadline()
        active = None if self._active is None else self._active.next_deadline()
        return deadline if active is None else min(deadline, active)

    def wake(self, now: float) -> list[Output]:
        """Time has come for the quorum, the active controller, or both."""
        if self._active is not None:
            self._decided(self._active.wake(now))
        return self._settle(now)

    # ------------------------------------------------------------------------------------------------ the active controller

    def _settle(self, now: float) -> list[Output]:
        """After every input: what the quorum does, then what that means for this controller, until nothing more follows."""
        quorum = self.raft.quorum
        self.raft.poll(now)
        if self._active is not None and (not quorum.is_leader or quorum.epoch != self._active_epoch):
            self._renounce()
        self._commit()
        leader = quorum.leader
        if self._active is None and leader is not None and leader.high_watermark > leader.epoch_start_offset:
            self._claim(now)
        self._complete_deferred()
        outputs = self._outbox.copy()
        self._outbox.clear()
        return outputs

    def _claim(self, now: float) -> None:
        """WHO: the leader. WHEN its epoch's first record is committed. THEN it is the active controller (QuorumController.claim)."""
        self._state = ControllerState(self._eligible_leader_replicas)
        self._state.topic_configs.update(self._topic_configs)
        for _, record in self.raft.log.entries:
            self._state.append(record)
        self._active_epoch = self.raft.quorum.epoch
        self._active = Controller(self.controller_id, self._config, self._state, self._traced.append, self._behaviours)
        if self._trace is not None:
            self._trace(ControllerActive(self.controller_id, self._active_epoch))
        self._decided(self._active.start(now))

    def _renounce(self) -> None:
        """WHO: the active controller. WHEN it leads no more. THEN what it did not get committed is forgotten, and who waits is told."""
        lost = self._state.log_end_offset - self._committed
        if self._trace is not None:
            self._trace(ControllerRenounced(self.controller_id, self._active_epoch, lost))
        self._active = None
        self._state = ControllerState()
        for deferred in self._deferred:
            if isinstance(deferred.output, Send):
                message: Any = deferred.output.message
                self._outbox.append(Send(deferred.output.peer, message._replace(error=Error.NOT_CONTROLLER)))
            elif isinstance(deferred.output, AdministratorAnswered):
                self._outbox.append(AdministratorAnswered(deferred.output.call, (("", Error.NOT_CONTROLLER),)))
        self._deferred.clear()

    def _decided(self, outputs: Sequence[Output]) -> None:
        """What the controller wrote goes into the leader's log; what it says waits until all it knew of then is committed.

        Also an answer for which nothing was written: it may rest on what is not committed yet (ControllerWriteEvent.run).
        """
        records = self._state.records[self.raft.log.end_offset :]
        if records:
            self.raft.append(records)
        offset = self.raft.log.end_offset
        self._deferred.extend(_Deferred(offset, None, event) for event in self._traced)
        self._deferred.extend(_Deferred(offset, output, None) for output in outputs)
        self._traced.clear()

    def _complete_deferred(self) -> None:
        while self._deferred and self._deferred[0].offset <= self.raft.high_watermark:
            _, output, traced = self._deferred.popleft()
            if output is not None:
                self._outbox.append(output)
            elif self._trace is not None:
                self._trace(traced)

    def _commit(self) -> None:
        """The high watermark has moved: the records below it will never change."""
        end = self.raft.high_watermark
        for offset in range(self._committed, end):
            if self._on_commit is not None:
                self._on_commit(offset, self.raft.log.entries[offset][1])
        self._committed = max(self._committed, end)


def _not_controller(request: object) -> object:
    """What a controller answers that is not the active one."""
    match request:
        case BrokerRegistrationRequest():
            return BrokerRegistrationResponse(request.correlation_id, Error.NOT_CONTROLLER, -1)
        case BrokerHeartbeatRequest():
            return BrokerHeartbeatResponse(request.correlation_id, Error.NOT_CONTROLLER, is_fenced=True, should_shut_down=False)
        case AlterPartitionRequest():
            return AlterPartitionResponse(request.correlation_id, Error.NOT_CONTROLLER, ())
        case _:
            raise AssertionError(f"a controller is never sent a {type(request).__name__}")
