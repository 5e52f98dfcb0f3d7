"""The language of constraints: `acks == all or min.insync.replicas == 1`, `2s < zombie.for <= 9s`, `acks in (1, all)`.

Names have dots and hyphens in them and words like `for`, as paths of a scenario do; a duration compares in milliseconds; other words are
texts. There are and, or, not, comparisons (also chained), in, + - * /, and parentheses. Nothing else: no calls, no attributes. Names and
values are cut out of the text first, Python's own parser then sees to what binds stronger, and only a few of its nodes are let through.

What is wrong is a ValueError with one sentence that says at which character.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafkasim.scenario import as_text
from kafkasim.study.axes import Value
from kafkasim.values import parse_duration

_TOKEN = re.compile(
    r"\s*(?:(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<duration>\d+(?:\.\d+)?(?:ms|s|min|h)(?![\w.]))"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<word>[A-Za-z_]\w*(?:[.-]\w+)*)"
    r"|(?P<sign>==|!=|<=|>=|<|>|\+|-|\*|/|\(|\)|,))"
)
_PLAIN_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_KEYWORDS = ("and", "or", "not", "in")
_INSTEAD: Mapping[str, str] = {"=": "==", "&": "and", "|": "or", "!": "not", "[": "(", "]": ")"}
_COMPARISONS: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda item, items: item in items),
    ast.NotIn: ("not in", lambda item, items: item not in items),
}
_ARITHMETIC: Mapping[type[ast.operator], tuple[str, Callable[[float, float], float]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
_ORDERED = ("<", "<=", ">", ">=")
_NODES = (ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Name, ast.Tuple)


@dataclass(frozen=True, slots=True)
class Word:
    """A name or a text in an expression, and the character at which it begins, from 1."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one comparison has on all of its sides, and with which signs."""

    words: tuple[Word, ...]  # that stand alone on a side, or in a list after `in`
    deeper: tuple[Word, ...]  # that stand inside arithmetic
    signs: tuple[str, ...]
    bare: tuple[float, ...]  # numbers without a unit that stand alone on a side; 0 needs none


