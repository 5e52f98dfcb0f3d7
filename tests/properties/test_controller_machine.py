"""The controller against the text of KIP-631, KIP-841 and KIP-966: who is registered, who is fenced, who leads, who may.

`PlainController` says what should stand in the metadata log; every record is compared with it. Beside it runs the promise that all this
is for: `complete` are the replicas that certainly have every committed record of a partition, and with eligible leader replicas whoever is
elected cleanly is one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from machine_budget import budget

from kafkasim.protocol.config import BrokerConfig, TopicConfig
from kafkasim.protocol.controller import Controller, CreateTopic
from kafkasim.protocol.errors import Error
from kafkasim.protocol.messages import (
    AlterPartitionRequest,
    BrokerHeartbeatRequest,
    BrokerRegistration,
    BrokerRegistrationRequest,
    PartitionRegistration,
)
from kafkasim.protocol.metadata import MetadataImage
from kafkasim.protocol.records import TopicPartition
from kafkasim.protocol.replication_control import ControllerState

BUDGET = (500, 40)  # examples, and rules in each

IDS = (1, 2, 3, 4)
BROKERS = st.sampled_from(IDS)
SESSION_MS = 9_000.0
CHECK_MS = SESSION_MS / 8
REBALANCE_MS = 30_000.0
BEAT_MS = 2_000.0
WISHES = st.sampled_from(["live", "live", "live", "fence", "shut down", "shut down", "both"])


# ---------------------------------------------------------------------------------------------------- the model


@dataclass
class Part:
    """One partition. `last_known`: its last leader, while it has none. `complete`: who has every committed record (see above)."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    min_isr: int
    allows_unclean: bool
    elr: set[int] = field(default_factory=set)
    last_known: int = -1
    leader_epoch: int = 0
    partition_epoch: int = 0
    recovering: bool = False
    complete: set[int] = field(default_factory=set)
    imbalanced_since: float = inf

    def registration(self, name: TopicPartition) -> PartitionRegistration:
        last_known = () if self.last_known == -1 else (self.last_known,)
        elr, epochs = tuple(sorted(self.elr)), (self.leader_epoch, self.partition_epoch)
        return PartitionRegistration(name, self.replicas, self.isr, self.leader, *epochs, elr, last_known, self.min_isr, self.recovering)

    def settled(self, isr: tuple[int, ...], alive: Callable[[int], bool], with_elr: bool, lost: int = -1, preferred: bool = False) -> Part:
        """This partition once its ISR is to be `isr`, and the broker `lost` may lack what it had."""
        elr = (self.elr | set(self.isr)) - {*isr, lost} if with_elr and len(isr) < min(self.min_isr, len(self.replicas)) else set()
        entitled = [replica for replica in self.replicas if replica in (isr or elr) and alive(replica)]
        unclean = False
        if preferred and self.replicas[0] in entitled:
            leader = self.replicas[0]
        elif self.leader in entitled:
            leader = self.leader
        elif entitled:
            leader = entitled[0]
        else:
            anybody = [self.last_known] if with_elr and not isr and not elr else []
            anybody += self.replicas if self.allows_unclean and not preferred else []
            leader = next((replica for replica in anybody if replica != -1 and alive(replica)), -1)
            unclean = leader != -1
        after = replace(self, isr=isr if isr or with_elr else self.isr, elr=elr, leader=leader, complete=set(self.complete))
        if leader != self.leader:
            after.leader_epoch += 1
            after.last_known = self.leader if leader == -1 and with_elr else -1
            if unclean or leader in elr:
                after.isr, after.elr = (leader,), set() if unclean else elr - {leader}
            if unclean:
                after.recovering, after.complete = True, {leader}
        if after != self:
            after.partition_epoch += 1
        return after


@dataclass
class Soft:
    """What the controller knows of a broker from its heartbeats alone."""

    fenced: bool
    offset: int = -1
    leaves_at: int | None = None  # the offset of the metadata log that all must have read before it may stop


class Stands(NamedTuple):
    """A broker's registration."""

    broker_epoch: int
    incarnation: int
    fenced: bool
    leaving: bool


