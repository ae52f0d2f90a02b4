"""Attention in C++ against the references in float32: outputs, and what is left in the caches.

Everything that a query may not read is NaN: places never written, of other requests, and out of the window.
"""

from functools import partial

import pytest
import torch
from torch import Tensor

from engine.kernels.cpu.attention import paged_attention, ring_attention
from engine.kernels.cpu.library import Library
from engine.kernels.paged_attention import paged_attention as paged_reference
from engine.kernels.ring_attention import ring_attention as ring_reference
from tests.engine.kernels.attention_case import Case, page_caches, prepare, ring_caches
from tests.engine.kernels.cpu.close import assert_rounded

of = partial(Case, dtype=torch.bfloat16)
CASES = [
    of(((0, 1),)),
    of(((5, 1), (0, 3), (300, 1), (33, 20), (16, 1), (15, 2))),
    of(((70, 19), (128, 1), (129, 1)), heads=8, kv_heads=1, head_dim=64, window=100, page_size=4),
    of(((65, 2), (7, 1)), heads=3, kv_heads=1, window=1, page_size=1),
    of(((20, 17), (9, 1)), heads=20, kv_heads=1, head_dim=128, window=64, page_size=64),
    of(((0, 35), (200, 1)), heads=6, kv_heads=2, head_dim=96, window=24),
    of(((1000, 1), (127, 1), (126, 130)), heads=16, kv_heads=4, head_dim=64, window=128),
    of(((1120, 1), (2500, 1), (1119, 1), (2240, 6)), heads=8, kv_heads=2, head_dim=64, window=128),
    of(((9, 3), (4, 1)), heads=2, kv_heads=1, head_dim=8, window=5, page_size=2),
]
"""The last one is left to the reference: heads of 8."""


def check(given: Tensor, expected: Tensor, ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert not given.isnan().any()
    assert_rounded(given, expected, roundings=2)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=2**-7, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_ring_attention(library: Library, case: Case) -> None:
    batch, inputs = prepare(case)
    ours = ring_caches(case, batch)
    theirs = [each.float() for each in ours]
    given = ring_attention(library, *inputs, *ours, case.window, batch)
    expected = ring_reference(*(each.float() for each in inputs), *theirs, case.window, batch)
    check(given, expected, ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_paged_attention(library: Library, case: Case) -> None:
    batch, inputs = prepare(case)
    ours = page_caches(case, batch)
    theirs = [each.float() for each in ours]
    given = paged_attention(library, *inputs, *ours, batch)
    expected = paged_reference(*(each.float() for each in inputs), *theirs, batch)
    check(given, expected, ours, theirs)
