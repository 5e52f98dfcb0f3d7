"""The command line. Heavy libraries are imported where they are used, so that `kafkasim --help` answers at once.

Exit codes: 0 done, 1 a verdict is violated (or an expectation missed) under --check, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from kafkasim import cli_sweep, console
from kafkasim.cli_options import (
    BootstrapOption,
    BrokerFile,
    CheckOption,
    CommandOption,
    ConsumerFile,
    JsonOption,
    KafkaHomeOption,
    Overlays,
    ProducerFile,
    SeedOption,
    SetOption,
    TopicFile,
    load,
    refuse,
)

if TYPE_CHECKING:
    from kafkasim.cluster.real_kafka import RealKafka
    from kafkasim.report import Report, Summary
    from kafkasim.scenario import Scenario

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="With my Kafka settings and these failures: what do I lose, what do I get twice, and why?",
)


@app.callback(invoke_without_command=True)
def what_next(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False
) -> None:
    """A teaching simulator of Kafka's delivery semantics."""
    if version:
        from importlib.metadata import version as installed

        print(f"kafkasim {installed('kafkasim')}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        console.print_what_next()


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="a file, or the name of a shipped scenario")],
    set_: SetOption = None,
    seed: SeedOption = None,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="repeat over N seeds, and summarise")] = 1,
    json_: JsonOption = None,
    trace: Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="write what the cluster did, as JSON lines")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="draw the run (.png, .svg, .pdf)")] = None,
    check: CheckOption = False,
    producer_config: ProducerFile = None,
    consumer_config: ConsumerFile = None,
    broker_config: BrokerFile = None,
    topic_config: TopicFile = None,
) -> None:
    """Simulate a scenario and report what was lost, duplicated, reordered and delayed."""
    overlays: Overlays = {"producer": producer_config, "consumer": consumer_config, "broker": broker_config, "topic": topic_config}
    chosen = load(scenario, set_, overlays)
    if runs > 1 and (trace or plot):
        refuse("--trace and --plot show one run: leave --runs out, or use --seed to choose the run")
    outputs = console.Outputs(json_, trace, plot)
    raise typer.Exit(_run_many(chosen, runs, seed, outputs, check) if runs > 1 else _run_once(chosen, seed, outputs, check))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="a scenario, or a report saved with --json")],
    b: Annotated[str, typer.Argument(metavar="B", help="the same, or PATH=VALUE[,PATH=VALUE]: A with these changes")],
    set_: SetOption = None,
    seed: SeedOption = None,
    json_: JsonOption = None,
    check: CheckOption = False,
    producer_config: ProducerFile = None,
    consumer_config: ConsumerFile = None,
    broker_config: BrokerFile = None,
    topic_config: TopicFile = None,
) -> None:
    """Two scenarios, settings or saved reports, side by side."""
    overlays: Overlays = {"producer": producer_config, "consumer": consumer_config, "broker": broker_config, "topic": topic_config}
    changed = "=" in b and not Path(b).exists()
    outputs = console.Outputs(json_, None, None)
    sides = [_side(a, set_, overlays, seed, outputs)]
    sides.append(_side(a, [*(set_ or []), *b.split(",")], overlays, seed, outputs) if changed else _side(b, set_, overlays, seed, outputs))
    outputs.write({"a": sides[0].to_dict(), "b": sides[1].to_dict()}, None, None)
    if not outputs.json_to_stdout:
        console.print_comparison(*sides)
    raise typer.Exit(1 if check and any(side.violated for side in sides) else 0)


app.command()(cli_sweep.sweep)


@app.command()
def replay(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="a file, or the name of a shipped scenario")],
    set_: SetOption = None,
    seed: SeedOption = None,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="repeat N times on one cluster, and summarise")] = 1,
    bootstrap_server: BootstrapOption = None,
    kafka_home: KafkaHomeOption = None,
    command: CommandOption = None,
    json_: JsonOption = None,
    trace: Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="write what the controller decided, as JSON lines")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="draw the run (.png, .svg, .pdf)")] = None,
    check: CheckOption = False,
    producer_config: ProducerFile = None,
    consumer_config: ConsumerFile = None,
    broker_config: BrokerFile = None,
    topic_config: TopicFile = None,
) -> None:
    """Run the same scenario on real brokers: three of its own by default, or yours."""
    overlays: Overlays = {"producer": producer_config, "consumer": consumer_config, "broker": broker_config, "topic": topic_config}
    chosen = load(scenario, set_, overlays)
    if runs > 1 and (trace or plot):
        refuse("--trace and --plot show one run: leave --runs out")
    outputs = console.Outputs(json_, trace, plot)
    with _real_kafka(bootstrap_server, kafka_home, command) as backend:
        if runs > 1:
            raise typer.Exit(_run_many(chosen, runs, seed, outputs, check, backend))
        raise typer.Exit(_run_once(chosen, seed, outputs, check, backend))


