"""The core that .compile/compile_core.py compiles plays the same runs as pure Python, number for number, and plays them faster."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / ".compile"))

from compile_core import HOT  # noqa: E402 - it is no part of the package

SCENARIOS = ("zombie-leader", "auto-commit-librdkafka", "rolling-bounce", "dedup-mark-last", "idempotent-leader-change", "unclean-election")
DIGESTS = f"""
from kafkasim import Scenario, run
for name in {SCENARIOS!r}:
    run(Scenario.load(name), 1, keep=lambda ledger: print(name, ledger.digest()))
"""
WATCHED = """
from kafkasim import Scenario
from kafkasim.simulator.watched import WatchedSimulator
print(WatchedSimulator().run(Scenario.load("zombie-leader"), 1).digest())
"""
SECONDS = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from speed import played, steady
played(steady(10, 100))
print(min(played(steady(10, 3000))[2] for _ in range(3)))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("cc") or not find_spec("mypyc") or not find_spec("setuptools"), reason="needs mypyc and a C compiler"
    ),
]


def output(program: str, package_in: Path) -> str:
    """What a Python of its own prints, which takes the package from there: `-c` looks first in the folder where it is called."""
    return subprocess.run([sys.executable, "-c", program], cwd=package_in, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    subprocess.run([sys.executable, ROOT / ".compile" / "compile_core.py", folder], capture_output=True, check=True)
    return folder


def test_the_hot_modules_are_machine_code(compiled: Path) -> None:
    missing = []
    for package, names in HOT.items():
        missing += [name for name in names if not list((compiled / package).glob(f"{name}.*.so"))]
    assert missing == []
    assert output("import kafkasim.protocol.broker as broker; print(broker.__file__)", compiled).strip().endswith(".so")


def test_it_writes_the_same_ledgers(compiled: Path) -> None:
    expected = output(DIGESTS, ROOT)
    assert expected.count("\n") == len(SCENARIOS)
    assert output(DIGESTS, compiled) == expected


def test_a_compiled_run_can_be_watched(compiled: Path) -> None:
    assert output(WATCHED, compiled) == output(WATCHED, ROOT)


def test_it_is_at_least_twice_as_fast(compiled: Path) -> None:
    ratios = [float(output(SECONDS, ROOT)) / float(output(SECONDS, compiled)) for _ in range(2)]
    assert max(ratios) >= 2  # measured: 3.0 to 3.3


def test_nothing_compiled_is_left_among_the_sources(compiled: Path) -> None:
    assert not [path for path in (ROOT / "kafkasim").rglob("*") if path.suffix in {".so", ".pyd"}]
    assert (compiled / "kafkasim" / "protocol" / "broker.py").read_text() == (ROOT / "kafkasim" / "protocol" / "broker.py").read_text()
