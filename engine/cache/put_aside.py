"""Rings put aside in pages: a request's rings as they are at a moment, to go on from there later.

A page holds `page_size` positions for every full layer. The ring of a sliding layer is put where a full layer would
have its positions, one full layer for each. Where there are more sliding layers than full ones, the rest takes as many
pages again:

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
    """Moves rings to pages and back. What is moved are bytes, whatever numbers they are."""

    def __init__(self, rings: RollingCache, pages: PagedCache) -> None:
        self._window = rings.window
        self._page_size = pages.page_size
        self._each = pages_for(rings.window, pages.page_size)
        """How many pages take the rings of as many layers as have pages."""
        self.count = -(-len(rings.keys) // len(pages.keys)) * self._each if len(pages.keys) else None
        """How many pages all rings of a request take; None where no layer has pages."""
        self._pairs = [(rings.keys, pages.keys), (rings.values, pages.values)]

    def save(self, slot: int, pages: Sequence[int]) -> None:
        """Puts the rings of a request's slot into pages."""
        for ring, paged, places in self._moved(slot, pages):
            paged.index_copy_(1, places, ring)

    def restore(self, slot: int, pages: Sequence[int]) -> None:
        """The other way."""
        for ring, paged, places in self._moved(slot, pages):
            ring.copy_(paged.index_select(1, places))

    def _moved(self, slot: int, pages: Sequence[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rings [layers, window, …] of as many layers as go into the same pages, those pages [layers, slots, …], and
        into which slots they go."""
        positions = range(self._window)
        for group, first in enumerate(range(0, len(pages), self._each)):
            size, own = self._page_size, pages[first : first + self._each]
            places = [own[p // size] * size + p % size for p in positions]
            on_device = numbers_to_device(places, np.int64, self._pairs[0][0].device)
            for ring, paged in self._pairs:
                layers = slice(group * len(paged), (group + 1) * len(paged))
                of_slot = ring[layers, slot * self._window : (slot + 1) * self._window].view(torch.uint8)
                yield of_slot, paged[: len(of_slot)].view(torch.uint8), on_device
