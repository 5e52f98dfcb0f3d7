"""How long a state machine may search: its share of the profile's examples. The same examples in every run, so that none fails by luck."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

HEALTH = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def budget(examples: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)) -> settings:
    """`examples` runs of up to `steps` rules each, times what the profile in force has above Hypothesis's hundred."""
    return settings(
        max_examples=max(1, examples * settings().max_examples // 100),
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases,
        suppress_health_check=HEALTH,
        report_multiple_bugs=False,
    )
