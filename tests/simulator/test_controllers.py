"""A quorum of controllers in simulated time: whom the selectors mean, and that every way of losing a controller heals."""

from __future__ import annotations

import pytest

from kafkasim.ledger import Ledger
from kafkasim.protocol.quorum_controller import ControllerActive, ControllerRenounced, QuorumController
from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.simulator.cluster import SimulatedCluster
from kafkasim.simulator.simulation import Run
from kafkasim.trace import Trace


def quorum(faults: str, controllers: int = 3) -> Scenario:
    return Scenario.loads(
        f"cluster: {{controllers: {controllers}}}\n"
        "topics: {orders: {config: {min.insync.replicas: 2}}}\n"
        "producers: [{name: shop, topic: orders, records: 300, rate: 50, config: {acks: all}}]\n"
        "consumers: [{group: billing, topics: [orders]}]\n"
        f"faults: [{faults}]\n"
    )


def played(faults: str, seed: int = 1, controllers: int = 3) -> tuple[SimulatedCluster, Ledger, Trace]:
    chosen = quorum(faults, controllers)
    ledger, trace = Ledger("simulator", seed, groups=("billing",)), Trace()
    cluster = SimulatedCluster(chosen, seed, ledger, trace)
    Run(cluster, None).all_phases()
    return cluster, ledger, trace


def times_active(trace: Trace) -> int:
    return sum(isinstance(entry.event, ControllerActive) for entry in trace.entries)


@pytest.mark.parametrize(
    "fault",
    [
        "{at: 1s, fault: crash, node: controller, for: 2s}",
        "{at: 1s, fault: power-loss, node: controllers, for: 1s}",
        "{at: 1s, fault: pause, node: controller, for: 6s}",
        "{at: 1s, fault: partition, node: controller, from: controllers, for: 6s}",
        "{at: 1s, fault: shutdown, node: controller, for: 2s}",
        "{at: 1s, fault: partition, node: controller, for: 6s}",
    ],
)
def test_however_the_active_controller_is_lost_another_takes_over_and_all_agree_in_the_end(fault: str) -> None:
    cluster, ledger, trace = played(fault)
    assert ledger.drained
    assert times_active(trace) == 2
    assert len(ledger.faults[0].nodes) == (3 if "controllers, for" in fault and "power" in fault else 1)
    logs = []
    for name in cluster.view.controllers:
        node = cluster.driver.hosts[name].node
        assert isinstance(node, QuorumController)
        logs.append([record for _, record in node.raft.log.entries])
    assert logs[0] == logs[1] == logs[2] == cluster.controller_state.records


def test_the_loss_of_one_that_is_not_active_changes_nothing() -> None:
    view = played("")[0].view
    passive = next(name for name in view.controllers if name != view.active_controller)
    _, ledger, trace = played(f"{{at: 1s, fault: crash, node: controller({passive[-3:]}), for: 2s}}")
    assert ledger.faults[0].nodes == (passive,)
    assert times_active(trace) == 1


def test_a_paused_controller_that_comes_back_finds_that_it_was_deposed() -> None:
    cluster, _, trace = played("{at: 1s, fault: pause, node: controller, for: 6s}")
    renounced = [entry for entry in trace.entries if isinstance(entry.event, ControllerRenounced)]
    assert len(renounced) == 1
    assert 7_000 <= renounced[0].at - cluster.progress.zero < 7_100


def test_five_controllers_survive_two() -> None:
    _, ledger, trace = played(
        "{at: 1s, fault: crash, node: controller, for: 9s}, {at: 5s, fault: crash, node: controller, for: 5s}", controllers=5
    )
    assert ledger.drained
    assert times_active(trace) == 3


def test_a_controller_that_does_not_exist_is_refused_in_a_sentence() -> None:
    with pytest.raises(Exception, match=r"controller\(103\): there is no controller 103; there is 100 and 101 and 102"):
        quorum("{at: 1s, fault: crash, node: controller(103)}")


def test_a_run_with_a_quorum_is_the_same_again() -> None:
    ledgers: list[Ledger] = []
    for _ in range(2):
        run(quorum("{at: 1s, fault: crash, node: controller, for: 5s}"), 3, keep=ledgers.append)
    assert ledgers[0].digest() == ledgers[1].digest()
