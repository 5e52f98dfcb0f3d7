"""Studies so small that a test can run them whole: a few records, and a fault of some milliseconds."""

from __future__ import annotations

from pathlib import Path

from kafkasim import Scenario
from kafkasim.study.axes import Axis, Point
from kafkasim.study.results import CSV, Results
from kafkasim.study.study import Study, Until
from kafkasim.study.task import Row, axis_paths, cell, task_of, version

ACKS, LENGTH = "producers.shop.config.acks", "faults.zombie.for"
SMALL = {"producers.shop.records": 40, "faults.zombie.at": "20ms"}


def small_study(points: int = 4, runs: int = 5, until: tuple[Until, ...] = (), acks: tuple[object, ...] = (0, 1)) -> Study:
    """`points` points over acks and the fault's length, in the order of a grid."""
    lengths = [f"{40 + 10 * number}ms" for number in range(-(-points // len(acks)))]
    axes = (Axis((ACKS,), tuple((each,) for each in acks), "acks"), Axis((LENGTH,), tuple((length,) for length in lengths), "zombie.for"))
    grid = [{ACKS: each, LENGTH: length} for each in acks for length in lengths][:points]
    return Study(
        name="small",
        title="a small study",
        scenario=Scenario.load("zombie-leader").with_(SMALL),
        axes=axes,
        points=[Point(index, changes) for index, changes in enumerate(grid)],
        dropped=(),
        runs=runs,
        until=until,
    )


def made_up_rows(study: Study, point: int) -> list[Row]:
    """Rows of a point's runs that nobody simulated: right ids, and a loss at every third seed."""
    here = study.points[point]
    behaviour = study.scenario.with_(here.changes).behaviour_digest
    rows = []
    for run in range(study.runs):
        task = task_of(study.scenario, here, run, behaviour)
        row: Row = {"task": task.id, "version": version(), "point": point, "run": run, "seed": task.seed}
        row |= {path: cell(here.changes[path]) for path in axis_paths(study)}
        row |= {"sent": 40, "loss_rate": 0.1 + 0.2 if run % 3 == 0 else 0.0, "silent_loss_rate": 0.0, "duplication_rate": 0.0}
        row |= {"latency_ms.p99": None if run % 2 else 7.25, "violated": run % 3 == 0}
        rows.append(row | {"command": f"kafkasim run zombie-leader --seed {task.seed}"})
    return rows


def finished(study: Study, folder: Path) -> bytes:
    """results.csv of the study as nobody interrupted it, made in this process."""
    from kafkasim.study.collect import collect
    from kafkasim.study.executors import serial

    with Results.open(folder, study) as results:
        collect(study, results, serial())
    return (folder / CSV).read_bytes()
