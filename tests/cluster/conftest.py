"""Real brokers for tests marked `kafka`. Without Java or Maven these are skipped with the reason; where CI is set, they fail instead."""

import os
from collections.abc import Iterator
from functools import cache

import pytest

pytest.importorskip("confluent_kafka", reason="the extra `cluster` is not installed")

from kafkasim.cluster.errors import ClusterError
from kafkasim.cluster.jars import distribution
from kafkasim.cluster.real_kafka import RealKafka


@cache
def why_not() -> str:
    """Why there can be no real brokers on this machine, or ""."""
    try:
        distribution(None, lambda _: None)
    except ClusterError as error:
        return str(error)
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") and (reason := why_not()):
        if os.environ.get("CI"):
            pytest.fail(f"real brokers are required here: {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def real_kafka() -> Iterator[RealKafka]:
    """The backend on brokers of its own, which the tests of a session share as far as they can."""
    with RealKafka() as backend:
        yield backend
