"""Run a scenario on a backend, once or over many seeds, and judge it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kafkasim.backend import Backend, Tick
from kafkasim.ledger import Ledger
from kafkasim.report import Report, make_report
from kafkasim.scenario import Scenario
from kafkasim.trace import Trace


def run(
    scenario: Scenario,
    seed: int | None = None,
    *,
    trace: Trace | None = None,
    tick: Tick | None = None,
    backend: Backend | None = None,
    keep: Callable[[Ledger], None] | None = None,
) -> Report:
    """Run `scenario` once (its own seed, unless one is given) and report. `keep` is shown the ledger before it is let go.

    >>> from kafkasim import Scenario, run
    >>> run(Scenario.load("calm")).acked_lost
    0
    """
    used = scenario.seed if seed is None else seed
    if backend is None:
        from kafkasim.simulator.simulation import Simulator

        backend = Simulator()
    ledger = backend.run(scenario, used, trace, tick)
    if keep is not None:
        keep(ledger)
    return make_report(scenario, ledger, backend.client_versions, backend.options)


def replay(
    scenario: Scenario,
    seed: int | None = None,
    *,
    bootstrap_server: str | None = None,
    commands: Mapping[str, str] | None = None,
    kafka_home: Path | None = None,
) -> Report:
    """Run `scenario` once on real brokers: a cluster of our own for this one run, or somebody's at `bootstrap_server`.

    Needs the extra `cluster`, and Java and Maven for brokers of our own. Raises ClusterError where there are none. For several runs on one
    cluster: `with kafkasim.cluster.real_kafka.RealKafka() as backend: run(scenario, backend=backend)`.
    """
    from kafkasim.cluster.real_kafka import RealKafka

    with RealKafka(bootstrap_server=bootstrap_server, commands=commands, kafka_home=kafka_home) as backend:
        return run(scenario, seed, backend=backend)


def run_many(
    scenario: Scenario, runs: int, seed: int | None = None, tick: Tick | None = None, backend: Backend | None = None
) -> Iterator[Report]:
    """`runs` reports, with seeds seed, seed + 1, …; each as soon as it is there, so that an interrupted series keeps what it has."""
    first = scenario.seed if seed is None else seed
    for number in range(runs):
        if tick is not None:
            tick(number / runs, f"run {number + 1} of {runs}")
        yield run(scenario, first + number, backend=backend)
