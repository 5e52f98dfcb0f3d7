"""The Python of the guide runs: each page's blocks are one file of tests, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import ROOT

PAGES = sorted((ROOT / "docs" / "guide").glob("*.md"))


def python_of(text: str) -> str:
    """All blocks of Python, as one file."""
    return "\n\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    source = python_of(page.read_text(encoding="utf-8"))
    if not source:
        pytest.skip("a page without Python")
    (tmp_path / "test_page.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(tmp_path), str(tmp_path)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_guide_has_python_to_run() -> None:
    assert any("def test_" in python_of(page.read_text(encoding="utf-8")) for page in PAGES)