class Expression:
    """One expression, read. `words` are its names and unquoted texts; which of them are names, only a scenario can say."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._leaves: list[Word | Value] = []
        tokens = list(_tokens(text))
        kind, last, place = tokens[-1]
        if kind in {"sign", "keyword"} and last != ")":
            raise ValueError(f"cannot be read: something is missing at the end, after `{last}` (character {place})")
        self._kinds = [kind for kind, _, _ in tokens if kind not in {"sign", "keyword"}]
        self._tree = self._parse(tokens)
        if not isinstance(self._tree, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name) or isinstance(self._leaf(self._tree), int | float):
            raise ValueError("is no condition: it compares nothing")

    def _parse(self, tokens: list[tuple[str, str, int]]) -> ast.expr:
        """The tree. In the source that Python sees, each name or value is one variable, and so no keyword of Python's."""
        source, places = "", list[tuple[int, int, str]]()
        for kind, token, place in tokens:
            if kind in {"sign", "keyword"}:
                piece = token
            else:
                piece = f"v{len(self._leaves)}"
                self._leaves.append(Word(token, place) if kind == "word" else _value(kind, token))
            places.append((len(source), place, token))
            source += f"{piece} "
        try:
            tree = ast.parse(source, mode="eval").body
        except (SyntaxError, RecursionError, MemoryError) as error:
            offset = (getattr(error, "offset", None) or 1) - 1
            place, token = next(((place, token) for start, place, token in reversed(places) if start <= offset), (1, ""))
            raise ValueError(f"cannot be read at `{token}` (character {place})") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and not isinstance(node, _NODES):
                raise ValueError("cannot be read: there are and, or, not, in, comparisons, + - * / and parentheses, and nothing else")
        return tree

    def _leaf(self, node: ast.expr) -> Word | Value | None:
        return self._leaves[int(node.id[1:])] if isinstance(node, ast.Name) else None

    @property
    def words(self) -> tuple[Word, ...]:
        """The names and unquoted texts, in order."""
        return tuple(leaf for leaf in self._leaves if isinstance(leaf, Word))

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare):
                sides = [side for each in (node.left, *node.comparators) for side in (each.elts if isinstance(each, ast.Tuple) else [each])]
                direct = [leaf for side in sides if isinstance(leaf := self._leaf(side), Word)]
                deeper = [word for side in sides if not isinstance(side, ast.Name) for word in self._words_in(side)]
                numbers = [side for side in sides if isinstance(side, ast.Name) and self._kinds[int(side.id[1:])] == "number"]
                signs = tuple(_COMPARISONS[type(sign)][0] for sign in node.ops)
                bare = tuple(float(value) for value in map(self._leaf, numbers) if isinstance(value, float) and value)
                yield Comparison(tuple(direct), tuple(deeper), signs, bare)

    def _words_in(self, node: ast.AST) -> list[Word]:
        found = [self._leaf(each) for each in ast.walk(node) if isinstance(each, ast.Name)]
        return [leaf for leaf in found if isinstance(leaf, Word)]

    def holds(self, value_of: Callable[[Word], Value]) -> bool:
        """Whether it is true where names have these values. Raises ValueError where it has no meaning there."""
        return bool(self._evaluate(self._tree, value_of))

    def _evaluate(self, node: ast.expr, value_of: Callable[[Word], Value]) -> Any:
        if isinstance(node, ast.Name):
            leaf = self._leaf(node)
            return plain(value_of(leaf)) if isinstance(leaf, Word) else leaf
        if isinstance(node, ast.BoolOp):
            parts = (self._evaluate(value, value_of) for value in node.values)
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        if isinstance(node, ast.UnaryOp):
            value = self._evaluate(node.operand, value_of)
            if isinstance(node.op, ast.Not):
                return not value
            return -_numeric(value, "-") if isinstance(node.op, ast.USub) else _numeric(value, "+")
        if isinstance(node, ast.BinOp):
            return self._calculate(node, value_of)
        if isinstance(node, ast.Tuple):
            return tuple(self._evaluate(item, value_of) for item in node.elts)
        assert isinstance(node, ast.Compare), "no other node was let through"
        return self._compare(node, value_of)

    def _calculate(self, node: ast.BinOp, value_of: Callable[[Word], Value]) -> float:
        sign, calculate = _ARITHMETIC.get(type(node.op), ("", operator.add))
        if not sign:
            raise ValueError("calculates with + - * / and nothing else")
        left, right = (_numeric(self._evaluate(side, value_of), sign) for side in (node.left, node.right))
        if sign == "/" and right == 0:
            raise ValueError("divides by 0 at some points")
        return float(calculate(left, right))

    def _compare(self, node: ast.Compare, value_of: Callable[[Word], Value]) -> bool:
        left = self._evaluate(node.left, value_of)
        for operation, side in zip(node.ops, node.comparators, strict=True):
            right = self._evaluate(side, value_of)
            sign, compare = _COMPARISONS[type(operation)]
            if sign in _ORDERED:
                left, right = _numeric(left, sign), _numeric(right, sign)
            elif sign.endswith("in") and not isinstance(right, tuple):
                right = (right,)
            if not compare(left, right):
                return False
            left = right
        return True


def plain(value: Value) -> Value:
    """A value as constraints compare it: a duration in ms, a number written in quotes as a number, a list as its text."""
    if not isinstance(value, str):
        return as_text(value) if isinstance(value, list | tuple | dict) else value
    if value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if _PLAIN_NUMBER.fullmatch(value.strip()):
        return float(value)
    try:
        return parse_duration(value)
    except ValueError:
        return value


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, token, the character it begins at, from 1)."""
    position, end = 0, len(text.rstrip())
    if not end:
        raise ValueError("is empty; a constraint is written like `acks == all or min.insync.replicas == 1`")
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            place = position + len(text[position:]) - len(text[position:].lstrip())
            instead = _INSTEAD.get(text[place], "")
            hint = f"; did you mean `{instead}`?" if instead else ""
            raise ValueError(f"cannot be read at `{text[place:].split(maxsplit=1)[0]}` (character {place + 1}){hint}")
        kind = match.lastgroup or ""
        token = match[kind]
        yield ("keyword" if token in _KEYWORDS else kind), token, match.start(kind) + 1
        position = match.end()


def _value(kind: str, token: str) -> Value:
    if kind == "text":
        return plain(token[1:-1])
    return parse_duration(token) if kind == "duration" else float(token)


def _numeric(value: Value, sign: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        said = "nothing" if value is None else f"`{as_text(value)}`"
        raise ValueError(f"has {said} beside `{sign}` at some points, which takes numbers and durations only")
    return value
