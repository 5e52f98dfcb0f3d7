"""The simulator is held to real brokers: one real run of a scenario is one draw, and has to lie within what many seeds span."""

import io
import warnings

import pytest
from cluster.draws import may_be_drawn_again
from rich.console import Console

from kafkasim import Scenario
from kafkasim.cluster.real_kafka import RealKafka
from kafkasim.validation_page import print_comparison
from kafkasim.validation_rows import Comparison
from kafkasim.validator import validate

SEEDS = 30

# A group that comes when everything is in the log polls 500 records each time, on a busy machine as on an idle one.
LATE = {"consumers.billing.start": "2s", "consumers.billing.config.auto.offset.reset": "earliest"}

# Scenarios that can share a cluster stand beside one another. Both flavours, all commit modes, the spool, both flag stores.
SCENARIOS = [
    ("zombie-leader", {}),
    ("acks-all-leader-crash", {}),
    ("commit-after", LATE),
    ("commit-before", LATE),
    ("auto-commit-librdkafka", {}),
    ("lost-responses-idempotent", {}),
    ("worker-threads-contiguous", {}),
    ("dedup-mark-last", {"consumers.billing.dedup": "redis"}),
    ("dedup-transaction", {}),
    ("librdkafka-defaults", {}),
    ("spool-survives-crash", {}),
    ("reassignment-grows", {}),
    ("idempotent-restart", {}),
]

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize(("name", "changes"), SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_a_real_run_lies_within_what_the_simulator_spans(real_kafka: RealKafka, name: str, changes: dict[str, object]) -> None:
    scenario = Scenario.load(name)
    scenario = scenario.with_(changes) if changes else scenario
    drawn: list[Comparison] = []
    while not drawn or (not drawn[-1].agrees and may_be_drawn_again(drawn)):
        drawn.append(validate(scenario, real_kafka, runs=1, seeds=SEEDS).comparison())
    told = "\n".join(map(as_text, drawn))
    assert drawn[-1].agrees, told
    if drawn[:-1]:
        warnings.warn(f"only draw {len(drawn)} agrees:\n{told}", stacklevel=1)


def as_text(comparison: Comparison) -> str:
    paper = io.StringIO()
    print_comparison(comparison, Console(file=paper, width=120))
    return paper.getvalue()
