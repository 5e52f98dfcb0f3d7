"""The rules of style that a program can check (docs/STYLE.md): functions from one file's source to complaints. test_tidy.py runs them.

Each rule in RULES brings snippets that it must catch, for a check that cannot fail is no check.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
MOST_LINES = 400  # of a file in kafkasim
MOST_TEST_LINES = 800  # of a file in tests: many small tests of one subject stand together
MOST_FUNCTION_LINES = 70

MACHINE_LIBRARIES = {
    "asyncio",
    "datetime",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
MUTABLE_TYPES = {"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "bytearray"}
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "sort", "update"}
ORDER_BLIND = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
PUBLIC_HOSTS = {
    "json-schema.org",
    "kafka.apache.org",
    "cwiki.apache.org",
    "issues.apache.org",
    "github.com",
    "jepsen.io",
    "matplotlib.org",
    "distributed.dask.org",
}


class Rule(NamedTuple):
    """One rule: its sentence, the files it looks at, what finds complaints, and files (path, source) that must not pass."""

    sentence: str
    folders: tuple[str, ...]
    complaints: Callable[[str, str], Iterator[str]]
    caught: tuple[tuple[str, str], ...]


def python_files(*folders: str) -> Iterator[tuple[str, str]]:
    """(path from the root, source) of every Python file below these folders or files."""
    for folder in folders:
        place = ROOT / folder
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def committed_files() -> Iterator[tuple[str, str]]:
    """(path, text) of everything that belongs to the project: all but what .gitignore names, and git's own folder."""
    ignored = [*(ROOT / ".gitignore").read_text(encoding="utf-8").split(), ".git/"]
    for path in sorted(ROOT.rglob("*")):
        names = path.relative_to(ROOT).parts
        if path.is_file() and not any(Path(name).match(pattern.rstrip("/")) for name in names for pattern in ignored):
            yield "/".join(names), path.read_text(encoding="utf-8", errors="replace")


# ---------------------------------------------------------------------------------------------------- size


def long_files(path: str, source: str) -> Iterator[str]:
    """A file one can read in a sitting."""
    lines, most = source.count("\n"), MOST_TEST_LINES if path.startswith("tests/") else MOST_LINES
    if lines > most:
        yield f"{path}: {lines} lines, more than {most}"


def long_functions(path: str, source: str) -> Iterator[str]:
    """A function one can see at once."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None, "a parsed function has an end"
            lines = node.end_lineno - node.lineno + 1
            if lines > MOST_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {MOST_FUNCTION_LINES}"


# ---------------------------------------------------------------------------------------------------- who may use what


def libraries_out_of_place(path: str, source: str) -> Iterator[str]:
    """simpy is the simulator's, matplotlib plots', a real client the cluster's; elsewhere dice are injected, and time is simulated."""
    homes = {"simpy": "kafkasim/simulator/", "matplotlib": "kafkasim/plots/", "confluent_kafka": "kafkasim/cluster/"}
    for line, library in _imports(source):
        if library in homes and not path.startswith(homes[library]):
            yield f"{path}:{line}: only {homes[library]} imports {library}"
        if path.startswith("kafkasim/cluster/") or path in {"kafkasim/console.py", "kafkasim/validator.py", "kafkasim/study/pace.py"}:
            continue  # real time, real dice; a progress bar; the date of a record; how long a sweep's chunks take
        if library in {"random", "secrets", "uuid", "datetime", "time"}:
            yield f"{path}:{line}: {library} makes two runs of one seed differ (real clusters and the progress bar alone have a clock)"


def protocol_is_pure(path: str, source: str) -> Iterator[str]:
    """The protocol needs the standard library only, and of it nothing that has a clock, a wire, dice or files."""
    for line, library in _imports(source):
        if library == "kafkasim":
            continue  # import-linter's layers see to these
        if library not in sys.stdlib_module_names or library in MACHINE_LIBRARIES:
            yield f"{path}:{line}: the protocol does without {library}"


def no_simpy(path: str, source: str) -> Iterator[str]:
    """A machine of the protocol is played by hand in its tests."""
    for line, library in _imports(source):
        if library == "simpy":
            yield f"{path}:{line}: tests of the protocol play the network by hand, without simpy"


