"""`kafkasim sweep`: the options of parameter studies, and what may not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kafkasim.cli_options import (
    BrokerFile,
    ConsumerFile,
    JsonOption,
    Overlays,
    ProducerFile,
    SeedOption,
    SetOption,
    TopicFile,
    refuse,
)

_DESIGNS = "grid, random, latin-hypercube, sobol, saltelli (for Sobol' indices), morris (for Morris screening)"

Target = Annotated[str, typer.Argument(metavar="SCENARIO|STUDY", help="a scenario or a study: a file, or a shipped name")]
VaryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vary", metavar="PATH=VALUES", help="an axis: a,b,c or LOW..HIGH/STEP or LOW..HIGHxN or log:LOW..HIGHxN; repeat for more axes"
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="drop points that do not meet it: 'acks == all or zombie.for < 3s'; instead of those of a study",
    ),
]
DesignOption = Annotated[str | None, typer.Option("--design", metavar="NAME", help=f"which points: {_DESIGNS}")]
PointsOption = Annotated[int | None, typer.Option("--points", metavar="N", min=1, help="how many, for designs that are no grid")]
RunsOption = Annotated[
    int | None, typer.Option("--runs", metavar="N", min=1, help="runs of each point, at most; 20 unless a study says so")
]
UntilOption = Annotated[
    list[str] | None,
    typer.Option("--until", metavar="RULE", help="end a point early: 'failing(silent_loss) >= 10' or 'width(loss) <= 0.1'; any of several"),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="keep every run in DIR/results.csv, and go on with --resume")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="go on with what DIR holds")]
MergeOption = Annotated[
    list[Path] | None, typer.Option("--merge", metavar="DIR", help="add the rows that another machine has made of the same study")
]
PartOption = Annotated[str | None, typer.Option("--part", metavar="I/N", help="this machine's share of the points: 1/2 and 2/2")]
JobsOption = Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="processes; as many as there are cores")]
DaskOption = Annotated[str | None, typer.Option("--dask", metavar="ADDRESS", help="run on the workers of a dask.distributed scheduler")]
MeasureOption = Annotated[
    list[str] | None, typer.Option("--measure", metavar="KEY", help="what tables and pictures show: a key of the report; repeatable")
]
PlotOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plot",
        metavar="[KIND:]FILE",
        help="draw it (.png, .svg, .pdf); KIND: curve, heatmap, trade-off, small-multiples, parallel, sensitivity",
    ),
]
ParquetOption = Annotated[bool, typer.Option("--parquet", help="write DIR/results.parquet as well (extra `sweep`)")]
CheckOption = Annotated[bool, typer.Option("--check", help="exit with 1 if a promise was broken in any run")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="no progress")]


def sweep(
    target: Target,
    vary: VaryOption = None,
    where: WhereOption = None,
    design: DesignOption = None,
    points: PointsOption = None,
    runs: RunsOption = None,
    until: UntilOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    merge: MergeOption = None,
    part: PartOption = None,
    jobs: JobsOption = None,
    dask: DaskOption = None,
    measure: MeasureOption = None,
    plot: PlotOption = None,
    parquet: ParquetOption = False,
    json_: JsonOption = None,
    quiet: QuietOption = False,
    check: CheckOption = False,
    set_: SetOption = None,
    seed: SeedOption = None,
    producer_config: ProducerFile = None,
    consumer_config: ConsumerFile = None,
    broker_config: BrokerFile = None,
    topic_config: TopicFile = None,
) -> None:
    """Vary a scenario's settings, times and faults, over many seeds: how loss, duplicates and their price depend on them."""
    from kafkasim.study_commands import Kept, Machines, Planned, Shown, sweep_and_show

    overlays: Overlays = {"producer": producer_config, "consumer": consumer_config, "broker": broker_config, "topic": topic_config}
    if out is None and (resume or merge or part or parquet):
        refuse("--resume, --merge, --part and --parquet are about rows that are kept: they need --out DIR")
    if jobs is not None and dask is not None:
        refuse("--jobs is for processes on this machine, and --dask for workers elsewhere: give one of the two")
    rules = {"where": where or (), "until": until or (), "measures": measure or ()}
    planned = Planned(
        target, vary or (), design=design, points=points, runs=runs, changes=set_ or (), overlays=overlays, seed=seed, **rules
    )
    kept, machines, shown = Kept(out, resume, merge or (), parquet), Machines(jobs, dask, part), Shown(plot or (), json_, quiet)
    raise typer.Exit(sweep_and_show(planned, kept, machines, shown, check))
