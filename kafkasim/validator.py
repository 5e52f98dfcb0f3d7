"""Both backends side by side: calibrate, run on real brokers, simulate over many seeds, and keep what came of it.

What is compared, and what agreement means, is validation.py's.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import TYPE_CHECKING

from kafkasim.backend import Tick
from kafkasim.report import Report
from kafkasim.runner import run, run_many
from kafkasim.scenario import Scenario
from kafkasim.validation import simulate_ranges
from kafkasim.validation_records import Recorded

if TYPE_CHECKING:
    from kafkasim.cluster.real_kafka import RealKafka

SEEDS = 40  # how many of the simulator's draws span a range, unless somebody wants more


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
    fitted = scenario.with_(changes)
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
        commands=[f"kafkasim validate {scenario.called} --runs {runs} --seeds {seeds}"],
    )


def simulate_again(recorded: Recorded, seeds: int = SEEDS, tick: Tick | None = None) -> Recorded:
    """The same real runs against the simulator as it is now, under the calibration of their day. Raises ScenarioError where it is gone."""
    fitted = Scenario.load(recorded.scenario).with_(dict(recorded.calibration))
    ranges = simulate_ranges(list(simulate(fitted, seeds, tick)))
    return recorded.model_copy(update={"simulated": ranges, "scenario_id": fitted.scenario_id, "kafkasim": version("kafkasim")})


def simulate(scenario: Scenario, seeds: int, tick: Tick | None = None) -> Iterable[Report]:
    """Reports of seeds 1 to `seeds`, on all cores."""
    with ProcessPoolExecutor(max_workers=min(seeds, os.cpu_count() or 1)) as pool:
        for number, report in enumerate(pool.map(_one, [(scenario, seed) for seed in range(1, seeds + 1)])):
            if tick is not None:
                tick(number / seeds, f"simulating, seed {number + 1} of {seeds}")
            yield report


def _one(task: tuple[Scenario, int]) -> Report:
    scenario, seed = task
    return run(scenario, seed)


def all_agree(records: Sequence[Recorded]) -> bool:
    """Whether no real run contradicts the simulator."""
    return all(record.comparison().agrees for record in records)