def environment(path: str, source: str) -> Iterator[str]:
    """Configuration is data, not environment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in {"os.environ", "os.getenv", "environ", "getenv"}:
            yield f"{path}:{node.lineno}: an environment variable is no configuration"


def prints(path: str, source: str) -> Iterator[str]:
    """Only the command line speaks. (`console.print` is rich's, on a console that was handed in.)"""
    if path in {"kafkasim/cli.py", "kafkasim/console.py"}:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.stdout.write", "sys.stderr.write"}:
            yield f"{path}:{node.lineno}: a library does not print"


# ---------------------------------------------------------------------------------------------------- state and order


def module_state(path: str, source: str) -> Iterator[str]:
    """Nothing at module level changes: a constant is in capitals, says Mapping, Sequence or tuple where it could change, and never does."""
    tree = ast.parse(source)
    for statement in tree.body:
        name, value, annotation = _assigned(statement)
        if value is None or name == "__all__" or not _is_mutable(value):
            continue
        if not name.lstrip("_").isupper():
            yield f"{path}:{statement.lineno}: {name} is mutable state of a module"
        elif not annotation.startswith(("Mapping", "Sequence", "tuple", "Collection")):
            yield f"{path}:{statement.lineno}: {name} could change; declare it as Mapping, Sequence or tuple"
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{path}:{node.lineno}: a function changes the module's {', '.join(node.names)}"
        elif (changed := _changed_name(node)).lstrip("_").isupper():
            yield f"{path}:{getattr(node, 'lineno', 0)}: the constant {changed} is changed"


def iterated_sets(path: str, source: str) -> Iterator[str]:
    """A set has no order that two runs share. A heuristic: sets written out, and names that this file declares or assigns as sets."""
    tree = ast.parse(source)
    sets = _names_of_sets(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            looked_at = [node.iter]
        elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp) and not _order_blind(tree, node):
            looked_at = [generator.iter for generator in node.generators]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"list", "tuple", "iter", "enumerate", "dict.fromkeys", "deque"}:
            looked_at = node.args[:1]
        elif isinstance(node, ast.Starred):
            looked_at = [node.value]
        else:
            continue
        for iterated in looked_at:
            if _is_set(iterated) or _last_name(iterated) in sets:
                yield f"{path}:{node.lineno}: {ast.unparse(iterated)} is a set, and what iterates it has no order"


# ---------------------------------------------------------------------------------------------------- words


def ignores_without_reason(path: str, source: str) -> Iterator[str]:
    """An ignore says why: behind it, or on the line of the same kind closely above it."""
    reasoned_at: dict[str, int] = {}
    for number, line in enumerate(source.splitlines(), 1):
        found = re.search(r"#\s*(?:type: ignore\[([\w, -]+)\]|noqa: ([A-Z0-9, ]+))(.*)", line)
        if re.search(r"#\s*(type: ignore(?!\[)|noqa(?!:))", line):
            yield f"{path}:{number}: an ignore names what it ignores"
        if not found:
            continue
        kind = (found[1] or found[2]).strip()
        if re.search(r"[a-zA-Z]{2,}", found[3]):
            reasoned_at[kind] = number
        elif number - reasoned_at.get(kind, -100) > 20:
            yield f"{path}:{number}: an ignore carries its reason"
        else:
            reasoned_at[kind] = number


def machine_words(path: str, source: str) -> Iterator[str]:
    """Nothing that is committed names a path of somebody's machine, or a host other than those of public documentation."""
    folders = "|".join(("work", "root", "home", "Users", "private", "mnt", "var/folders", "builds"))
    for number, line in enumerate(source.splitlines(), 1):
        for match in re.finditer(rf"(?<![\w.<>/~-])/(?:{folders}|tmp)/\w[\w.-]*", line):
            if match[0] != "/" + "tmp/kafka-logs":  # the default of Kafka's own log.dir
                yield f"{path}:{number}: {match[0]} is a path of one machine"
        for match in re.finditer(r"https?://([\w.-]+)", line):
            if match[1].rstrip(".") not in PUBLIC_HOSTS:
                yield f"{path}:{number}: {match[1]} is no host of public documentation that we name"
        if (
            re.search(r"(?i)(--index-url|--extra-index-url|index_url\s*=|artifactory|\bnexus\b|devpi)", line)
            and path != "tests/tidy_rules.py"
        ):
            yield f"{path}:{number}: which registry serves the packages is the machine's affair"


# ---------------------------------------------------------------------------------------------------- helpers


