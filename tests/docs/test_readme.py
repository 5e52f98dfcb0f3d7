"""The README's promises that are no pasted output: its two commands, its exit codes, its lines of Python."""

import doctest
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from blocks import ROOT, kafkasim

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
INSTALL_AND_RUN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/kafkasim run zombie-leader"
INSTALL_AND_TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_the_two_commands_are_the_readmes_first() -> None:
    assert re.findall(r"```bash\n(.*?)\n```", README, flags=re.DOTALL)[:2] == [INSTALL_AND_RUN, INSTALL_AND_TEST]


def test_ci_calls_the_readmes_test_command() -> None:
    assert INSTALL_AND_TEST in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_python_it_asks_for_is_the_projects() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert set(re.findall(r"Python ([\d.]+\d)", README)) == {"3.11"}


def test_exit_codes_are_the_tables(tmp_path: Path) -> None:
    table = dict(re.findall(r"^\| `(\d+)` \| (.*?) \|$", README, flags=re.MULTILINE))
    assert set(table) == {"0", "1", "2", "130"}
    assert kafkasim("run", "calm").returncode == 0
    assert kafkasim("run", "calm", "--check").returncode == 0
    (tmp_path / "hopeful.yaml").write_text((ROOT / "kafkasim/scenarios/calm.yaml").read_text() + "\nsometimes: {acked_lost: '> 0'}\n")
    assert kafkasim("run", str(tmp_path / "hopeful.yaml"), "--check").returncode == 1
    refused = kafkasim("run", "no-such-scenario")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_interrupted_is_130() -> None:
    """Ctrl-C in the middle of many runs."""
    program = (
        "import kafkasim.runner, sys\n"
        "def interrupted(*a, **k): raise KeyboardInterrupt\n"
        "kafkasim.runner.run = interrupted\n"
        "sys.argv = ['kafkasim', 'run', 'calm']\n"
        "from kafkasim.cli import main\nmain()"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, "Traceback" in finished.stderr) == (130, False)


def test_its_python_does_what_it_shows() -> None:
    example = doctest.DocTestParser().get_doctest(README.split("```python\n")[1].split("```")[0], {}, "README.md", "README.md", 0)
    assert doctest.DocTestRunner(verbose=False).run(example) == (0, len(example.examples))
    assert len(example.examples) >= 3
