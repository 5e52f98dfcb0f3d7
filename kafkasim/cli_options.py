"""The options that several commands share, how a scenario is loaded by them, and how a command refuses what it was given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from kafkasim import console

if TYPE_CHECKING:
    from kafkasim.scenario import Scenario

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="change one value of the scenario; repeatable, the last word wins")
]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="another seed than the scenario's own")]
JsonOption = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="write the report as JSON; - prints it, and nothing else")]
CheckOption = Annotated[bool, typer.Option("--check", help="exit with 1 if a promise was broken or an expectation missed")]
ProducerFile = Annotated[
    Path | None, typer.Option("--producer-config", metavar="FILE", help="a producer's .properties, laid over every producer")
]
ConsumerFile = Annotated[
    Path | None, typer.Option("--consumer-config", metavar="FILE", help="a consumer's .properties, laid over every group")
]
BrokerFile = Annotated[Path | None, typer.Option("--broker-config", metavar="FILE", help="a server.properties, laid over the cluster")]
TopicFile = Annotated[Path | None, typer.Option("--topic-config", metavar="FILE", help="a topic's .properties, laid over every topic")]

BootstrapOption = Annotated[
    str | None, typer.Option("--bootstrap-server", metavar="HOST:PORT", help="your own cluster instead of brokers started here")
]
KafkaHomeOption = Annotated[
    Path | None, typer.Option("--kafka-home", metavar="DIR", help="start brokers from this distribution, not from jars that Maven fetches")
]
CommandOption = Annotated[
    list[str] | None,
    typer.Option(
        "--command",
        metavar="VERB=COMMAND",
        help="how to kill, start, stop, pause or resume a broker of yours; {node} and {id} are filled in",
    ),
]

Overlays = dict[Literal["producer", "consumer", "broker", "topic"], Path | None]


def load(name: str, changes: list[str] | None, overlays: Overlays) -> Scenario:
    """The scenario with its overlays and changes, or the end of the program with every problem in it."""
    from kafkasim.scenario import Scenario
    from kafkasim.scenario_file import ScenarioError

    try:
        return lay_over(Scenario.load(name), changes, overlays)
    except ScenarioError as error:
        refuse(error)


def lay_over(scenario: Scenario, changes: list[str] | None, overlays: Overlays) -> Scenario:
    """The scenario with .properties files laid over it and then every `--set`. Raises ScenarioError."""
    from kafkasim.scenario_file import parse_assignment, read_properties

    for kind, path in overlays.items():
        if path is not None:
            scenario = scenario.overlay(kind, read_properties(path), str(path))
    assignments = dict[str, Any]()
    for change in changes or []:
        place, value = parse_assignment(change)
        assignments.pop(place, None)  # the last word stands last: after whatever was said of a place around it meanwhile
        assignments[place] = value
    return scenario.with_(assignments) if assignments else scenario


def refuse(problem: object) -> NoReturn:
    """End the program, with one sentence a line on stderr, and 2."""
    console.complain(str(problem))
    raise typer.Exit(2)
