"""Dice: one named stream a component, so that adding a consumer does not reshuffle the network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import chain

import numpy as np

_BLOCK = 512


class Streams:
    """All randomness of one run, from one seed. Asking twice for a name gives two independent readers of the same stream."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def generator(self, name: str) -> np.random.Generator:
        """A numpy generator for `name`; the same seed and name give the same draws on any machine."""
        digest = hashlib.sha256(f"{self._seed}/{name}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))

    def uniform(self, name: str) -> Callable[[], float]:
        """A source of uniform numbers in [0, 1), drawn in blocks because single draws from numpy are slow."""
        generator = self.generator(name)
        blocks = iter(lambda: generator.random(_BLOCK).tolist(), None)  # for ever
        return chain.from_iterable(blocks).__next__
