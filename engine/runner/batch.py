"""From a plan of integers to the tensors of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.cache.paged import page_slots
from engine.cache.rolling import ring_read, ring_write
from engine.kernels.ragged import RaggedBatch
from engine.model.rope import RotaryTable
from engine.plan import Chunk


def build_batch(
    chunks: Sequence[Chunk], window: int, page_size: int, rotary: RotaryTable, device: torch.device
) -> RaggedBatch:
    """The flat batch of a step's chunks, in their order; the layout is explained at `RaggedBatch`."""

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts)).to(device, non_blocking=True)

    starts = [0]
    ring_reads, ring_rows, ring_slots = [], [], []
    page_reads, page_writes = [], []
    for chunk in chunks:
        first_row, first_slot = starts[-1], chunk.slot * window
        starts.append(first_row + chunk.count)
        ring_reads.append((first_slot + ring_read(chunk.start, window)).to(device, non_blocking=True))
        rows, slots = ring_write(chunk.start, chunk.count, window)
        ring_rows.append(first_row + rows)
        ring_slots.append(first_slot + slots)
        page_reads.append(page_slots(chunk.pages, 0, chunk.start, page_size).to(device, non_blocking=True))
        page_writes.append(page_slots(chunk.pages, chunk.start, chunk.stop, page_size))

    positions = joined([torch.arange(chunk.start, chunk.stop) for chunk in chunks])
    cos, sin = rotary(positions)
    return RaggedBatch(
        token_ids=joined([torch.tensor(chunk.token_ids, dtype=torch.int64) for chunk in chunks]),
        positions=positions,
        cos=cos,
        sin=sin,
        starts=tuple(starts),
        contexts=tuple(chunk.start for chunk in chunks),
        ring_reads=tuple(ring_reads),
        ring_write_rows=joined(ring_rows),
        ring_write_slots=joined(ring_slots),
        page_reads=tuple(page_reads),
        page_write_slots=joined(page_writes),
    )
