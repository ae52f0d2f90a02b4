"""Randomness that depends on nothing but the request: its seed and how many tokens it has written.

So a seeded request gives the same tokens alone or in any batch, on any device, and after a preemption.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED_MASK = 2**64 - 1
GAMMA, FIRST, SECOND = np.array((0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB), dtype=np.uint64)


def seeds_of(seeds: Sequence[int]) -> NDArray[np.uint64]:
    """Any integers, modulo 2⁶⁴."""
    return np.array([seed & SEED_MASK for seed in seeds], dtype=np.uint64)


def splitmix(seeds: NDArray[np.uint64], indices: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """For each seed the number at `indices` of its SplitMix64 sequence (Steele, Lea, Flood 2014).

    >>> splitmix(seeds_of([1234567] * 3), np.arange(3, dtype=np.uint64)).tolist()
    [6457827717110365317, 3203168211198807973, 9817491932198370423]
    """
    x = seeds + (indices + 1) * GAMMA
    x = (x ^ x >> 30) * FIRST
    x = (x ^ x >> 27) * SECOND
    mixed: NDArray[np.uint64] = x ^ x >> 31
    return mixed


def uniform(seeds: NDArray[np.uint64], written: Sequence[int]) -> NDArray[np.float64]:
    """For each seed the number in [0, 1) that chooses the answer's token after the `written` ones. 52 bits, so that
    `u · total < total`."""
    numbers = splitmix(seeds, np.array(written, dtype=np.uint64)) >> 12
    return numbers.astype(np.float64) * 2.0**-52
