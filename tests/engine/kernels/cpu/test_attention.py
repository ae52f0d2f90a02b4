"""Attention in C++ against the references in float32: outputs, and what is left in the caches.

Everything that a query may not read is NaN: places never written, of other requests, and out of the window.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from engine.config import RopeConfig
from engine.kernels.cpu.attention import paged_attention, ring_attention
from engine.kernels.cpu.library import Library
from engine.kernels.paged_attention import paged_attention as paged_reference
from engine.kernels.ragged import RaggedBatch
from engine.kernels.ring_attention import ring_attention as ring_reference
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.batch import build_batch
from tests.engine.kernels.cpu.close import assert_rounded

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """Shapes, and the chunks of a step as (positions in the caches, new rows)."""

    chunks: tuple[tuple[int, int], ...]
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    window: int = 16
    page_size: int = 16


CASES = [
    Case(((0, 1),)),
    Case(((5, 1), (0, 3), (300, 1), (33, 20), (16, 1), (15, 2))),
    Case(((70, 19), (128, 1), (129, 1)), heads=8, kv_heads=1, head_dim=64, window=100, page_size=4),
    Case(((65, 2), (7, 1)), heads=3, kv_heads=1, window=1, page_size=1),
    Case(((20, 17), (9, 1)), heads=20, kv_heads=1, head_dim=128, window=64, page_size=64),
    Case(((0, 35), (200, 1)), heads=6, kv_heads=2, head_dim=96, window=24),
    Case(((1000, 1), (127, 1), (126, 130)), heads=16, kv_heads=4, head_dim=64, window=128),
    Case(((9, 3), (4, 1)), heads=2, kv_heads=1, head_dim=8, window=5, page_size=2),
]
"""The last one is left to the reference: heads of 8."""


def prepare(case: Case) -> tuple[RaggedBatch, list[Tensor]]:
    """The step's batch and q, k, v, sinks."""
    torch.manual_seed(len(case.chunks) + case.head_dim)
    chunks, page = [], 1
    for number, (context, count) in enumerate(case.chunks):
        pages = -(-(context + count) // case.page_size)
        table = torch.randperm(pages).add(page).tolist()
        chunks.append(Chunk("", tuple(range(count)), context, number + 1, tuple(table), True))
        page += pages
    rotary = RotaryTable(RopeConfig(theta=1e4), case.head_dim, CPU)
    batch = build_batch(chunks, case.window, case.page_size, rotary, CPU)
    fused = torch.randn(len(batch.token_ids), case.heads + 2 * case.kv_heads, case.head_dim).bfloat16()
    return batch, [*fused.split((case.heads, case.kv_heads, case.kv_heads), dim=1), torch.randn(case.heads)]


def cache(case: Case, slots: int, reads: list[Tensor]) -> Tensor:
    """Keys or values: NaN but for the past that the step may read."""
    filled = torch.full((slots, case.kv_heads, case.head_dim), torch.nan).bfloat16()
    for read in reads:
        filled[read] = torch.randn(len(read), case.kv_heads, case.head_dim).bfloat16()
    return filled


def check(given: Tensor, expected: Tensor, ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert not given.isnan().any()
    assert_rounded(given, expected, roundings=2)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=2**-7, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_ring_attention(library: Library, case: Case) -> None:
    batch, inputs = prepare(case)
    reads = [batch.ring_reads(s) for s in range(len(case.chunks))]
    ours = [cache(case, (len(case.chunks) + 2) * case.window, reads) for _ in range(2)]
    theirs = [each.float() for each in ours]
    given = ring_attention(library, *inputs, *ours, case.window, batch)
    expected = ring_reference(*(each.float() for each in inputs), *theirs, case.window, batch)
    check(given, expected, ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_paged_attention(library: Library, case: Case) -> None:
    batch, inputs = prepare(case)
    reads = [batch.page_reads(s) for s in range(len(case.chunks))]
    ours = [cache(case, (int(batch.block_tables.max()) + 2) * case.page_size, reads) for _ in range(2)]
    theirs = [each.float() for each in ours]
    given = paged_attention(library, *inputs, *ours, batch)
    expected = paged_reference(*(each.float() for each in inputs), *theirs, batch)
    check(given, expected, ours, theirs)
