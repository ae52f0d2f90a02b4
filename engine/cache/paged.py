"""Pages: a full layer keeps every position, in pages of a pool that all requests share.

Position p of a request lives in its page `table[p // page_size]` at offset p mod page_size. A page holds its
positions for all full layers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from engine.cache.layers import LayerCache
from engine.config import ModelConfig


def page_slots(table: NDArray[np.int64], positions: NDArray[np.int64], page_size: int) -> NDArray[np.int64]:
    """The cache slots of positions.

    With pages of 4 and the table [7, 2], positions 2 to 5 lie at the end of page 7 and the beginning of page 2:

    >>> page_slots(np.array([7, 2]), np.arange(2, 6), 4).tolist()
    [30, 31, 8, 9]
    """
    return table[positions // page_size] * page_size + positions % page_size


class PagedCache(LayerCache):
    """The pages of every full layer: keys and values [layers, pages · page_size, kv_heads, head_dim]."""

    def __init__(
        self, config: ModelConfig, pages: int, page_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(config, config.full_layers, pages * page_size, dtype, device)
        self.page_size = page_size
        self.count = pages

    def copy(self, source: int, target: int, count: int) -> None:
        """Copies the first `count` positions of a page into another one."""
        read, written = (slice(page * self.page_size, page * self.page_size + count) for page in (source, target))
        self.keys[:, written] = self.keys[:, read]
        self.values[:, written] = self.values[:, read]

    def fill(self, pages: Sequence[int], value: float) -> None:
        """Overwrites freed pages."""
        for page in pages:
            slots = slice(page * self.page_size, (page + 1) * self.page_size)
            self.keys[:, slots] = value
            self.values[:, slots] = value
