"""Rings saved in pages: a snapshot of a request's rings, to resume from later.

A page holds `page_size` positions for every full layer. Each sliding layer's ring is stored where one of the full
layers would have its positions. If there are more sliding layers than full ones, the rest takes as many pages again:

    12 sliding and 12 full layers, a window of 128, pages of 16      8 pages
    13 sliding and 12 full layers, the same                         16 pages
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.plan import pages_for
from engine.transfer import numbers_to_device


class RingPages:
    """Copies rings to pages and back, as bytes, whatever their dtype."""

    def __init__(self, rings: RollingCache, pages: PagedCache) -> None:
        self._window = rings.window
        self._page_size = pages.page_size
        self._each = pages_for(rings.window, pages.page_size)
        """How many pages hold the rings of as many sliding layers as there are full ones."""
        self.count = -(-len(rings.keys) // len(pages.keys)) * self._each if len(pages.keys) else None
        """How many pages hold all rings of a request; None if no layer has pages."""
        self._pairs = [(rings.keys, pages.keys), (rings.values, pages.values)]

    def save(self, slot: int, pages: Sequence[int]) -> None:
        """Copies the rings of a request's slot into pages."""
        for ring, paged, places in self._moved(slot, pages):
            paged.index_copy_(1, places, ring)

    def restore(self, slot: int, pages: Sequence[int]) -> None:
        """Copies them back from pages into a request's slot."""
        for ring, paged, places in self._moved(slot, pages):
            ring.copy_(paged.index_select(1, places))

    def _moved(self, slot: int, pages: Sequence[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rings [layers, window, …] of the layers that share the same pages, those pages [layers, slots, …], and the
        slots that the rings take there."""
        positions = range(self._window)
        for group, first in enumerate(range(0, len(pages), self._each)):
            size, own = self._page_size, pages[first : first + self._each]
            places = [own[p // size] * size + p % size for p in positions]
            on_device = numbers_to_device(places, np.int64, self._pairs[0][0].device)
            for ring, paged in self._pairs:
                layers = slice(group * len(paged), (group + 1) * len(paged))
                of_slot = ring[layers, slot * self._window : (slot + 1) * self._window].view(torch.uint8)
                yield of_slot, paged[: len(of_slot)].view(torch.uint8), on_device
