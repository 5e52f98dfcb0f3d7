"""docs/FIDELITY.md and the code own up to the same shortcuts."""

import re

from blocks import ROOT, read_block
from simplified import Shortcut, as_markdown, from_markdown, sentences, shortcuts

from kafkasim.protocol.config import Kind, parameters


def listed() -> tuple[Shortcut, ...]:
    return from_markdown(read_block("docs/FIDELITY.md", "simplified"))


def test_every_shortcut_of_the_code_is_listed() -> None:
    missing = set(shortcuts()) - set(listed())
    assert not missing, f"run `python tests/docs/refresh.py` after reading these: {missing}"


def test_every_listed_shortcut_is_in_the_code() -> None:
    gone = set(listed()) - set(shortcuts())
    assert not gone, f"run `python tests/docs/refresh.py`; these are no longer in the code: {gone}"


def test_there_are_shortcuts_to_compare() -> None:
    assert len(shortcuts()) > 40
    assert "simulator/disk.py" in {shortcut.module for shortcut in shortcuts()}


def test_a_sentence_that_goes_on_in_the_next_line_is_one() -> None:
    assert sentences('"""A module. Simplified: it has\nno clock.\n\nAnother paragraph.\n"""\n') == ["it has no clock."]


def test_two_in_one_paragraph_are_two() -> None:
    assert sentences('"""Simplified: no clock. Simplified: no wire."""\n') == ["no clock.", "no wire."]


def test_comments_count_and_a_block_of_them_is_one_text() -> None:
    source = "x = 1  # Simplified: always one.\n# Simplified: y follows x,\n# whatever comes.\ny = x\n# not this\n"
    assert sentences(source) == ["always one.", "y follows x, whatever comes."]


def test_a_sentence_about_a_function_says_so() -> None:
    source = 'class A:\n    def f(self):\n        """Do.\n\n        Simplified: never.\n        """\n        x = 1  # Simplified: one.\n'
    assert sentences(source) == ["`A.f`: never.", "`A.f`: one."]


def test_a_string_that_is_no_docstring_does_not_count() -> None:
    assert sentences('x = "Simplified: nothing"\n') == []


def test_the_list_is_read_as_it_is_written() -> None:
    assert from_markdown(as_markdown(shortcuts())) == shortcuts()


def wrong_defaults(text: str) -> list[str]:
    """Of all "`key` (default V)": those where the simulator's parameter of that name has no such default."""
    known: dict[str, set[str]] = {}
    for kind in Kind:
        for parameter in parameters(kind):
            known.setdefault(parameter.name, set()).add(str(parameter.default).lower())
    return [f"{key}={value}" for key, value in re.findall(r"`([a-z.]+)` \(default (\w+)\)", text) if value not in known.get(key, ())]


def test_the_defaults_it_names_are_the_simulators() -> None:
    assert wrong_defaults((ROOT / "docs/FIDELITY.md").read_text(encoding="utf-8")) == []


def test_a_wrong_default_would_be_seen() -> None:
    assert wrong_defaults("`replica.lag.time.max.ms` (default 10000)") == ["replica.lag.time.max.ms=10000"]
