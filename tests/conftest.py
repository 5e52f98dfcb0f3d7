"""Makes tests/ importable, starts a Redis, looks for forgotten folders, and keeps benchmarks away from parallel workers."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under `pytest -n`, benchmarks are left out: beside busy workers they would measure those. Plain `pytest` runs everything."""
    if not hasattr(config, "workerinput"):
        return
    measuring = [item for item in items if item.get_closest_marker("benchmark")]
    config.hook.pytest_deselected(items=measuring)
    items[:] = [item for item in items if item not in measuring]


@pytest.fixture(scope="session", autouse=True)
def no_temporary_folder_survives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything temporary of this session lies in one place; at its end nothing of ours may be left there."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        yield
    until = time.monotonic() + 60.0  # whoever cleans up after a process that was killed takes its time
    while (left := sorted(folder.glob("kafkasim-*"))) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis of the test run's own, on a unix socket; skips with the reason where there is none."""
    pytest.importorskip("redis", reason="the redis package is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until = time.monotonic() + 60.0
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.01)
        yield f"unix://{socket}"
        server.terminate()
