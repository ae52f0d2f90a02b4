"""A row of attention in C++ has the same bits alone, in a chunk of any length, in any company, on any threads.

The other ops' tests of this stand beside them: `test_a_row_depends_on_no_other`, `test_a_token_depends_on_no_other`.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.config import RopeConfig
from engine.kernels.cpu.attention import paged_attention, ring_attention
from engine.kernels.cpu.library import Library
from engine.kernels.ragged import RaggedBatch
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.batch import build_batch
from tests.engine.kernels.cpu.threads import torch_threads

LENGTH, HEADS, KV_HEADS, HEAD_DIM = 1300, 12, 2, 32
"""Longer than a part of a full layer's keys, 1,120."""
PAGE_SIZE = 16
PAGES = tuple(range(90, 1, -1))
WINDOWS = (100, 128, 300)
"""One that is no multiple of anything, gpt-oss's, and one that no block has room for."""
CUTS = [
    (*range(140), 700, *range(1111, 1131), LENGTH),
    (0, 2, 5, 9, 16, 120, 122, 250, 1116, 1124, LENGTH),
    (0, 700, 701, 702, 1119, 1122, 1299, LENGTH),
]

Attend = Callable[..., Tensor]


def rows(count: int, half: int = 1) -> list[Tensor]:
    """Queries, keys and values. Keys are next to nothing and the values of every 2 · `half` add up to nothing, so that
    what comes out is for the most part how sums were rounded."""
    q, k = torch.randn(count, HEADS, HEAD_DIM), 0.001 * torch.randn(count, KV_HEADS, HEAD_DIM)
    some = torch.randn(half, KV_HEADS, HEAD_DIM)
    v = torch.cat((some, -some)).repeat(-(-count // (2 * half)), 1, 1)[:count]
    return [q.bfloat16(), k.bfloat16(), v.bfloat16()]


def batch_of(first: int, last: int, window: int, *, company: bool) -> RaggedBatch:
    """Positions first … last − 1 of the sequence, and one of another in front of it and of a third one behind it."""
    chunks = [Chunk("", tuple(range(last - first)), first, 1, PAGES, True)]
    if company:
        others = [Chunk("", (0,), 16 * s, s, (90 + s,) * 4, True) for s in (2, 3)]
        chunks = [others[0], *chunks, others[1]]
    rotary = RotaryTable(RopeConfig(theta=1e4), HEAD_DIM, torch.device("cpu"))
    return build_batch(chunks, window, PAGE_SIZE, rotary, torch.device("cpu"))


def in_chunks(attend: Attend, inputs: list[Tensor], caches: list[Tensor], cuts: tuple[int, ...], window: int) -> Tensor:
    """What every row gets, read in chunks between `cuts`."""
    out = []
    for first, last in pairwise(cuts):
        batch = batch_of(first, last, window, company=True)
        together = [
            torch.cat((other[:1], own[first:last], other[1:])) for own, other in zip(inputs, rows(2), strict=True)
        ]
        out.append(attend(*together, caches, batch)[1:-1])
    return torch.cat(out)


@pytest.mark.parametrize("cuts", CUTS, ids=range(len(CUTS)))
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("window", [*WINDOWS, None])
def test_a_row_depends_on_no_chunk(library: Library, window: int | None, cuts: tuple[int, ...], threads: int) -> None:
    torch.manual_seed(0)
    sinks = torch.randn(HEADS)

    def attend(q: Tensor, k: Tensor, v: Tensor, caches: list[Tensor], batch: RaggedBatch) -> Tensor:
        op = paged_attention if window is None else partial(ring_attention, window=window)
        return op(library, q, k, v, sinks, *caches, batch=batch)

    size = window or 1
    slots = (len(PAGES) + 10) * PAGE_SIZE
    whole_caches, caches = ([torch.zeros(slots, KV_HEADS, HEAD_DIM).bfloat16() for _ in range(2)] for _ in range(2))
    inputs = rows(LENGTH, (window or 26) // 2)
    whole = attend(*inputs, whole_caches, batch_of(0, LENGTH, size, company=False))
    with torch_threads(threads):
        got = in_chunks(attend, inputs, caches, cuts, size)
    torch.testing.assert_close(got, whole, rtol=0, atol=0)
    own = slice(2 * PAGE_SIZE, (PAGES[0] + 1) * PAGE_SIZE) if window is None else slice(window, 2 * window)
    for one, other in zip(caches, whole_caches, strict=True):
        torch.testing.assert_close(one[own], other[own], rtol=0, atol=0)