def _imports(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.split(".")[0]


def _assigned(statement: ast.stmt) -> tuple[str, ast.expr | None, str]:
    if isinstance(statement, ast.AnnAssign):
        return ast.unparse(statement.target), statement.value, ast.unparse(statement.annotation)
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0]), statement.value, ""
    return "", None, ""


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in MUTABLE_TYPES
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _changed_name(node: ast.AST) -> str:
    """The plain name whose value this node changes in place: X.append(…), X[…] = …, X[…] += …, del X[…]; "" if none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        return node.func.value.id if isinstance(node.func.value, ast.Name) else ""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value.id if isinstance(node.value, ast.Name) else ""
    return ""


def _is_set(node: ast.expr) -> bool:
    called = isinstance(node, ast.Call) and ast.unparse(node.func) in {"set", "frozenset"}
    return called or isinstance(node, ast.Set | ast.SetComp)


def _last_name(node: ast.expr) -> str:
    """`pending` of `self.pending` and of `pending`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _names_of_sets(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith(("set", "frozenset", "AbstractSet")):
            names.add(_last_name(node.target))
        elif isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation).startswith(("set[", "frozenset[")):
            names.add(node.arg)
        elif isinstance(node, ast.Assign) and _is_set(node.value):
            names.update(_last_name(target) for target in node.targets)
    return names - {""}


def _order_blind(tree: ast.Module, node: ast.expr) -> bool:
    """Whether the comprehension is handed to something that gives the same for every order."""
    return any(isinstance(call, ast.Call) and node in call.args and ast.unparse(call.func) in ORDER_BLIND for call in ast.walk(tree))


_TALL = "def tall():\n" + "    x = 1\n" * MOST_FUNCTION_LINES
_REBOUND = "count = 0\ndef f():\n    global count\n    count = 1\n"
_CHANGED = "SEEN: Mapping[int, int] = {}\ndef f():\n    SEEN[1] = 2\n"
_FROM_A_SET = "class A:\n    def f(self):\n        self.isr = set()\n        return [x for x in self.isr]\n"
_MACHINE, _PROTOCOL = "kafkasim/simulator/driver.py", "kafkasim/protocol/log.py"

RULES: tuple[Rule, ...] = (
    Rule(
        "a file can be read in a sitting",
        ("kafkasim", "tests"),
        long_files,
        (("kafkasim/a.py", "x = 1\n" * (MOST_LINES + 1)), ("tests/test_a.py", "x = 1\n" * (MOST_TEST_LINES + 1))),
    ),
    Rule("a function can be seen at once", ("kafkasim", "tests"), long_functions, (("kafkasim/a.py", _TALL),)),
    Rule(
        "a library has one home",
        ("kafkasim",),
        libraries_out_of_place,
        (
            ("kafkasim/faults.py", "import simpy\n"),
            ("kafkasim/cli.py", "def f():\n    from matplotlib import figure\n"),
            ("kafkasim/cli.py", "import confluent_kafka\n"),
            ("kafkasim/workload.py", "from random import random\n"),
            (_MACHINE, "import time\n"),
        ),
    ),
    Rule("the protocol is pure", ("kafkasim/protocol",), protocol_is_pure, ((_PROTOCOL, "import numpy\n"), (_PROTOCOL, "import socket\n"))),
    Rule("tests of the protocol have no clock", ("tests/protocol",), no_simpy, (("tests/protocol/test_a.py", "import simpy\n"),)),
    Rule(
        "no environment variable configures",
        ("kafkasim",),
        environment,
        (("kafkasim/a.py", "import os\nx = os.environ['X']\n"), ("kafkasim/a.py", "from os import getenv\nx = getenv('X')\n")),
    ),
    Rule("a library does not print", ("kafkasim",), prints, (("kafkasim/report.py", "print(1)\n"),)),
    Rule(
        "modules of the protocol have no state",
        ("kafkasim/protocol",),
        module_state,
        ((_PROTOCOL, "seen = {}\n"), (_PROTOCOL, "SEEN = []\n"), (_PROTOCOL, _CHANGED), (_PROTOCOL, _REBOUND)),
    ),
    Rule(
        "no set is iterated",
        ("kafkasim/protocol", "kafkasim/simulator"),
        iterated_sets,
        ((_PROTOCOL, "for x in {1, 2}:\n    pass\n"), (_PROTOCOL, "x = list(set([1, 2]))\n"), (_PROTOCOL, _FROM_A_SET)),
    ),
    Rule(
        "an ignore is precise and has its reason",
        ("kafkasim",),
        ignores_without_reason,
        (("kafkasim/a.py", "x = f()  # no" + "qa: E501\n"), ("kafkasim/a.py", "x = f()  # type: " + "ignore\n")),
    ),
)
FILE_RULES: tuple[Rule, ...] = (
    Rule(
        "no file names a machine",
        (),
        machine_words,
        (
            ("README.md", "see " + "/home" + "/somebody/kafka\n"),
            ("README.md", "https:/" + "/registry.example.com/simple\n"),
            (".ci/run", "pip install --index" + "-url x .\n"),
        ),
    ),
)
