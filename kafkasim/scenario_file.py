"""Reading what people write: YAML with every value's line, Java's .properties, `PATH=VALUE`, and where the shipped scenarios lie.

YAML is read as version 1.2 means it (only true and false are booleans, 010 is ten, a date is a text), and a key that stands twice
in one mapping is an error. Everything comes out as plain data beside a table of origins: which line of which file said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kafkasim.values import hint

Location = tuple[str | int, ...]  # ("producers", 0, "config", "acks")
Origins = dict[Location, str]  # where each value was said: "zombie.yaml:12", "--set"
_MOST_NODES = 200_000


class Problem(NamedTuple):
    """What is wrong, and where: `file:line: path`."""

    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}" if self.where else self.sentence


class ScenarioError(ValueError):
    """Everything that is wrong with a scenario, all at once, one sentence each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(" ".join(str(problem).split("\n")) for problem in self.problems)


# ---------------------------------------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema instead of those of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own attribute, filled below)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(text: str, source: str) -> tuple[dict[str, Any], Origins, list[Problem]]:
    """The data of one YAML document, each value's origin, and problems that do not keep the rest from being read.

    Raises ScenarioError where it cannot be read at all.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ScenarioError([_unreadable(error, source)]) from None
    except RecursionError:
        raise ScenarioError([Problem(source, "is nested too deeply to be a scenario")]) from None
    if root is None:
        raise ScenarioError([Problem(source, "holds no scenario: it is empty")])
    if not isinstance(root, yaml.MappingNode):
        raise ScenarioError([Problem(f"{source}:{_line(root)}", "a scenario is a mapping: keys with values, from `name:` on")])
    reader = _Reader(source)
    data = reader.value(root, (), ())
    return data, reader.origins, reader.problems


def _unreadable(error: yaml.YAMLError, source: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    if "expected a single document" in str(error):
        what = "it holds more than one document (a second `---`)"
    context = getattr(error, "context", None)
    said = f"not readable as YAML: {what}" + (f" ({context})" if context and "document" not in what else "")
    return Problem(f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source, said)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns PyYAML's nodes into data, and writes down the line of each."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.origins: Origins = {}
        self.problems: list[Problem] = []
        self._nodes = 0

    def value(self, node: yaml.Node, location: Location, inside: tuple[yaml.Node, ...]) -> Any:
        """The data of `node`; `inside` are the nodes around it, so that an anchor inside itself is noticed."""
        self._nodes += 1
        if node in inside or self._nodes > _MOST_NODES:
            why = "an anchor stands inside itself" if node in inside else "its aliases unfold into too many values"
            raise ScenarioError([Problem(f"{self.source}:{_line(node)}", f"not a scenario: {why}")])
        self.origins.setdefault(location, f"{self.source}:{_line(node)}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location, (*inside, node))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index), (*inside, node)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location, inside: tuple[yaml.Node, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, "a key is a plain word, not a list or a mapping")
                continue
            if key in lines:
                self._complain(key_node, f"`{key}` stands twice in one mapping; the first is on line {lines[key]}")
                continue
            lines[key] = _line(key_node)
            self.origins[(*location, key)] = f"{self.source}:{_line(key_node)}"
            data[key] = self.value(value_node, (*location, key), inside)
        return data

    def _scalar(self, node: yaml.Node) -> str | int | float | bool | None:
        tag, text = node.tag.rpartition(":")[2], str(node.value)
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        if tag in {"int", "float"}:
            return _number(tag, text)
        if tag != "str":
            self._complain(node, f"the tag {node.tag} means nothing in a scenario")
        return text

    def _complain(self, node: yaml.Node, sentence: str) -> None:
        self.problems.append(Problem(f"{self.source}:{_line(node)}", sentence))


def _number(tag: str, text: str) -> float | str:
    try:
        if tag == "int":
            return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # `!!int word`, or more digits than Python converts
        return text


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would otherwise take for a number or a truth."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def write_yaml(data: Mapping[str, Any]) -> str:
    """The data as YAML that `read_yaml` reads back as the same data, in its own order, small mappings on one line."""
    return str(yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=140))


def parse_scalar(text: str) -> Any:
    """The value in `--set PATH=VALUE`, as it would be read in the file: a number, true, a text, `[2900, 3400]`, `{at: 3s}`."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        reader = _Reader("value")
        data = None if root is None else reader.value(root, (), ())
    except (yaml.YAMLError, ScenarioError):
        return text  # `> 0` is a folded text's beginning to YAML, and a bound to us
    return text if reader.problems else data