class PlainController:
    """Registrations, partitions, and what is known from heartbeats."""

    def __init__(self, with_elr: bool) -> None:
        self.with_elr = with_elr
        self.brokers: dict[int, Stands] = {}
        self.soft: dict[int, Soft] = {}
        self.heard: dict[tuple[int, int], float] = {}
        self.registered_at: dict[int, int] = {}
        self.parts: dict[TopicPartition, Part] = {}

    def is_active(self, broker: int) -> bool:
        stands = self.brokers.get(broker)
        return stands is not None and not stands.fenced and not stands.leaving

    def leads(self, broker: int) -> bool:
        return any(part.leader == broker for part in self.parts.values())

    def settle(self, concerned: Callable[[Part], bool], alive: Callable[[int], bool], without: int = -1, lost: int = -1) -> None:
        for name, part in self.parts.items():
            if concerned(part):
                isr = tuple(member for member in part.isr if member != without)
                self.parts[name] = part.settled(isr, alive, self.with_elr, lost)

    def goes(self, broker: int) -> None:
        """It is fenced, or about to stop: nothing in its log is doubted."""
        self.settle(lambda part: broker in part.isr, lambda other: other != broker and self.is_active(other), without=broker)

    def loses_its_tail(self, broker: int) -> None:
        """It comes back without having stopped cleanly."""
        for part in self.parts.values():
            part.complete.discard(broker)
        if not self.with_elr:
            self.goes(broker)
            return
        alive = lambda other: other != broker and self.is_active(other)  # noqa: E731
        self.settle(lambda part: broker in part.isr or broker in part.elr, alive, without=broker, lost=broker)

    def comes_back(self, broker: int) -> None:
        self.settle(lambda part: part.leader == -1, lambda other: other == broker or self.is_active(other))

    def is_fenced(self, broker: int) -> None:
        self.goes(broker)
        self.brokers[broker] = self.brokers[broker]._replace(fenced=True)

    def next_state(self, broker: int, wish: str, offset: int) -> str:
        """KIP-631's states, and KIP-841's way of stopping: not before somebody else leads, and everybody knows."""
        soft = self.soft[broker]
        if soft.leaves_at is not None:
            active = [other.offset for other in self.soft.values() if not other.fenced and other.leaves_at is None]
            return "leaving" if self.leads(broker) or soft.leaves_at > min(active, default=inf) else "stopped"
        if wish == "shut down" and not soft.fenced:
            return "leaving" if self.leads(broker) else "stopped"
        if wish in {"shut down", "both"}:
            return "stopped"
        may_live = not soft.fenced or offset >= self.registered_at[broker]
        return "live" if wish == "live" and may_live else "fenced"


# ---------------------------------------------------------------------------------------------------- the machine


