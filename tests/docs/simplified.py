"""Every `Simplified:` of the code: the sentences of docstrings and comments that own up to a shortcut against Kafka, by module.

python tests/docs/simplified.py        prints them as docs/FIDELITY.md lists them
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Shortcut(NamedTuple):
    """One sentence (and what explains it, to the end of its paragraph), on one line; instead of `Simplified:` the function it is about."""

    module: str
    sentence: str


@cache
def shortcuts() -> tuple[Shortcut, ...]:
    """All of them, by module, in the order in which they stand there."""
    return tuple(
        Shortcut(path.relative_to(ROOT / "kafkasim").as_posix(), sentence)
        for path in sorted((ROOT / "kafkasim").rglob("*.py"))
        for sentence in sentences(path.read_text(encoding="utf-8"))
    )


def sentences(source: str) -> list[str]:
    """What one file owns up to: a `Simplified:` reaches to the next one, or to the end of its paragraph."""
    found = []
    for line, paragraph in sorted([*_docstring_paragraphs(source), *_comments(source)]):
        if "Simplified:" in paragraph:
            about = _scope(source, line)
            parts = " ".join(paragraph.split()).split("Simplified:")[1:]
            found += [f"`{about}`: {part.strip()}" if about else part.strip() for part in parts]
    return found


def as_markdown(found: Sequence[Shortcut]) -> str:
    """A list a module."""
    lines = []
    for module in dict.fromkeys(shortcut.module for shortcut in found):
        lines += ["", f"`{module}`", ""]
        lines += [f"* {shortcut.sentence}" for shortcut in found if shortcut.module == module]
    return "\n".join(lines).strip()


def from_markdown(text: str) -> tuple[Shortcut, ...]:
    """What `as_markdown` wrote."""
    found, module = [], ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"`([\w/]+\.py)`", line):
            module = heading[1]
        elif line.startswith("* "):
            found.append(Shortcut(module, line[2:]))
    return tuple(found)


def _scope(source: str, line: int) -> str:
    """`Class.method` around this line; "" at the level of the module."""
    names = [
        (node.lineno, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, _DOCUMENTED[1:]) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return ".".join(name for _, name in sorted(names))


def _docstring_paragraphs(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each paragraph of each docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node, clean=True)):
            line = node.body[0].lineno
            for paragraph in re.split(r"(?<=\n)\s*\n", text):
                yield line, paragraph
                line += paragraph.count("\n") + 1


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each comment; comments on lines of their own, one right below the other, are one."""
    block, last, alone = "", -1, False
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text, own_line = token.string.lstrip("#").strip(), token.line.lstrip().startswith("#")
        if block and own_line and alone and token.start[0] == last + 1:
            block += " " + text
        else:
            if block:
                yield begin, block
            block, begin = text, token.start[0]
        last, alone = token.start[0], own_line
    if block:
        yield begin, block


if __name__ == "__main__":
    print(as_markdown(shortcuts()))
