"""Both backends side by side: calibrate, run on real brokers, simulate over many seeds, and keep what came of it.

What is compared, and what agreement means, is validation.py's.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from kafkasim.backend import Tick
from kafkasim.report import Report
from kafkasim.runner import run, run_many
from kafkasim.scenario import Scenario
from kafkasim.scenario_file import Problem, ScenarioError, parse_assignment
from kafkasim.validation import simulate_ranges
from kafkasim.validation_records import Recorded

if TYPE_CHECKING:
    from kafkasim.cluster.real_kafka import RealKafka

SEEDS = 40  # how many of the simulator's draws span a range, unless somebody wants more
_OWN_LINKS = "The scenario's own network.links were left out: real links are as fast as they are."

Calibrated = Mapping[str, str | int | float | bool]  # by path


def validate(
    scenario: Scenario,
    backend: RealKafka,
    runs: int = 1,
    seeds: int = SEEDS,
    tick: Tick | None = None,
    calibrated: Callable[[dict[str, float]], None] | None = None,
) -> Recorded:
    """Compare `runs` real runs of `scenario` with `seeds` simulated ones. `calibrated` is told what was measured at the cluster.

    Raises ClusterError where the cluster does not work.
    """
    calibration = backend.calibration(scenario)
    if calibrated is not None:
        calibrated(dict(calibration.summary()))
    changes = calibration.changes()
    fitted = fit(scenario, changes)
    real = list(run_many(fitted, runs, tick=tick, backend=backend))
    simulated = list(simulate(fitted, seeds, tick))
    return Recorded.of(
        fitted,
        simulated,
        real,
        kafkasim=version("kafkasim"),
        java=backend.versions.get("java", ""),
        date=datetime.date.today().isoformat(),
        calibration=changes,
        commands=[_command(scenario.called, [*scenario.changes, *map(shlex.quote, backend.options)], runs, seeds)],
        called=scenario.called,
        changes=scenario.changes,
        notes=[_OWN_LINKS] if scenario.network.links else [],
    )


def fit(scenario: Scenario, calibration: Calibrated) -> Scenario:
    """The scenario on the cluster that was measured. Links of its own it has no more: real ones are as fast as they are."""
    cleared: dict[str, object] = {"network.links": None} if scenario.network.links else {}
    return scenario.with_({**cleared, **calibration})


def simulate_again(recorded: Recorded, seeds: int = SEEDS, tick: Tick | None = None) -> Recorded:
    """The same real runs against the simulator as it is now, under the calibration of their day.

    Raises ScenarioError where the scenario is gone, or is another one than was really run.
    """
    called = recorded.called or recorded.scenario
    scenario, changes = Scenario.load(called), _changes(recorded)
    try:
        fitted = fit(scenario.with_(changes) if changes else scenario, recorded.calibration)
    except ScenarioError:
        raise _record_again(recorded, "the scenario has not all the places any more that were changed or calibrated") from None
    if not recorded.was_run_as(fitted):
        raise _record_again(recorded, "the scenario is not the one that was really run any more")
    ranges = simulate_ranges(list(simulate(fitted, seeds, tick)))
    commands = (_command(called, recorded.changes, len(recorded.real), seeds),)
    now = {
        "title": fitted.title,
        "simulated": ranges,
        "scenario_id": fitted.scenario_id,
        "kafkasim": version("kafkasim"),
        "commands": commands,
    }
    return recorded.model_copy(update=now)


def _changes(recorded: Recorded) -> dict[str, object]:
    """The values, by path, with which it was really run."""
    changes: dict[str, object] = {}
    for change in recorded.changes:
        option, *values = shlex.split(change)
        if option != "--set" or len(values) != 1:
            raise _record_again(recorded, f"it was run with {change}, and what that file said is not recorded")
        path, value = parse_assignment(values[0])
        changes[path] = value
    return changes


def _record_again(recorded: Recorded, why: str) -> ScenarioError:
    command = _command(recorded.called or recorded.scenario, recorded.changes, len(recorded.real))
    return ScenarioError([Problem(recorded.scenario, f"{why}; record it again: {command} --record DIR")])


def _command(called: str, changes: Sequence[str], runs: int, seeds: int | None = None) -> str:
    """What repeats a comparison."""
    options = [*changes, f"--runs {runs}", *([] if seeds is None else [f"--seeds {seeds}"])]
    return f"kafkasim validate {shlex.quote(called)} {' '.join(options)}"


def all_agree(records: Sequence[Recorded]) -> bool:
    """Whether no real run contradicts the simulator."""
    return all(record.comparison().agrees for record in records)


# ---------------------------------------------------------------------------------------------------- on all cores


def simulate(scenario: Scenario, seeds: int, tick: Tick | None = None) -> Iterable[Report]:
    """Reports of seeds 1 to `seeds`, on all cores."""
    # Not forked: real brokers mean threads of ours, and the pipe of their warden, which nobody else may hold.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    pool = ProcessPoolExecutor(min(seeds, os.cpu_count() or 1), mp_context=context, initializer=_begin, initargs=(theirs,))
    try:
        for number, report in enumerate(_submitted(pool, scenario, seeds)):
            if tick is not None:
                tick(number / seeds, f"simulating, seed {number + 1} of {seeds}")
            yield report
        pool.shutdown()
    finally:
        ours.close()  # which ends those who are still at work, so that nobody waits for them
        theirs.close()
        pool.shutdown(cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, scenario: Scenario, seeds: int) -> Iterator[Report]:
    """The workers start here; until they ignore Ctrl-C themselves, they do not get it, as they inherit what is blocked."""
    resource_tracker.ensure_running()  # which the first worker would start, and that lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.map(_one, [(scenario, seed) for seed in range(1, seeds + 1)])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: Connection) -> None:
    """In a worker: Ctrl-C is its parent's business, and it ends when the parent does, or closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    with suppress(EOFError, OSError):
        parent.recv()
    os._exit(1)


def _one(task: tuple[Scenario, int]) -> Report:
    scenario, seed = task
    return run(scenario, seed)