@app.command()
def validate(
    names: Annotated[list[str] | None, typer.Argument(metavar="SCENARIO…", help="files, or names of shipped scenarios")] = None,
    set_: SetOption = None,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="real runs of each scenario")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=2, help="simulated runs of each, which span the range")] = 40,
    bootstrap_server: BootstrapOption = None,
    kafka_home: KafkaHomeOption = None,
    command: CommandOption = None,
    json_: JsonOption = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="write the whole comparison as a page")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="draw all comparisons (.png, .svg, .pdf)")] = None,
    record: Annotated[Path | None, typer.Option("--record", metavar="DIR", help="keep each comparison in DIR, as SCENARIO.json")] = None,
    from_: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="what is recorded in DIR, instead of new runs")] = None,
    again: Annotated[bool, typer.Option("--again", help="with --from: simulate once more, and record what comes of it")] = False,
    check: Annotated[bool, typer.Option("--check", help="exit with 1 if a real run contradicts the simulator")] = False,
) -> None:
    """The simulator and real brokers side by side: what agrees, and what does not."""
    from kafkasim.output_files import try_to_write
    from kafkasim.validation_commands import Request, compare_all

    if bool(names) == bool(from_):
        refuse("validate takes scenarios to run, or --from DIR with what was recorded: one of the two")
    if again and not from_:
        refuse("--again simulates what --from DIR has recorded once more: it needs --from")
    if from_ and (set_ or bootstrap_server or kafka_home or command or record):
        refuse("--from shows what is recorded: --set, --record and what says where brokers are belong to new runs")
    outputs = console.Outputs(json_, None, plot)  # it sees to it that the picture can be written
    if markdown is not None:
        try_to_write(markdown)
    scenarios = [load(name, set_, {}) for name in names or []]
    request = Request(scenarios, runs, seeds, markdown, plot, record, from_, again)
    if from_:  # needs no brokers, and so no extra
        raise typer.Exit(compare_all(request, None, outputs, check))
    with _real_kafka(bootstrap_server, kafka_home, command) as backend:
        raise typer.Exit(compare_all(request, backend, outputs, check))


@app.command()
def scenarios() -> None:
    """The library: every shipped scenario and what it shows."""
    console.print_scenarios()


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="a shipped scenario or study, or a file")]) -> None:
    """Print a scenario or a study as it is written."""
    from kafkasim.scenario_file import ScenarioError, find_scenario
    from kafkasim.study.study_file import find_study, shipped_studies

    try:
        text, _ = find_study(name) if name in shipped_studies() else find_scenario(name)
    except ScenarioError as error:
        refuse(error)
    console.print_yaml(text)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario file, for editors."""
    import json

    from kafkasim.scenario import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))


@app.command()
def config(
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="without: every modelled parameter")] = None,
    set_: SetOption = None,
    producer_config: ProducerFile = None,
    consumer_config: ConsumerFile = None,
    broker_config: BrokerFile = None,
    topic_config: TopicFile = None,
) -> None:
    """Every parameter with its default; or a scenario's effective configuration, and where each value came from."""
    if scenario is None:
        console.print_parameters()
        return
    overlays: Overlays = {"producer": producer_config, "consumer": consumer_config, "broker": broker_config, "topic": topic_config}
    console.print_effective(load(scenario, set_, overlays))


