"""The parts of the documentation that commands write: every pasted output, every measured number, every list taken from the code.

    <!-- begin: NAME -->  …  <!-- end: NAME -->

`BLOCKS` says of each which function writes it. refresh.py writes them all; test_blocks.py compares them with what is there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

from catalogue import beyond_as_markdown, rows_as_markdown
from simplified import as_markdown, shortcuts

ROOT = Path(__file__).parent.parent.parent
PICTURE = "docs/images/zombie-leader.png"
SAFE = "producers.shop.config.acks=all"


def kafkasim(*arguments: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line as somebody would whose output goes into a file: no colours, 100 columns."""
    environment = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"}}
    command = [sys.executable, "-m", "kafkasim", *arguments]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


@cache
def output(*arguments: str) -> str:
    """What a command prints, without trailing blanks. Fails where the command does."""
    finished = kafkasim(*arguments)
    assert finished.returncode == 0, finished.stderr
    return "\n".join(line.rstrip() for line in finished.stdout.strip("\n").splitlines())


STUDY_PICTURES: dict[str, tuple[str, ...]] = {
    "curve": ("zombie-window",),
    "trade-off": ("safety-and-price",),
    "small-multiples": ("five-settings", "--where", "request.timeout.ms == 1000", "--runs", "4"),
    "heatmap": ("five-settings", "--where", "request.timeout.ms == 1000 and min.insync.replicas == 1 and acks == 1", "--runs", "6"),
    "parallel": ("five-settings", "--design", "sobol", "--points", "128", "--runs", "4"),
    "sensitivity": ("five-settings", "--design", "saltelli", "--points", "64", "--runs", "4"),
}


@cache
def study(kind: str) -> tuple[str, bytes]:
    """What a study of the guide prints, and its picture (PNG)."""
    with TemporaryDirectory() as folder:
        finished = kafkasim("sweep", *STUDY_PICTURES[kind], "--quiet", "--plot", f"{kind}:picture.png", where=Path(folder))
        assert finished.returncode == 0, finished.stderr
        return "\n".join(line.rstrip() for line in finished.stdout.strip("\n").splitlines()), (Path(folder) / "picture.png").read_bytes()


def study_picture_path(kind: str) -> str:
    """Where the guide keeps it."""
    return f"docs/images/study-{kind}.png"


def study_session(kind: str) -> str:
    """The command of a study and what it prints."""
    return f"```text\n$ kafkasim sweep {shlex.join(STUDY_PICTURES[kind])} --plot {kind}:{kind}.png\n\n{study(kind)[0]}\n```"


def study_picture(kind: str) -> str:
    """The picture with the command that draws it."""
    command = f"kafkasim sweep {shlex.join(STUDY_PICTURES[kind])} --plot {kind}:{kind}.png"
    return f"```text\n{command}\n```\n\n![{kind}](../images/study-{kind}.png)"


def session(*arguments: str) -> str:
    """A command and what it prints, as a block of text."""
    return f"```text\n$ kafkasim {' '.join(arguments)}\n\n{output(*arguments)}\n```"


@cache
def report(*arguments: str) -> dict[str, Any]:
    """The report of `kafkasim run …` as JSON."""
    document: dict[str, Any] = json.loads(output("run", *arguments, "--json", "-"))
    return document


def number(value: float) -> str:
    """5000 as 5,000."""
    return f"{value:,.0f}"


def filled(paragraph: str) -> str:
    """A paragraph in lines as long as the README's."""
    return fill(paragraph, 138)


# ---------------------------------------------------------------------------------------------------- the blocks


def picture() -> str:
    """The picture, with its message for those who cannot see it."""
    return f"![{report('zombie-leader')['headline']}]({PICTURE})"


def what_happened() -> str:
    """The story of the picture, in numbers of the run."""
    run = report("zombie-leader")
    fault = run["faults_applied"][0]
    cut, healed = fault["fired"] / 1000, fault["ended"] / 1000
    return filled(
        f"A producer sends {number(run['sent'])} records with acks=1. After {cut:.0f} s the leader is cut off from the other brokers and "
        f"from the controller, for {healed - cut:.0f} s, but not from its clients. It goes on acknowledging: {number(run['acked'])} sends "
        f"are reported as successful, and {number(run['acked_lost'])} of these records are in no log afterwards. Nobody was told."
    )


