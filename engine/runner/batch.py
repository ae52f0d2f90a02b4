"""From a plan of integers to the tensors of a step."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.cache.paged import page_slots
from engine.cache.rolling import ring_read, ring_write
from engine.kernels.ragged import ALIGNMENT, TILE_TOKENS, RaggedBatch
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.transfer import to_device


def build_batch(
    chunks: Sequence[Chunk], window: int, page_size: int, rotary: RotaryTable, device: torch.device
) -> RaggedBatch:
    """The flat batch of a step's chunks, in their order; the layout is explained at `RaggedBatch`."""
    counts, contexts, rings = np.array([(chunk.count, chunk.start, chunk.slot) for chunk in chunks]).T
    starts = np.concatenate(([0], counts.cumsum()))
    most_pages = max(len(chunk.pages) for chunk in chunks)
    tables = np.array([chunk.pages + (0,) * (most_pages - len(chunk.pages)) for chunk in chunks])

    sequences = np.repeat(np.arange(len(chunks)), counts)
    positions = np.arange(len(sequences)) + (contexts - starts[:-1])[sequences]
    ring_rows, ring_slots = ring_write(positions, (contexts + counts)[sequences], window)
    in_all_tables = positions + sequences * most_pages * page_size
    on_device = copy_together(
        {
            "token_ids": np.array([token for chunk in chunks for token in chunk.token_ids]),
            "positions": positions,
            "start_rows": starts,
            "context_lengths": contexts,
            "ring_slots": rings,
            "block_tables": tables,
            "decode_sequences": np.flatnonzero(counts == 1),
            "prefill_tiles": prefill_tiles(counts.tolist()),
            "ring_write_rows": ring_rows,
            "ring_write_slots": rings[sequences[ring_rows]] * window + ring_slots,
            "page_write_slots": page_slots(tables.ravel(), in_all_tables, page_size),
        },
        device,
    )
    cos, sin = rotary(on_device["positions"])

    @cache
    def ring_reads(s: int) -> Tensor:
        return (chunks[s].slot * window + ring_read(chunks[s].start, window)).to(device)

    @cache
    def page_reads(s: int) -> Tensor:
        return torch.from_numpy(page_slots(tables[s], np.arange(chunks[s].start), page_size)).to(device)

    return RaggedBatch(
        cos=cos,
        sin=sin,
        starts=tuple(starts.tolist()),
        contexts=tuple(contexts.tolist()),
        page_size=page_size,
        ring_reads=ring_reads,
        page_reads=page_reads,
        **on_device,
    )


def prefill_tiles(counts: Sequence[int]) -> NDArray[np.int64]:
    """[tiles, 2]: the chunks of more than one row, cut into tiles.

    >>> prefill_tiles([1, 20, 16]).tolist()
    [[1, 0], [1, 16], [2, 0]]
    """
    tiles = [(s, first) for s, count in enumerate(counts) if count > 1 for first in range(0, count, TILE_TOKENS)]
    return np.array(tiles, dtype=np.int64).reshape(-1, 2)


def copy_together(arrays: dict[str, NDArray[np.int64]], device: torch.device) -> dict[str, Tensor]:
    """The arrays as int32 on the device, in one copy."""
    sizes = [size for array in arrays.values() for size in (array.size, -array.size % ALIGNMENT)]
    flat, start = np.zeros(sum(sizes), dtype=np.int32), 0
    for array in arrays.values():
        flat[start : start + array.size] = array.ravel()
        start += -(-array.size // ALIGNMENT) * ALIGNMENT
    places = to_device(torch.from_numpy(flat), device).split(sizes)[::2]
    return {name: place.view(array.shape) for (name, array), place in zip(arrays.items(), places, strict=True)}
