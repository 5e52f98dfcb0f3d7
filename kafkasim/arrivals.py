"""The workload as drawn numbers: when each record is handed to send(), and which key it has. The same on either backend, by the seed."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from kafkasim.randomness import Streams
from kafkasim.scenario import Producer


def arrivals(producer: Producer, zero: float, streams: Streams) -> array[float]:
    """When each record is handed to send(), in ms: evenly spaced, or a Poisson process of the same rate."""
    spacing = 1000.0 / producer.rate
    if producer.arrivals == "poisson":
        gaps = streams.generator(f"arrivals/{producer.name}").exponential(spacing, producer.records)
        times: npt.NDArray[np.floating[Any]] = zero + np.cumsum(gaps)
    else:
        times = zero + np.arange(producer.records) * spacing
    return array("d", times.tobytes())


def draw_keys(producer: Producer, streams: Streams) -> array[int] | None:
    """An index of each record's key, uniform or by Zipf's law (the k-th key has weight 1 / k^s), or None without keys."""
    keys = producer.keys
    if keys.kind == "none":
        return None
    generator = streams.generator(f"keys/{producer.name}")
    weights = np.ones(keys.n) if keys.kind == "uniform" else 1.0 / np.arange(1, keys.n + 1) ** keys.s
    drawn = generator.choice(keys.n, size=producer.records, p=weights / weights.sum())
    return array("q", drawn.astype(np.int64).tobytes())
