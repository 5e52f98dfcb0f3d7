"""kafkasim: with my Kafka settings and these failures, what do I lose, what do I get twice, and why?

    from kafkasim import Scenario, run, sweep, replay

All are fetched when first asked for (PEP 562), so that `kafkasim --help` need not wait for numpy and pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkasim.runner import replay, run
    from kafkasim.scenario import Scenario
    from kafkasim.study.sweeping import sweep

__all__ = ["Scenario", "run", "sweep", "replay"]


def __getattr__(name: str) -> Any:
    """Whoever asks for one of these gets it from the module where it stands."""
    homes = {
        "Scenario": "kafkasim.scenario",
        "run": "kafkasim.runner",
        "sweep": "kafkasim.study.sweeping",
        "replay": "kafkasim.runner",
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
