"""Every pasted output, number and list of the documentation is what its command gives today."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from blocks import (
    BLOCKS,
    PICTURE,
    ROOT,
    STUDY_PICTURES,
    kafkasim,
    names_of_blocks,
    read_block,
    study,
    study_picture_path,
    with_block,
    without_blocks,
)
from matplotlib.image import imread

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize(("path", "name"), BLOCKS, ids=lambda part: part)
def test_the_block_is_what_its_command_writes(path: str, name: str) -> None:
    assert read_block(path, name) == BLOCKS[path, name](), "run `python tests/docs/refresh.py`, and read the difference"


def test_every_block_has_its_writer() -> None:
    there = {(path.relative_to(ROOT).as_posix(), name) for path in DOCUMENTS for name in names_of_blocks(path.read_text(encoding="utf-8"))}
    assert there == set(BLOCKS)


def test_an_edited_block_would_be_seen() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_block(text, "run", "0 lost") != text
    assert with_block(text, "run", read_block("README.md", "run")) == text


def coarse(path: Path) -> np.ndarray:
    """The picture in cells of 20 by 20 pixels: what it shows, whatever fonts it is written with."""
    pixels = imread(path)[..., :3]
    height, width = (side // 20 * 20 for side in pixels.shape[:2])
    return pixels[:height, :width].reshape(height // 20, 20, width // 20, 20, 3).mean(axis=(1, 3))


def test_the_picture_is_that_of_its_command(tmp_path: Path) -> None:
    assert kafkasim("run", "zombie-leader", "--plot", str(tmp_path / "now.png")).returncode == 0
    assert coarse(tmp_path / "now.png").shape == coarse(ROOT / PICTURE).shape
    assert np.abs(coarse(tmp_path / "now.png") - coarse(ROOT / PICTURE)).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDY_PICTURES)
def test_the_picture_of_a_study_is_that_of_its_command(kind: str, tmp_path: Path) -> None:
    (tmp_path / "now.png").write_bytes(study(kind)[1])
    there = coarse(ROOT / study_picture_path(kind))
    assert coarse(tmp_path / "now.png").shape == there.shape
    assert np.abs(coarse(tmp_path / "now.png") - there).mean() < 0.01


def test_another_runs_picture_would_be_seen(tmp_path: Path) -> None:
    assert kafkasim("run", "zombie-leader", "--set", "faults.zombie.for=4s", "--plot", str(tmp_path / "other.png")).returncode == 0
    other = coarse(tmp_path / "other.png")
    assert other.shape != coarse(ROOT / PICTURE).shape or np.abs(other - coarse(ROOT / PICTURE)).mean() > 0.01


# ---------------------------------------------------------------------------------------------------- links, paths, commands


def broken_links(document: Path, text: str) -> Iterator[str]:
    """Relative links, and files named in code spans, that are not there."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http") and not (document.parent / target).exists():
            yield f"{document.name}: {target}"
    for name in re.findall(r"`((?:kafkasim|tests|docs|notebooks|\.ci)/[\w./-]*)`", text):
        if not (ROOT / name).exists():
            yield f"{document.name}: {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_to_is_there(document: Path) -> None:
    assert list(broken_links(document, document.read_text(encoding="utf-8"))) == []


def test_a_broken_link_would_be_seen() -> None:
    assert list(broken_links(ROOT / "README.md", "see [this](docs/NOWHERE.md) and `kafkasim/nothing.py`")) == [
        "README.md: docs/NOWHERE.md",
        "README.md: kafkasim/nothing.py",
    ]


def files_of(text: str) -> dict[str, str]:
    """Code blocks that are files: ```yaml pause.yaml"""
    return dict(re.findall(r"```\w+ ([\w.-]+)\n(.*?)```", text, flags=re.DOTALL))


def commands_of(text: str) -> list[list[str]]:
    """The arguments of each `kafkasim …` of the code blocks for a shell."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    return [line[1:] for line in lines if line[:1] == ["kafkasim"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_works_with_the_files_it_shows(document: Path, tmp_path: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for name, content in files_of(text).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    finished = [(command, kafkasim(*command, where=tmp_path)) for command in commands_of(text)]
    assert [(command, each.stderr) for command, each in finished if each.returncode] == []


def test_the_readme_has_commands_and_files_to_try() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(commands_of(text)) >= 5
    assert len(files_of(text)) >= 2


# ---------------------------------------------------------------------------------------------------- numbers in prose

EXPLAINED = (  # phrases with a number that is no measurement, and what vouches for it
    r"Python 3\.11",  # pyproject's requires-python: test_readme.py
    r"Kafka 4\.1(\.1)?",  # the profile
    r"acks=[01]",
    r"RF [0-9]",
    r"KIP-\d+",
    r"KAFKA-\d+",
    r"^\| `\d+` \|",  # the table of exit codes: test_readme.py
    r"YAML 1\.2",
    r"95 %",
)


def unexplained_numbers(text: str) -> list[str]:
    """Numbers that people wrote into the prose, and that no command would correct."""
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", without_blocks(text).replace("| `", "| §").replace("` |", "§ |"))
    for phrase in EXPLAINED:
        prose = re.sub(phrase.replace("`", "§"), "", prose, flags=re.MULTILINE)
    return re.findall(r"\d[\d.,]*", prose)


def test_the_readme_has_no_number_that_no_command_prints() -> None:
    assert unexplained_numbers((ROOT / "README.md").read_text(encoding="utf-8")) == []


def test_a_number_by_hand_would_be_seen() -> None:
    assert unexplained_numbers("It loses 3000 of 5,000 records with acks=1.") == ["3000", "5,000"]
