"""How long to wait before the next attempt: org.apache.kafka.common.utils.ExponentialBackoff (KIP-144, KIP-580).

The n-th wait is `initial * 2**n`, at most `maximum`, times a random factor between 0.8 and 1.2, at most `maximum` again. It serves
the retries of a batch, the refreshes of metadata, and reconnects. Simplified: Kafka truncates to whole milliseconds; here a wait
keeps its fraction. Simplified: a retry's wait is drawn once; RecordAccumulator.shouldBackoff draws its
random factor anew at every look. Simplified: librdkafka spreads reconnects by -25 % to +50 %; here both clients use 20 % both ways.
"""

from __future__ import annotations

import math

from kafkasim.protocol.node import Random

MULTIPLIER = 2
JITTER = 0.2


class ExponentialBackoff:
    """Waits that double, up to a maximum, and never twice the same.

    >>> [ExponentialBackoff(100, 1000, lambda: 0.5).backoff(attempts) for attempts in range(6)]
    [100.0, 200.0, 400.0, 800.0, 1000.0, 1000.0]
    """

    __slots__ = ("_exponent_max", "_initial", "_maximum", "_random")

    def __init__(self, initial_ms: float, maximum_ms: float, random: Random) -> None:
        self._initial = min(initial_ms, maximum_ms)
        self._maximum = maximum_ms
        self._random = random
        self._exponent_max = math.log2(maximum_ms / max(initial_ms, 1)) if maximum_ms > initial_ms else 0.0

    def backoff(self, attempts: int) -> float:
        """The wait in ms after `attempts` earlier waits (from 0)."""
        if self._exponent_max == 0.0:
            return self._initial  # Kafka adds no jitter where there is nothing to double
        term = self._initial * MULTIPLIER**attempts if attempts < self._exponent_max else self._maximum
        factor = 1 - JITTER + 2 * JITTER * self._random()
        return float(min(factor * term, self._maximum))
