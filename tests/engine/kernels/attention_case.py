"""A case for attention's kernels: a step's batch, its queries, keys and values, and caches with a past.

Everything that a query may not read is NaN: places never written, of other requests, or out of the window.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.config import RopeConfig
from engine.kernels.ragged import RaggedBatch
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.batch import build_batch


@dataclass(frozen=True)
class Case:
    """Shapes, and the chunks of a step as (positions in the caches, new rows)."""

    chunks: tuple[tuple[int, int], ...]
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    window: int = 16
    page_size: int = 16
    dtype: torch.dtype = torch.float32
    kv_dtype: torch.dtype | None = None


def prepare(case: Case) -> tuple[RaggedBatch, list[Tensor]]:
    """The step's batch and q, k, v, sinks."""
    torch.manual_seed(len(case.chunks) + case.head_dim)
    chunks, page = [], 1
    for number, (context, count) in enumerate(case.chunks):
        pages = -(-(context + count) // case.page_size)
        table = torch.randperm(pages).add(page).tolist()
        chunks.append(Chunk("", tuple(range(count)), context, number + 1, tuple(table), True))
        page += pages
    rotary = RotaryTable(RopeConfig(theta=1e4), case.head_dim, torch.device("cpu"))
    batch = build_batch(chunks, case.window, case.page_size, rotary, torch.device("cpu"))
    fused = torch.randn(len(batch.token_ids), case.heads + 2 * case.kv_heads, case.head_dim, dtype=case.dtype)
    return batch, [*fused.split((case.heads, case.kv_heads, case.kv_heads), dim=1), torch.randn(case.heads)]


def cache(case: Case, slots: int, reads: list[Tensor]) -> Tensor:
    """Keys or values: NaN except for the past that the step may read."""
    filled = torch.full((slots, case.kv_heads, case.head_dim), torch.nan, dtype=case.dtype)
    for read in reads:
        filled[read] = torch.randn(len(read), case.kv_heads, case.head_dim, dtype=case.dtype)
    return filled.to(case.kv_dtype or case.dtype)


def ring_caches(case: Case, batch: RaggedBatch) -> list[Tensor]:
    reads = [batch.ring_reads(s) for s in range(len(case.chunks))]
    return [cache(case, (len(case.chunks) + 2) * case.window, reads) for _ in range(2)]


def page_caches(case: Case, batch: RaggedBatch) -> list[Tensor]:
    reads = [batch.page_reads(s) for s in range(len(case.chunks))]
    slots = (int(batch.block_tables.max()) + 2) * case.page_size
    return [cache(case, slots, reads) for _ in range(2)]
