"""The parameters of a step's draws, as the op `choose` takes them (`engine.kernels.choose`)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.kernels.choose import NEUTRAL
from engine.request import SamplingParams
from engine.sampling.noise import seeds_of, uniform

GREEDY_BELOW = 1e-5
"""A temperature under this is greedy: dividing by it would overflow float32."""


class Draws:
    """Temperatures, random numbers and filters of the same rows at every step."""

    def __init__(self, rows: Sequence[SamplingParams], vocab_size: int) -> None:
        columns = [column(row, vocab_size) for row in rows]
        self._drawing = any(temperature for temperature, *_ in columns)
        if all(each[2:] == NEUTRAL[2:] for each in columns):
            columns = [each[:2] for each in columns]
        self._columns = np.array(columns).T
        self._seeds = seeds_of([row.seed or 0 for row in rows])

    def __call__(self, written: Sequence[int]) -> NDArray[np.float64] | None:
        """Float64 [2, rows], with filters [5, rows]; None if all rows are greedy. `written` is how many tokens each
        row's answer has: that and its seed determine the row's random number."""
        if not self._drawing:
            return None
        draws = self._columns.copy()
        draws[1] = uniform(self._seeds, written)
        return draws


def column(row: SamplingParams, vocab_size: int) -> tuple[float, ...]:
    """One row's parameters, except its random number. min_p keeps tokens at least that probable relative to the best
    one: at temperature 0.5 and min_p 0.1, those whose logits are at most 0.5 · ln 10 below the best."""
    if row.temperature < GREEDY_BELOW:
        return NEUTRAL
    reach = -row.temperature * math.log(row.min_p) if row.min_p > 0 else math.inf
    top_k = row.top_k if 0 < row.top_k < vocab_size else math.inf
    return row.temperature, 0.0, reach, top_k, row.top_p
