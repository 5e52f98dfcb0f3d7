"""What docs/STYLE.md asks and a program can check. Every check has its companion, which shows a snippet that the check catches."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tidy_rules import FILE_RULES, ROOT, RULES, Rule, committed_files, ignores_without_reason, iterated_sets, module_state, python_files

HEAVY = ("matplotlib", "numpy", "pandas", "pydantic", "scipy", "simpy", "yaml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_the_code_keeps_the_rule(rule: Rule) -> None:
    complaints = [complaint for path, source in python_files(*rule.folders) for complaint in rule.complaints(path, source)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule", FILE_RULES, ids=lambda rule: rule.sentence)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    complaints = [complaint for path, text in committed_files() for complaint in rule.complaints(path, text)]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule", RULES + FILE_RULES, ids=lambda rule: rule.sentence)
def test_the_rule_catches_what_breaks_it(rule: Rule) -> None:
    assert [source for path, source in rule.caught if not list(rule.complaints(path, source))] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_the_rule_looks_at_files(rule: Rule) -> None:
    assert all(list(python_files(folder)) for folder in rule.folders)


def test_the_files_of_the_project_are_found_without_those_that_are_made() -> None:
    paths = [path for path, _ in committed_files()]
    assert {"README.md", "pyproject.toml", "kafkasim/cli.py", "tests/test_tidy.py"} <= set(paths)
    assert not [path for path in paths if "__pycache__" in path or path.startswith((".git/", ".venv/"))]


def test_what_has_no_order_may_be_counted_and_sorted() -> None:
    harmless = "pending = set()\nprint(len(pending), sorted(pending), any(x > 1 for x in pending), 3 in pending)\n"
    assert list(iterated_sets("kafkasim/protocol/a.py", harmless)) == []


def test_a_constant_declared_as_a_mapping_passes() -> None:
    assert list(module_state("kafkasim/protocol/a.py", "NAMES: Mapping[str, int] = {'a': 1}\n")) == []


def test_an_ignore_with_its_reason_passes() -> None:
    assert list(ignores_without_reason("kafkasim/a.py", "x = f()  # no" + "qa: E501 - the table is wide\n")) == []


# ---------------------------------------------------------------------------------------------------- tools


def tool(*arguments: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=where, capture_output=True, text=True, check=False)


def says(finished: subprocess.CompletedProcess[str]) -> str:
    return finished.stdout + finished.stderr


def configured(*arguments: str) -> Sequence[str]:
    return (*arguments, "--config", str(ROOT / "pyproject.toml"))


def test_mypy_in_strict_mode_has_no_complaint() -> None:
    finished = tool("-m", "mypy")
    assert finished.returncode == 0, says(finished)


def test_mypy_catches_a_function_without_types(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text("def double(x):\n    return 2 * x\n")
    finished = tool("-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "snippet.py", where=tmp_path)
    assert "no-untyped-def" in says(finished)


def test_ruff_has_no_complaint() -> None:
    finished = tool("-m", "ruff", "check", ".")
    assert finished.returncode == 0, says(finished)


def test_ruff_catches_a_public_function_without_docstring(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text('"""A module."""\n\n\ndef double(x: int) -> int:\n    return 2 * x\n')
    assert "D103" in says(tool(*configured("-m", "ruff", "check"), "snippet.py", where=tmp_path))


def test_every_file_is_formatted() -> None:
    finished = tool("-m", "ruff", "format", "--check", ".")
    assert finished.returncode == 0, says(finished)


def test_the_formatter_catches_a_crooked_line(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text("x=  {1 :2}\n")
    assert tool(*configured("-m", "ruff", "format", "--check"), "snippet.py", where=tmp_path).returncode == 1


# ---------------------------------------------------------------------------------------------------- imports

LINT_IMPORTS = ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")


def test_imports_go_down_only() -> None:
    finished = tool(*LINT_IMPORTS)
    assert finished.returncode == 0, says(finished)
    assert "0 broken" in says(finished)


def small_house(tmp_path: Path, cellar: str, rooms: Sequence[str] = ("attic", "cellar")) -> subprocess.CompletedProcess[str]:
    """A package of two rooms under a contract of the kind that kafkasim has; `cellar` is the source of the lower one."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "house" / "attic.py").write_text("")
    (tmp_path / "house" / "cellar.py").write_text(cellar)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_package = "house"\nexclude_type_checking_imports = true\n'
        '[[tool.importlinter.contracts]]\nname = "down"\ntype = "layers"\ncontainers = ["house"]\nexhaustive = true\n'
        f"layers = {list(rooms)!r}\n"
    )
    return tool("-c", "import sys; sys.path.insert(0, '.'); " + LINT_IMPORTS[1], "--no-cache", where=tmp_path)


def test_an_import_that_goes_up_is_caught(tmp_path: Path) -> None:
    finished = small_house(tmp_path, "from house import attic\n")
    assert finished.returncode == 1, says(finished)
    assert "1 broken" in says(finished)


def test_a_module_without_its_place_in_the_house_is_caught(tmp_path: Path) -> None:
    finished = small_house(tmp_path, "", rooms=("attic",))
    assert finished.returncode != 0, says(finished)
    assert "cellar" in says(finished)


def test_an_import_for_types_only_is_no_arrow(tmp_path: Path) -> None:
    finished = small_house(tmp_path, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house import attic\n")
    assert finished.returncode == 0, says(finished)


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after this statement."""
    finished = tool("-c", f"{statement}\nimport sys\nprint(*sys.modules)")
    assert finished.returncode == 0, says(finished)
    return {name.split(".")[0] for name in finished.stdout.split()}


def test_the_command_line_loads_nothing_heavy_before_it_knows_what_to_do() -> None:
    assert modules_after("import kafkasim.cli") & set(HEAVY) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert "pydantic" in modules_after("from kafkasim import Scenario")


def test_scenario_and_run_come_from_the_package_in_whatever_order_modules_are_loaded() -> None:
    statement = "import kafkasim.runner\nfrom kafkasim import Scenario, run\nassert run(Scenario.load('calm')).acked_lost == 0"
    assert "numpy" in modules_after(statement)


def test_a_name_the_package_does_not_have_is_an_import_error() -> None:
    assert "cannot import name 'swept'" in says(tool("-c", "from kafkasim import swept"))