def main() -> NoReturn:
    """The entry point: every foreseeable failure is one clear sentence and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("kafkasim: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:  # click's own errors and ours: anything else is raised again
        sys.exit(console.explain_failure(error))
    sys.exit(code or 0)


# ---------------------------------------------------------------------------------------------------- helpers


def _real_kafka(bootstrap_server: str | None, kafka_home: Path | None, commands: list[str] | None) -> RealKafka:
    """The backend on real brokers, which starts nothing before it is needed."""
    try:
        from kafkasim.cluster.real_kafka import RealKafka
    except ImportError:
        refuse("real brokers need the extra `cluster`: pip install 'kafkasim[cluster]'")
    from kafkasim.faults import PROCESS_VERBS
    from kafkasim.values import hint

    given = {}
    for command in commands or []:
        verb, equals, line = command.partition("=")
        if not equals or not line:
            refuse(f"--command {command}: it is written VERB=COMMAND, for example kill='ssh {{node}} pkill -9 -f kafka.Kafka'")
        if verb not in PROCESS_VERBS:
            refuse(f"--command {verb}: there is no such verb{hint(verb, PROCESS_VERBS)}; there are {', '.join(PROCESS_VERBS)}")
        given[verb] = line
    if given and bootstrap_server is None:
        refuse("--command says how to strike your own cluster: it needs --bootstrap-server")
    if bootstrap_server is not None and kafka_home is not None:
        refuse("--bootstrap-server uses your cluster and --kafka-home starts one: give one of the two")
    return RealKafka(bootstrap_server=bootstrap_server, commands=given, kafka_home=kafka_home, say=console.say)


def _run_once(scenario: Scenario, seed: int | None, outputs: console.Outputs, check: bool, backend: RealKafka | None = None) -> int:
    """One run, simulated or real, with everything it was asked to write."""
    from kafkasim import runner
    from kafkasim.trace import Trace

    events = Trace() if outputs.wants_trace else None
    ledgers: list = []  # type: ignore[type-arg]  # of Ledger, which this function only passes on
    with console.progress(scenario.name, quiet=outputs.json_to_stdout) as tick:
        keep = ledgers.append if outputs.wants_picture else None
        report = runner.run(scenario, seed, trace=events, tick=tick, keep=keep, backend=backend)
    outputs.write(report.to_dict(), events, (report, ledgers[0]) if ledgers else None)
    if not outputs.json_to_stdout:
        console.print_report(report)
    return _verdict(scenario, [report], check, outputs)


def _run_many(
    scenario: Scenario, runs: int, seed: int | None, outputs: console.Outputs, check: bool, backend: RealKafka | None = None
) -> int:
    """Repeat over seeds. Interrupted, what was finished is kept: printed, and written where --json says."""
    from kafkasim.report import summarise
    from kafkasim.runner import run_many

    reports: list[Report] = []
    interrupted = False
    with console.progress(scenario.name, quiet=outputs.json_to_stdout) as tick:
        try:
            reports.extend(run_many(scenario, runs, seed, tick, backend))
        except KeyboardInterrupt:
            interrupted = True
    if not reports:
        return 130
    summary: Summary = summarise(reports)
    outputs.write({"runs": [report.to_dict() for report in reports], "summary": summary.to_dict()}, None, None)
    if not outputs.json_to_stdout:
        console.print_summary(summary)
    return 130 if interrupted else _verdict(scenario, reports, check, outputs)


def _side(name: str, changes: list[str] | None, overlays: Overlays, seed: int | None, outputs: console.Outputs) -> Report:
    """One side of a comparison: a saved report is read, a scenario is run."""
    from kafkasim.report import Report
    from kafkasim.runner import run as run_once
    from kafkasim.scenario_file import ScenarioError

    if name.endswith(".json"):
        if changes or seed is not None or any(overlays.values()):
            refuse(f"{name} is a saved report: no setting of it can be changed; name a scenario instead")
        try:
            return Report.load(Path(name))
        except ScenarioError as error:
            refuse(error)
    scenario = load(name, changes, overlays)
    with console.progress(scenario.name, quiet=outputs.json_to_stdout) as tick:
        return run_once(scenario, seed, tick=tick)


def _verdict(scenario: Scenario, reports: list[Report], check: bool, outputs: console.Outputs) -> int:
    """Under --check: 1 if any run broke a promise or missed what the scenario expects."""
    if not check:
        return 0
    # What the author expects, he expects of the scenario as he wrote it.
    sentences = [] if scenario.changes else scenario.missed_expectations([report.to_dict() for report in reports])
    for sentence in sentences:
        print(f"kafkasim: {sentence}", file=sys.stderr if outputs.json_to_stdout else sys.stdout)
    return 1 if sentences or any(report.violated for report in reports) else 0
