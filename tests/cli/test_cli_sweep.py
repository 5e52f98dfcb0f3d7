"""`kafkasim sweep` as a user meets it: one command and one picture, wrong inputs in one sentence each, and nothing lost."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LENGTHS = (
    "sweep",
    "zombie-leader",
    "--set",
    "producers.shop.records=300",
    "--set",
    "producers.shop.rate=60",
    "--vary",
    "faults.zombie.for=1s,4s",
)


def kafkasim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "kafkasim", *arguments], capture_output=True, text=True, cwd=cwd, check=False)


def test_one_command_gives_a_table_a_picture_and_rows_that_can_be_repeated(tmp_path: Path) -> None:
    done = kafkasim(
        *LENGTHS, "--runs", "3", "--out", "kept", "--plot", "curve:cut.png", "--plot", "cut.svg", "--json", "cut.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "At 1 of 2 points no run lost records in silence" in done.stdout
    assert (tmp_path / "cut.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "cut.svg").read_text()
    points = json.loads((tmp_path / "cut.json").read_text())["points"]
    assert [(point["runs"], point["safe"]) for point in points] == [(3, True), (3, False)]
    with (tmp_path / "kept/results.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert (row["point"], row["run"], row["seed"], row["faults.zombie.for"]) == ("1", "2", "3", "4s")
    again = kafkasim(*shlex.split(row["command"])[1:], "--json", "-", cwd=tmp_path)
    assert json.loads(again.stdout)["acked_lost"] == int(row["acked_lost"]) > 0


def test_two_machines_share_a_study_and_one_of_them_merges(tmp_path: Path) -> None:
    whole = kafkasim(*LENGTHS, "--runs", "2", "--out", "whole", "--jobs", "1", "--quiet", cwd=tmp_path)
    for part in ("1/2", "2/2"):
        assert kafkasim(*LENGTHS, "--runs", "2", "--out", part[0], "--part", part, "--jobs", "1", cwd=tmp_path).returncode == 0
    assert (
        "1 of 2 points have no run yet" in kafkasim(*LENGTHS, "--runs", "2", "--out", "1", "--part", "1/2", "--resume", cwd=tmp_path).stdout
    )
    merged = kafkasim(*LENGTHS, "--runs", "2", "--out", "1", "--merge", "2", cwd=tmp_path)
    assert (whole.returncode, merged.returncode) == (0, 0)
    assert "2 rows were new here" in merged.stderr
    assert (tmp_path / "1/results.csv").read_bytes() == (tmp_path / "whole/results.csv").read_bytes()
    assert merged.stdout == whole.stdout


def test_parquet_and_csv_are_the_same_table(tmp_path: Path) -> None:
    from pyarrow import parquet

    assert kafkasim(*LENGTHS, "--runs", "2", "--out", "kept", "--parquet", "--quiet", cwd=tmp_path).returncode == 0
    with (tmp_path / "kept/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "kept/results.parquet")
    assert table.column_names == list(rows[0])
    assert [str(value) for value in table["acked_lost"].to_pylist()] == [row["acked_lost"] for row in rows]


@pytest.mark.parametrize("point", ["silent_loss", "violated"])
def test_check_looks_at_broken_promises_only(tmp_path: Path, point: str) -> None:
    done = kafkasim(*LENGTHS, "--runs", "1", "--check", "--quiet", "--measure", point, cwd=tmp_path)
    assert done.returncode == 0  # acks=1 promises nothing when a leader fails


FEW = ("--vary", "faults.zombie.for=1s,4s", "--runs", "1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("zombie-leader",), "varies nothing; an axis is written like --vary producers.shop.config.acks=1,all"),
        (("zombie-leader", "--vary", "producers.shop.config.acks=1,al"), "acks: the level `al` is refused at every point"),
        (("zombie-leader", "--vary", "faults.zombi.for=1s"), "there is no `faults.zombi.for`; did you mean `faults.zombie.for`?"),
        (("zombie-leader", "--vary", "faults.zombie.for=9s..1s/2s"), "holds nothing: the low end comes first"),
        (("zombie-leader", "--vary", "seed=1,2"), "`seed` is no axis"),
        (("zombie-leader", *FEW, "--where", "zombie.for > 9s"), "no point is left: 2 of 2 do not meet `zombie.for > 9s`"),
        (
            (
                *("zombie-leader", "--vary", "faults.zombie.for=1s..1000s/1s"),
                *("--vary", "producers.shop.rate=1..1000/1", "--vary", "producers.shop.records=1..1000/1"),
            ),
            "the grid has 1 000 000 000 points",
        ),
        (("zombie-leader", *FEW, "--out", "file/kept"), "the folder file/kept cannot be made: Not a directory"),
        (("zombie-leader", *FEW, "--out", "file"), "file is a file; a sweep keeps its results in a folder"),
        (("zombie-windw",), "neither a file nor a shipped scenario or study of that name; did you mean `zombie-window`?"),
        (("zombie-window", "--vary", "faults.zombie.at=1s"), "zombie-window: is a study, which has axes of its own"),
        (("zombie-window", "--points", "8"), "it needs a design, as sobol"),
        (("zombie-window", "--where", "zombi.for > 1s"), "--where: the constraint `zombi.for > 1s` names `zombi.for`"),
        (("zombie-leader", *FEW, "--design", "sobl"), "`sobl` is not a design; did you mean `sobol`?"),
        (("zombie-leader", *FEW, "--until", "failing(los) >= 3"), "`los` is nothing that a run measures; did you mean `loss`?"),
        (("zombie-leader", *FEW, "--measure", "acked_los"), "did you mean `acked_lost`?"),
        (("zombie-leader", *FEW, "--plot", "kurve:x.png"), "no picture of the kind `kurve`; did you mean `curve`?"),
        (("zombie-leader", *FEW, "--plot", "x.jpg"), "a picture's name ends in .png, .svg or .pdf"),
        (("zombie-leader", *FEW, "--plot", "heatmap:x.png"), "`heatmap` needs at least 2 axes that vary"),
        (("zombie-leader", *FEW, "--part", "3/2", "--out", "kept"), "--part 3/2: it is written I/N"),
        (("zombie-leader", *FEW, "--resume"), "they need --out DIR"),
        (("zombie-leader", *FEW, "--jobs", "2", "--dask", "tcp://here:1"), "give one of the two"),
        (("zombie-leader", *FEW, "--dask", "here"), "here is no address of a dask scheduler; one is written like tcp://host:8786"),
        (("zombie-leader", *FEW, "--merge", "nowhere", "--out", "kept"), "nowhere: holds no results of a sweep"),
    ],
)
def test_a_wrong_request_gets_one_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "file").write_text("")
    done = kafkasim("sweep", *arguments, "--quiet", cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_rows_of_another_study_or_without_resume_are_left_alone(tmp_path: Path) -> None:
    assert kafkasim(*LENGTHS, "--runs", "1", "--out", "kept", "--quiet", cwd=tmp_path).returncode == 0
    before = (tmp_path / "kept/results.jsonl").read_bytes()
    again = kafkasim(*LENGTHS, "--runs", "1", "--out", "kept", cwd=tmp_path)
    other = kafkasim("sweep", "calm", "--vary", "producers.shop.config.acks=1,all", "--out", "kept", "--resume", cwd=tmp_path)
    assert "go on with --resume, or choose another folder" in again.stderr
    assert "kept: holds the results of another study" in other.stderr
    assert (again.returncode, other.returncode) == (2, 2)
    assert (tmp_path / "kept/results.jsonl").read_bytes() == before