def what_it_costs() -> str:
    """The comparison in a sentence."""
    bold, safe = report("zombie-leader"), report("zombie-leader", "--set", SAFE)
    return filled(
        f"With acks=all {number(safe['acked_lost'])} of them are lost, and the price is waiting: for {safe['unavailable_ms'] / 1000:.1f} s "
        f"nobody got an acknowledgement ({bold['unavailable_ms'] / 1000:.1f} s before), and the slowest record took "
        f"{number(safe['latency_ms']['max'])} ms from send to ack instead of {number(bold['latency_ms']['max'])} ms."
    )


def layers(contract: str) -> str:
    """A contract of import-linter as a drawing: a line a layer, highest first."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = next(each for each in document["tool"]["importlinter"]["contracts"] if each.get("id") == contract)
    names: list[str] = found["layers"]
    return "```text\n" + "\n".join(f"  {name.replace(' | ', '   ')}" for name in names) + "\n```"


def library() -> str:
    """The shipped scenarios."""
    return f"```text\n$ kafkasim scenarios\n\n{output('scenarios')}\n```"


BLOCKS: dict[tuple[str, str], Callable[[], str]] = {
    ("README.md", "picture"): picture,
    ("README.md", "what-happened"): what_happened,
    ("README.md", "run"): lambda: session("run", "zombie-leader"),
    ("README.md", "compare"): lambda: session("compare", "zombie-leader", SAFE),
    ("README.md", "what-it-costs"): what_it_costs,
    ("README.md", "scenarios"): library,
    ("docs/ARCHITECTURE.md", "rooms"): lambda: layers("rooms"),
    ("docs/ARCHITECTURE.md", "protocol"): lambda: layers("protocol"),
    ("docs/ARCHITECTURE.md", "simulator"): lambda: layers("simulator"),
    ("docs/ARCHITECTURE.md", "cluster"): lambda: layers("cluster"),
    ("docs/CATALOGUE.md", "catalogue"): rows_as_markdown,
    ("docs/CATALOGUE.md", "beyond"): beyond_as_markdown,
    ("docs/ARCHITECTURE.md", "study"): lambda: layers("study"),
    ("docs/ARCHITECTURE.md", "plots"): lambda: layers("plots"),
    ("docs/guide/studies.md", "zombie-window"): lambda: study_session("curve"),
    ("docs/guide/studies.md", "curve"): lambda: "![curve](../images/study-curve.png)",
    **{("docs/guide/studies.md", kind): partial(study_picture, kind) for kind in STUDY_PICTURES if kind != "curve"},
    ("docs/FIDELITY.md", "simplified"): lambda: as_markdown(shortcuts()),
}


# ---------------------------------------------------------------------------------------------------- reading and writing


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- begin: {re.escape(name)} -->\n)(.*?)(\n?<!-- end: {re.escape(name)} -->)", re.DOTALL)


def read_block(path: str, name: str) -> str:
    """What stands between the marks."""
    found = _pattern(name).search((ROOT / path).read_text(encoding="utf-8"))
    assert found, f"{path} has no block {name}"
    return found[2]


def with_block(text: str, name: str, content: str) -> str:
    """The text with the block's content replaced."""
    assert _pattern(name).search(text), f"there is no block {name}"
    return _pattern(name).sub(lambda found: f"{found[1]}{content}\n{found[3].lstrip()}", text)


def without_blocks(text: str) -> str:
    """What people wrote themselves: neither blocks nor code."""
    text = re.sub(r"<!-- begin: ([\w-]+) -->.*?<!-- end: \1 -->", "", text, flags=re.DOTALL)
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def names_of_blocks(text: str) -> list[str]:
    """The blocks of a text, in order."""
    return re.findall(r"<!-- begin: ([\w-]+) -->", text)
