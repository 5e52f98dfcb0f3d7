"""`dedup: redis` end to end: a real server keeps the flags as SQLite and memory do, and one that is not there is said in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kafkasim.ledger import Ledger
from kafkasim.runner import run
from kafkasim.scenario import Scenario

DEDUP, URL = "consumers.billing.dedup", "consumers.billing.dedup.url"


def digest(changes: dict[str, object], seed: int) -> tuple[str, dict[str, int]]:
    ledgers: list[Ledger] = []
    report = run(Scenario.load("dedup-mark-last").with_(changes), seed, keep=ledgers.append)
    return ledgers[0].digest(), report.to_dict()["groups"]["billing"]


@pytest.mark.parametrize("seed", [1, 2])
def test_flags_in_a_real_redis_give_the_very_same_run_as_in_sqlite_and_in_memory(redis_url: str, seed: int) -> None:
    in_redis, counts = digest({DEDUP: "redis", URL: redis_url}, seed)
    assert counts["reprocessed"] > 0, "the flags were needed"
    assert in_redis == digest({DEDUP: "sqlite"}, seed)[0]
    assert in_redis == digest({DEDUP: "redis"}, seed)[0]  # without a URL: in memory


def test_a_run_leaves_nothing_behind_in_the_server(redis_url: str) -> None:
    redis = pytest.importorskip("redis", reason="the redis package is not installed")
    digest({DEDUP: "redis", URL: redis_url}, 1)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_redis_that_is_not_there_is_said_in_one_sentence_with_exit_code_2(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="the redis package is not installed")
    url = f"unix://{tmp_path / 'nobody.sock'}"
    command = [sys.executable, "-m", "kafkasim", "run", "dedup-mark-last", "--set", f"{DEDUP}=redis", "--set", f"{URL}={url}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    said = " ".join(done.stderr.split())
    assert "The Redis server at unix://" in said
    assert "cannot be used" in said
    assert "Traceback" not in said
