"""From a plan of integers to the tensors of a step."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from engine.cache.paged import page_slots
from engine.cache.rolling import ring_read, ring_write
from engine.kernels.ragged import TILE_TOKENS, RaggedBatch
from engine.model.rope import RotaryTable
from engine.plan import Chunk

ALIGNMENT = 4
"""Kernels are compiled for tensors that begin at multiples of 16 bytes: four int32."""


def build_batch(
    chunks: Sequence[Chunk], window: int, page_size: int, rotary: RotaryTable, device: torch.device
) -> RaggedBatch:
    """The flat batch of a step's chunks, in their order; the layout is explained at `RaggedBatch`."""
    counts, contexts, rings = torch.tensor([(chunk.count, chunk.start, chunk.slot) for chunk in chunks]).unbind(1)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    most_pages = max(len(chunk.pages) for chunk in chunks)
    tables = torch.tensor([chunk.pages + (0,) * (most_pages - len(chunk.pages)) for chunk in chunks])

    sequences = torch.repeat_interleave(counts)
    positions = torch.arange(len(sequences)) + (contexts - starts[:-1])[sequences]
    ring_rows, ring_slots = ring_write(positions, (contexts + counts)[sequences], window)
    in_all_tables = positions + sequences * most_pages * page_size
    on_device = copy_together(
        {
            "token_ids": torch.tensor([token for chunk in chunks for token in chunk.token_ids]),
            "positions": positions,
            "start_rows": starts,
            "context_lengths": contexts,
            "ring_slots": rings,
            "block_tables": tables,
            "decode_sequences": torch.nonzero(counts == 1)[:, 0],
            "prefill_tiles": prefill_tiles(counts.tolist()),
            "ring_write_rows": ring_rows,
            "ring_write_slots": rings[sequences[ring_rows]] * window + ring_slots,
            "page_write_slots": page_slots(tables.flatten(), in_all_tables, page_size),
        },
        device,
    )
    cos, sin = rotary(on_device["positions"])

    @cache
    def ring_reads(s: int) -> Tensor:
        return (chunks[s].slot * window + ring_read(chunks[s].start, window)).to(device)

    @cache
    def page_reads(s: int) -> Tensor:
        return page_slots(tables[s], torch.arange(chunks[s].start), page_size).to(device)

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


def prefill_tiles(counts: Sequence[int]) -> Tensor:
    """[tiles, 2]: the chunks of more than one row, cut into tiles.

    >>> prefill_tiles([1, 20, 16]).tolist()
    [[1, 0], [1, 16], [2, 0]]
    """
    tiles = [(s, first) for s, count in enumerate(counts) if count > 1 for first in range(0, count, TILE_TOKENS)]
    return torch.tensor(tiles, dtype=torch.int64).view(-1, 2)


def copy_together(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors as int32 on the device, by one copy."""
    sizes = [-(-tensor.numel() // ALIGNMENT) * ALIGNMENT for tensor in tensors.values()]
    flat = torch.zeros(sum(sizes), dtype=torch.int32, pin_memory=device.type == "cuda")
    for place, tensor in zip(flat.split(sizes), tensors.values(), strict=True):
        place[: tensor.numel()] = tensor.flatten()
    places = flat.to(device, non_blocking=True).split(sizes)
    return {
        name: place[: tensor.numel()].view(tensor.shape)
        for (name, tensor), place in zip(tensors.items(), places, strict=True)
    }