def parse_assignment(text: str) -> tuple[str, Any]:
    """`producers.shop.config.acks=1` as path and value; the path ends at the first `=`."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ScenarioError([Problem(text, "is no assignment; it is written PATH=VALUE, for example producers.shop.config.acks=1")])
    return path.strip(), parse_scalar(value)


# ---------------------------------------------------------------------------------------------------- files


def read_text(path: Path) -> str:
    """The text of a file, or one sentence on why there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError([Problem(str(path), "there is no such file")]) from None
    except IsADirectoryError:
        raise ScenarioError([Problem(str(path), "is a directory, not a file")]) from None
    except UnicodeDecodeError as error:
        raise ScenarioError([Problem(str(path), f"is not a text in UTF-8 (byte {error.start})")]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ScenarioError([Problem(str(path), f"cannot be read: {reason}")]) from None


def shipped_scenarios() -> tuple[str, ...]:
    """The names of the scenarios that come with kafkasim, in alphabetical order."""
    folder = resources.files("kafkasim") / "scenarios"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def find_scenario(path_or_name: str | Path) -> tuple[str, str]:
    """The text of a scenario and what to call its source: a file, or else a shipped scenario of that name."""
    path = Path(path_or_name)
    name = str(path_or_name)
    if isinstance(path_or_name, str) and name in shipped_scenarios():
        return (resources.files("kafkasim") / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml"
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1 or path.is_file():
        return read_text(path), name
    sentence = f"there is neither a file nor a shipped scenario of that name{hint(name, shipped_scenarios())}"
    raise ScenarioError([Problem(name or '""', sentence)])


# ---------------------------------------------------------------------------------------------------- Java's .properties


class Properties(dict[str, str]):
    """The keys and values of a .properties file; `lines` says where each stood. A key given twice has its last value, as in Java."""

    def __init__(self, values: Mapping[str, str], lines: Mapping[str, int]) -> None:
        super().__init__(values)
        self.lines = dict(lines)


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_UNICODE = re.compile(r"u([0-9a-fA-F]{4})")


def read_properties(path: str | Path) -> Properties:
    """Read a file as java.util.Properties.load does: # and ! comments, = or : or blanks, a backslash that continues a line."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for number, line in _logical_lines(read_text(Path(path))):
        key_text, value_text = _split(line)
        try:
            key, value = _unescape(key_text), _unescape(value_text)
        except ValueError as error:
            problems.append(Problem(f"{path}:{number}", str(error)))
            continue
        values[key] = value
        lines[key] = number
    if problems:
        raise ScenarioError(problems)
    return Properties(values, lines)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, continuations joined, each with the number of its first line."""
    joined, start = "", 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        stripped = line.lstrip(" \t\f")
        if not joined and (not stripped or stripped[0] in "#!"):
            continue
        start = start or number
        backslashes = len(stripped) - len(stripped.rstrip("\\"))
        if backslashes % 2:
            joined += stripped[:-1]
            continue
        yield start, joined + stripped
        joined, start = "", 0
    if joined:
        yield start, joined


def _split(line: str) -> tuple[str, str]:
    """Key and value: the key ends at the first `=`, `:` or blank that no backslash stands before."""
    end = 0
    while end < len(line) and line[end] not in "=: \t\f":
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(" \t\f")
    return line[:end], rest[1:].lstrip(" \t\f") if rest[:1] in {"=", ":"} else rest


def _unescape(text: str) -> str:
    result, index = "", 0
    while index < len(text):
        character = text[index]
        index += 1
        if character != "\\" or index == len(text):
            result += character if character != "\\" else ""
            continue
        if text[index] == "u":
            match = _UNICODE.match(text, index)
            if match is None:
                raise ValueError(f"`\\{text[index : index + 5]}` is no character; it is written \\u and four hexadecimal digits")
            result, index = result + chr(int(match[1], 16)), match.end()
        else:
            result, index = result + _ESCAPES.get(text[index], text[index]), index + 1
    return result
