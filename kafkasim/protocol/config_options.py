"""How a parameter is declared and checked: Kafka's ConfigDef (org.apache.kafka.common.config), cut down to what is needed.

A parameter is one line in a frozen dataclass (config_producer, config_consumer, config_broker):

    linger_ms: int = option(5, integer(0, bits=64), "How long a batch waits for more records, in ms.")

Its name is the field's name with dots for underscores. A `Check` turns what a user wrote (a Python value, or a string as it
stands in a .properties file) into the value, or refuses it in a sentence. Rules between several parameters (ProducerConfig's
postProcessParsedConfig, librdkafka's rd_kafka_conf_finalize) work on a `Draft`, after the single values have been checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from typing import Any, NamedTuple

from kafkasim.protocol.profiles import KAFKA_4_1, Behaviours

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class Check(NamedTuple):
    """What a value must be. `convert` returns the value, or raises ValueError whose text completes "KEY=VALUE: ...".

    `valid` is said in the documentation; `show` writes a value as Kafka would write it.
    """

    type: str  # ConfigDef.Type: boolean, int, long, double, string
    valid: str
    convert: Callable[[object], Any]
    show: Callable[[Any], object] = lambda value: value


class Parameter(NamedTuple):
    """One parameter, for documentation. `default` is as Kafka writes it: acks has "all", not -1."""

    name: str
    default: object
    valid: str
    doc: str
    type: str
    aliases: tuple[str, ...]


class Problem(NamedTuple):
    """What is wrong with one key, in one sentence."""

    key: str
    sentence: str


class Draft:
    """Values on their way to a config: defaults filled in, the user's laid over. Rules may read, change, object and remark.

    `behaviours` are those of the version of Kafka that reads the values.
    """

    def __init__(self, values: dict[str, Any], explicit: frozenset[str], behaviours: Behaviours = KAFKA_4_1.behaviours) -> None:
        self.values = values
        self.explicit = explicit
        self.behaviours = behaviours
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def __setitem__(self, key: str, value: object) -> None:
        self.values[key] = value

    def problem(self, key: str, sentence: str) -> None:
        """The client (or the broker) would refuse to start."""
        self.problems.append(Problem(key, sentence))

    def note(self, sentence: str) -> None:
        """Accepted, but the user should know: what Kafka would say in its log, or does in silence."""
        self.notes.append(sentence)


def option(default: object, check: Check, doc: str, aliases: tuple[str, ...] = ()) -> Any:
    """Declare a parameter as a dataclass field; Any, because the annotation at the field says its type."""
    return field(default=default, metadata={"check": check, "doc": doc, "aliases": aliases})


def options(config_class: type) -> Mapping[str, Field[Any]]:
    """The declared parameters of a config class, by Kafka's name, in order of declaration."""
    return {f.name.replace("_", "."): f for f in fields(config_class)}


# --- checks -------------------------------------------------------------------------------------------------------------------


def boolean(words: Mapping[str, bool] | None = None) -> Check:
    """true | false, in any case, as ConfigDef.parseType takes them. librdkafka takes a few more words."""
    known = {"true": True, "false": False} if words is None else dict(words)

    def convert(value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word not in known:
            raise ValueError("it must be either true or false")
        return known[word]

    return Check("boolean", "true, false", convert)


def integer(low: int | None = None, high: int | None = None, *, bits: int = 32, null: bool = False) -> Check:
    """A whole number between low and high, both inclusive; Kafka's INT has 32 bits and its LONG 64."""
    name = {16: "short", 32: "int", 64: "long"}[bits]
    limit = 2 ** (bits - 1)
    smallest, largest = (-limit if low is None else low), (limit - 1 if high is None else high)

    def convert(value: object) -> int | None:
        if null and value is None:
            return None
        number = _whole_number(value, bits)
        if number < smallest:
            raise ValueError(f"it must be at least {smallest}")
        if number > largest:
            raise ValueError(f"it must be no more than {largest}")
        return number

    return Check(name, _range(low, high) + (" or null" if null else ""), convert)


def double(low: float, high: float) -> Check:
    """A number with a fraction (librdkafka's linger.ms is one: half a millisecond is 0.5)."""

    def convert(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("it must be a number")
        try:
            number = float(value)
        except ValueError:
            raise ValueError("it must be a number") from None
        if not low <= number <= high:
            raise ValueError(f"it must be between {low:g} and {high:g}")
        return number

    return Check("double", f"[{low:g},...,{high:g}]", convert)


def choice(*names: str, ignore_case: bool = False, meaning: Mapping[str, str] | None = None) -> Check:
    """One of a few words. `meaning` maps synonyms to the word the simulator uses."""

    def convert(value: object) -> str:
        word = str(value).strip()
        word = word.lower() if ignore_case else word
        if word not in names:
            raise ValueError(f"it must be one of {', '.join(names)}")
        return word if meaning is None else meaning.get(word, word)

    return Check("string", ", ".join(names), convert)


def text(*, null: bool = True) -> Check:
    """Any words but none at all: ConfigDef.NonEmptyString."""

    def convert(value: object) -> str | None:
        if value is None and null:
            return None
        if not str(value).strip():
            raise ValueError("it must not be empty")
        return str(value).strip()

    return Check("string", "non-empty string", convert)


def _whole_number(value: object, bits: int) -> int:
    """ConfigDef.parseType for INT and LONG: a number of that width, or a string that holds one; true is no number, nor is 1.5."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"it must be a {bits}-bit whole number")
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
        raise ValueError(f"it must be a {bits}-bit whole number")
    number = int(value)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError(f"it does not fit into {bits} bits")
    return number


def _range(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return "any"
    return f"[{'' if low is None else low},...{'' if high is None else f',{high}'}]"
