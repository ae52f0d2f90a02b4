"""The rolling buffer: a sliding layer's keys and values in a ring of exactly `window` slots per request.

Position p lives in slot p mod window, and a new token takes the place of the oldest. A request's memory is the same
for the first token and the hundred-thousandth. With window 4, after 6 tokens and after 7:

    slot        0 1 2 3        0 1 2 3
    position    4 5 2 3        4 5 6 3
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.cache.layers import LayerCache
from engine.config import ModelConfig


def ring_read(context: int, window: int) -> Tensor:
    """The slots of the last `window − 1` of `context` positions, oldest first: what the next token may see.

    >>> ring_read(6, 4).tolist(), ring_read(2, 4).tolist(), ring_read(0, 4).tolist()
    ([3, 0, 1], [0, 1], [])
    """
    return torch.arange(max(0, context - window + 1), context) % window


def ring_write(
    positions: NDArray[np.int64], stops: NDArray[np.int64] | int, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows enter their ring, and into which slots: the last `window` of each chunk, which ends before `stops`.

    A chunk of 3 after 6 positions enters whole; of a chunk of 6, the first two rows are out of the window already.

    >>> [indices.tolist() for indices in ring_write(np.arange(6, 9), 9, 4)]
    [[0, 1, 2], [2, 3, 0]]
    >>> [indices.tolist() for indices in ring_write(np.arange(0, 6), 6, 4)]
    [[2, 3, 4, 5], [2, 3, 0, 1]]
    """
    rows = np.flatnonzero(positions >= stops - window)
    return rows, positions[rows] % window


class RollingCache(LayerCache):
    """The rings of every sliding layer: keys and values [layers, requests · window, kv_heads, head_dim].

    Request slot r owns the cache slots [r · window, (r + 1) · window) of every layer.
    """

    def __init__(self, config: ModelConfig, slots: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(config, config.sliding_layers, slots * config.window, dtype, device)
        self.window = config.window

    def fill(self, slot: int, value: float) -> None:
        """Overwrites a freed request's rings."""
        ring = slice(slot * self.window, (slot + 1) * self.window)
        self.keys[:, ring] = value
        self.values[:, ring] = value
