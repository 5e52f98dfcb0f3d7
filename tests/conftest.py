"""Makes tidy_rules.py importable, and keeps measurements of speed away from parallel workers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under `pytest -n`, benchmarks are left out: beside busy workers they would measure those. Plain `pytest` runs everything."""
    if not hasattr(config, "workerinput"):
        return
    measuring = [item for item in items if item.get_closest_marker("benchmark")]
    config.hook.pytest_deselected(items=measuring)
    items[:] = [item for item in items if item not in measuring]
