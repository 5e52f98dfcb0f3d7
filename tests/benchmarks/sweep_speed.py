"""What a sweep costs beside its runs, as ratios in one run: `python tests/benchmarks/sweep_speed.py [RUNS]` prints them.

Four questions. How much time does a sweep add to a run? How much faster are two workers than one? How long do 1000 runs of teaching size
take (10 000 records, three brokers, one fault; RUNS of them are made, and what is said is for 1000)? And what is R0 (speed.py), so that
another machine's figures can be compared. With a compiled core on PYTHONPATH (.compile/compile_core.py) the same questions are asked of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from speed import bare_heap_rate

from kafkasim.runner import run
from kafkasim.scenario import Scenario
from kafkasim.study.collect import collect
from kafkasim.study.executors import processes, serial
from kafkasim.study.results import Results
from kafkasim.study.study import Study
from kafkasim.study.study_file import study_of

SMALL = {"producers.shop.records": 400, "producers.shop.rate": 200}
TEACHING = {  # name: what makes a shipped scenario one of 10 000 records; each has three brokers and one fault
    "zombie-leader, 1000 a second": ("zombie-leader", {"producers.shop.records": 10_000, "producers.shop.rate": 1000}),
    "zombie-leader, 500 a second": ("zombie-leader", {"producers.shop.records": 10_000}),
    "acks1-leader-crash": ("acks1-leader-crash", {"producers.shop.records": 10_000}),
    "acks-all-leader-crash": ("acks-all-leader-crash", {"producers.shop.records": 10_000}),
}


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def swept(study: Study, jobs: int) -> float:
    """Seconds of a whole sweep into a new folder, workers already there."""
    with TemporaryDirectory() as folder, serial() if jobs == 1 else processes(jobs) as executor:
        for future in [executor.submit(time.sleep, 0.5) for _ in range(jobs)]:
            future.result()
        with Results.open(Path(folder), study) as results:
            return seconds(lambda: collect(study, results, executor))


def overhead(points: int = 40, runs: int = 10) -> None:
    """A sweep of many short runs, in this very process, beside the same runs without one."""
    study = study_of(Scenario.load("zombie-leader").with_(SMALL), {"faults.zombie.for": f"1s..9sx{points}"}, runs=runs)
    scenarios = [study.scenario.with_(point.changes) for point in study.points]

    def bare() -> None:
        for scenario in scenarios:
            for number in range(runs):
                run(scenario, scenario.seed + number)

    rounds = [(swept(study, 1), seconds(bare)) for _ in range(3)]
    sweep, alone = min(sweep for sweep, _ in rounds), min(alone for _, alone in rounds)
    each = points * runs
    print(
        f"overhead        {1000 * (sweep - alone) / each:6.2f} ms a run, beside {1000 * alone / each:.1f} ms of the run itself  (at most 5)"
    )


def two_workers(points: int = 20, runs: int = 20) -> None:
    """The same sweep with one worker and with two."""
    study = study_of(Scenario.load("zombie-leader").with_(SMALL), {"faults.zombie.for": f"1s..9sx{points}"}, runs=runs)
    one, two = min(swept(study, 1) for _ in range(2)), min(swept(study, 2) for _ in range(2))
    print(f"two workers     {one / two:6.2f} times one  (at least 1.8)")


def teaching(made: int) -> None:
    """1000 runs of teaching size on two workers, reckoned from `made`."""
    for title, (name, changes) in TEACHING.items():
        study = study_of(Scenario.load(name).with_(changes), {"producers.shop.record.size": [100]}, runs=made)
        took = swept(study, 2)
        print(f"1000 runs       {took * 1000 / made:6.1f} s  (at most 90)  {title}; {made} were made")


def main(made: int = 100) -> None:
    """Print the answers."""
    from kafkasim.protocol import broker

    print(f"core            {'compiled' if not broker.__file__.endswith('.py') else 'pure Python'}")
    print(f"R0              {max(bare_heap_rate() for _ in range(3)):,.0f} callbacks a second")
    overhead()
    two_workers()
    teaching(made)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