class ControllerMachine(RuleBasedStateMachine):
    """Four brokers that come, go, and ask for other ISRs; and time."""

    @initialize(with_elr=st.booleans() | st.just(True), rebalances=st.booleans(), min_isr=st.integers(1, 3), unclean=st.booleans())
    def a_cluster(self, with_elr: bool, rebalances: bool, min_isr: int, unclean: bool) -> None:
        self.now = 0.0
        self.config = BrokerConfig(
            broker_session_timeout_ms=int(SESSION_MS),
            auto_leader_rebalance_enable=rebalances,
            leader_imbalance_check_interval_seconds=int(REBALANCE_MS / 1000),
        )
        self.state = ControllerState(eligible_leader_replicas=with_elr)
        self.controller = Controller(100, self.config, self.state)
        self.controller.start(0.0)
        self.model = PlainController(with_elr)
        self.reader = MetadataImage()
        self.topics = 0
        self.stopping: set[int] = set()
        for broker in IDS:
            self.a_process_registers(broker, new=True, clean=False)
            self.a_broker_beats(broker, "live", 0, 0)
        self.a_topic_is_created(3, min_isr, unclean, 0)

    def ask(self, request: object) -> Any:
        return self.controller.receive(request, "broker", self.now)[0].message  # type: ignore[attr-defined]

    # ------------------------------------------------------------------------------------------------ brokers

    @rule(broker=BROKERS, new=st.booleans() | st.just(True), clean=st.booleans())
    def a_process_registers(self, broker: int, new: bool, clean: bool) -> None:
        """A new one; or the same again, which has lost its connection."""
        model = self.model
        before = model.brokers.get(broker)
        incarnation = (before.incarnation if before else 0) + new
        previous = before.broker_epoch if before and clean else -1
        offset = self.state.log_end_offset
        answer = self.ask(BrokerRegistrationRequest(1, broker, incarnation, previous))
        if before and not new:
            assert (answer.error, answer.broker_epoch) == (Error.NONE, before.broker_epoch)
        elif before and self.now - model.heard.get((broker, before.broker_epoch), -inf) <= SESSION_MS:
            assert answer.error is Error.DUPLICATE_BROKER_REGISTRATION
            return
        else:
            assert (answer.error, answer.broker_epoch) == (Error.NONE, offset)
            model.goes(broker) if before and clean else model.loses_its_tail(broker)
            model.brokers[broker] = Stands(offset, incarnation, True, False)
            self.stopping.discard(broker)
        model.registered_at[broker] = self.state.log_end_offset - 1
        model.soft[broker] = Soft(model.brokers[broker].fenced)

    @rule(broker=BROKERS, wish=WISHES, behind=st.sampled_from([0, 0, 0, 3]), stale=st.sampled_from([0, 0, 0, 1]))
    def a_broker_beats(self, broker: int, wish: str, behind: int, stale: int) -> None:
        """With an epoch that is `stale`, or having read all but the end of the metadata log. Who once wants to stop never lives again."""
        model = self.model
        wish = "shut down" if broker in self.stopping and wish != "both" else wish
        if wish in {"shut down", "both"}:
            self.stopping.add(broker)
        epoch, offset = model.brokers[broker].broker_epoch - stale, self.state.log_end_offset - 1 - behind
        request = BrokerHeartbeatRequest(2, broker, epoch, offset, wish in {"fence", "both"}, wish in {"shut down", "both"})
        answer = self.ask(request)
        model.heard[broker, epoch] = self.now
        if stale:
            assert answer.error is Error.STALE_BROKER_EPOCH
            return
        before = model.brokers[broker]
        state = model.next_state(broker, wish, offset)
        soft = model.soft[broker]
        was_leaving = soft.leaves_at is not None
        if state == "live" and soft.fenced:
            model.comes_back(broker)
            model.brokers[broker] = before._replace(fenced=False)
        elif state == "leaving" and not was_leaving:
            model.goes(broker)
            model.brokers[broker] = before._replace(leaving=True)
        elif state in {"stopped", "fenced"} and not before.fenced:
            model.is_fenced(broker)
        soft.fenced, soft.offset = state in {"stopped", "fenced"}, offset
        soft.leaves_at = None if state != "leaving" else soft.leaves_at if was_leaving else self.state.log_end_offset - 1
        assert (answer.error, answer.is_fenced, answer.should_shut_down) == (Error.NONE, soft.fenced, state == "stopped")

    @rule(beating=st.sets(BROKERS), beats=st.sampled_from([1, 6, 20]))
    def time_passes(self, beating: set[int], beats: int) -> None:
        """While only these brokers send heartbeats."""
        for _ in range(beats):
            self.runs_until(self.now + BEAT_MS)
            for broker in sorted(beating):
                self.a_broker_beats(broker, "live", 0, 0)

    @rule(clean=st.sets(BROKERS), back=st.lists(BROKERS, unique=True))
    def all_brokers_go(self, clean: set[int], back: list[int]) -> None:
        """Whoever is not `clean` had a power failure. They all begin anew, and live again in the order in which they come back."""
        self.time_passes(set(), 6)
        for broker in IDS:
            self.a_process_registers(broker, True, broker in clean)
        for broker in back:
            self.a_broker_beats(broker, "live", 0, 0)

    @rule()
    def another_controller_takes_over(self) -> None:
        """It has the metadata log, and takes everybody who is not fenced for just heard."""
        self.controller = Controller(101, self.config, self.state)
        self.controller.start(self.now)
        model = self.model
        model.heard = {(broker, stands.broker_epoch): self.now for broker, stands in model.brokers.items() if not stands.fenced}
        model.soft = {broker: Soft(stands.fenced) for broker, stands in model.brokers.items()}
        for part in model.parts.values():
            part.imbalanced_since = inf

    def runs_until(self, end: float) -> None:
        while (deadline := self.controller.next_deadline()) is not None and deadline <= end:
            assert deadline >= self.now
            self.now = deadline
            written = self.state.log_end_offset
            self.controller.wake(deadline)
            self.explain(written)
            self.both_say_the_same()
        self.now = end
        for broker, stands in self.model.brokers.items():
            heard = self.model.heard.get((broker, stands.broker_epoch), -inf)
            # One stale broker at a time, the next 10 ms later; old sessions count.
            assert stands.fenced or end <= heard + SESSION_MS + CHECK_MS + 10 * len(self.model.heard)
        for part in self.model.parts.values():
            assert not self.config.auto_leader_rebalance_enable or end <= part.imbalanced_since + REBALANCE_MS

    def explain(self, written: int) -> None:
        """What the controller wrote by itself: at most one broker is fenced; elections, where a better leader may be had."""
        model = self.model
        records = self.state.records[written:]
        fenced = [record.broker_id for record in records if isinstance(record, BrokerRegistration)]
        assert len(fenced) <= 1
        for broker in fenced:
            assert self.now - model.heard[broker, model.brokers[broker].broker_epoch] > SESSION_MS
            model.is_fenced(broker)
            model.soft[broker] = replace(model.soft[broker], fenced=True, leaves_at=None)
        model.heard = {session: heard for session, heard in model.heard.items() if session[0] not in fenced or heard == self.now}
        for name, part in model.parts.items():
            if self.state.image.partitions[name] != part.registration(name):
                preferred = self.config.auto_leader_rebalance_enable
                candidates = [
                    part.settled(part.isr, model.is_active, model.with_elr, preferred=wish) for wish in ([True] * preferred + [False])
                ]
                better = [after for after in candidates if after.registration(name) == self.state.image.partitions[name]]
                assert better, f"{self.state.image.partitions[name]} instead of {part}"
                model.parts[name] = better[0]

    # ------------------------------------------------------------------------------------------------ partitions

    @rule(factor=st.integers(1, 4), min_isr=st.integers(1, 3), unclean=st.booleans(), first=st.integers(0, 3))
    def a_topic_is_created(self, factor: int, min_isr: int, unclean: bool, first: int) -> None:
        model = self.model
        usable = [broker for broker in IDS if not model.brokers[broker].leaving]
        replicas = tuple(usable[(first + position) % len(usable)] for position in range(factor)) if usable else ()
        isr = tuple(replica for replica in replicas if model.is_active(replica))
        if self.topics == 3 or factor > len(usable) or not isr:
            return  # an administrator would be refused
        self.topics += 1
        topic = f"topic-{self.topics}"
        config = TopicConfig(min_insync_replicas=min_isr, unclean_leader_election_enable=unclean)
        self.controller.receive(CreateTopic(topic, (0,), factor, config, first), "", self.now)
        name = TopicPartition(topic, 0)
        model.parts[name] = Part(replicas, isr, isr[0], min_isr, unclean, complete=set(replicas))

    @rule(
        data=st.data(), topic=st.integers(1, 3), shrinks=st.booleans(), wrong=st.sampled_from([*[""] * 5, "leader", "past", "epoch", "isr"])
    )
    def a_leader_wants_another_isr(self, data: st.DataObject, topic: int, shrinks: bool, wrong: str) -> None:
        """It vouches for its followers: whoever it lets in has everything committed. Some requests are `wrong` or come too late."""
        model, name = self.model, TopicPartition(f"topic-{topic}", 0)
        part = model.parts.get(name)
        if part is None or part.leader == -1:
            return
        broker = part.leader if wrong != "leader" else data.draw(BROKERS)
        others = st.sets(st.sampled_from([*part.replicas, *(IDS if wrong == "isr" else ())]))
        isr = (part.leader, *sorted(data.draw(others) - {part.leader})) if not shrinks else part.isr[:1]
        late = data.draw(st.tuples(st.integers(-1, 1), st.integers(-1, 1))) if wrong == "past" else (0, 0)
        behind = {member: data.draw(st.integers(0, 1)) if wrong == "epoch" else 0 for member in isr}
        epochs = {member: model.brokers[member].broker_epoch - behind[member] for member in isr}
        asked = (name, part.leader_epoch + late[0], part.partition_epoch + late[1], tuple(epochs.items()))
        answer = self.ask(AlterPartitionRequest(3, broker, model.brokers[broker].broker_epoch, (asked,)))
        error = self.judge(part, broker, late, isr, {member for member in isr if behind[member] and epochs[member] != -1})
        assert answer.partitions[0][1] is error
        if error is Error.NONE:
            after = replace(part, recovering=False).settled(isr, model.is_active, model.with_elr)
            if after.partition_epoch == part.partition_epoch and part.recovering:
                after.partition_epoch += 1
            after.complete |= set(isr) if part.leader in part.complete else set()
            model.parts[name] = after
            assert answer.partitions[0][2:] == (after.leader, after.leader_epoch, after.isr, after.partition_epoch)

    def judge(self, part: Part, broker: int, late: tuple[int, int], isr: tuple[int, ...], former: set[int]) -> Error:
        """Kafka's order (validateAlterPartitionData)."""
        if max(late) > 0:
            return Error.NOT_CONTROLLER
        if late[0] < 0:
            return Error.FENCED_LEADER_EPOCH
        if broker != part.leader:
            return Error.INVALID_REQUEST
        if late[1] < 0:
            return Error.INVALID_UPDATE_VERSION
        if not {broker} <= set(isr) <= set(part.replicas):
            return Error.INVALID_REQUEST
        return Error.INELIGIBLE_REPLICA if former or not all(map(self.model.is_active, isr)) else Error.NONE

    @rule(topic=st.integers(1, 3))
    def records_are_committed(self, topic: int) -> None:
        """They are in every member of the ISR, and need be nowhere else. Below min.insync.replicas nothing is committed (KAFKA-15583)."""
        part = self.model.parts.get(TopicPartition(f"topic-{topic}", 0))
        if part is not None and part.leader != -1 and len(part.isr) >= min(part.min_isr, len(part.replicas)):
            part.complete &= set(part.isr)

    # ------------------------------------------------------------------------------------------------ what always holds

    @invariant()
    def both_say_the_same(self) -> None:
        """And each record is one step: no partition twice in one breath without an epoch of its own."""
        for record in self.state.records[self.reader.offset :]:
            before = self.reader.partitions.get(record.partition) if isinstance(record, PartitionRegistration) else None
            if before is not None and isinstance(record, PartitionRegistration):
                assert record.partition_epoch == before.partition_epoch + 1
                assert record.leader_epoch == before.leader_epoch + (record.leader != before.leader)
            self.reader.apply(record)
        assert self.reader.brokers == self.state.image.brokers == {b: BrokerRegistration(b, *s) for b, s in self.model.brokers.items()}
        registrations = {name: part.registration(name) for name, part in self.model.parts.items()}
        assert self.reader.partitions == self.state.image.partitions == registrations
        for part in self.model.parts.values():
            wants = part.leader not in (-1, part.replicas[0]) and part.replicas[0] in part.isr and self.model.is_active(part.replicas[0])
            part.imbalanced_since = min(part.imbalanced_since, self.now) if wants else inf

    @invariant()
    def leaders_are_alive_and_in_the_isr(self) -> None:
        image = self.state.image
        for partition in image.partitions.values():
            isr, elr = set(partition.isr), set(partition.elr)
            assert partition.leader == -1 or (partition.leader in isr and image.is_active(partition.leader))
            assert len(partition.isr) == len(isr)
            assert isr | elr <= set(partition.replicas)
            if self.model.with_elr or partition.leader != -1:
                assert all(image.is_active(member) for member in isr)
            assert not isr & elr
            assert not elr or (self.model.with_elr and len(isr) < min(partition.min_insync_replicas, len(partition.replicas)))
            assert isr or (self.model.with_elr and partition.leader == -1)

    @invariant()
    def with_eligible_leader_replicas_whoever_is_elected_cleanly_has_everything(self) -> None:
        if self.model.with_elr:
            for part in self.model.parts.values():
                assert {*part.isr, *part.elr} <= part.complete


def test_the_controller_decides_as_the_kips_say_and_clean_leaders_have_everything() -> None:
    run_state_machine_as_test(ControllerMachine, settings=budget(*BUDGET))
