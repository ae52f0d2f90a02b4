"""Attention in C++ over fp8 caches: to the last bit that over bfloat16 caches which hold the same numbers."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from engine.kernels.cached import as_cached
from engine.kernels.cpu.attention import paged_attention, ring_attention
from engine.kernels.cpu.library import Library
from engine.kernels.ragged import RaggedBatch
from tests.engine.kernels.attention_case import Case, page_caches, prepare, ring_caches
from tests.engine.kernels.cpu.test_attention import CASES

FP8 = torch.float8_e4m3fn
assert_same = partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)
EVERY_BFLOAT16 = torch.arange(2**16).to(torch.uint16).view(torch.bfloat16)


def rounded(x: Tensor) -> Tensor:
    return as_cached(x, FP8).to(x.dtype)


def unturned(batch: RaggedBatch) -> RaggedBatch:
    """Positions that turn no key, so that one can be rounded before the op turns it."""
    return replace(batch, cos=torch.ones_like(batch.cos), sin=torch.zeros_like(batch.sin))


def attend(
    library: Library, case: Case, kind: str, inputs: list[Tensor], caches: list[Tensor], batch: RaggedBatch
) -> Tensor:
    if kind == "ring":
        return ring_attention(library, *inputs, *caches, case.window, batch)
    return paged_attention(library, *inputs, *caches, batch)


@pytest.mark.parametrize("kind", ["ring", "paged"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_fp8_caches_are_bfloat16_caches_of_the_same_numbers(library: Library, case: Case, kind: str) -> None:
    batch, (q, k, v, sinks) = prepare(case)
    batch, k, v = unturned(batch), 30 * k, 300 * v
    caches = (ring_caches if kind == "ring" else page_caches)(replace(case, kv_dtype=FP8), batch)
    wide = [each.to(torch.bfloat16) for each in caches]
    given = attend(library, case, kind, [q, k, v, sinks], caches, batch)
    expected = attend(library, case, kind, [q, rounded(k), rounded(v), sinks], wide, batch)
    assert not given.isnan().any()
    assert given.equal(expected)
    for ours, theirs in zip(caches, wide, strict=True):
        assert_same(ours.float(), theirs.float())


@pytest.mark.parametrize("kind", ["ring", "paged"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_turned_keys_are_kept_as_a_bfloat16_cache_would_and_then_rounded(
    library: Library, case: Case, kind: str
) -> None:
    batch, inputs = prepare(case)
    wide = (ring_caches if kind == "ring" else page_caches)(case, batch)
    caches = [as_cached(each, FP8) for each in wide]
    attend(library, case, kind, inputs, wide, batch)
    attend(library, case, kind, inputs, caches, batch)
    for ours, theirs in zip(caches, wide, strict=True):
        assert_same(ours.float(), rounded(theirs).float())


def test_every_bfloat16_number_is_rounded_and_read_as_torch_does(library: Library) -> None:
    """Each row sees its own value alone, which is all that it gives."""
    case = Case(((0, 1),) * 128, kv_heads=4, head_dim=128, dtype=torch.bfloat16)
    batch, (q, k, v, _) = prepare(case)
    v = EVERY_BFLOAT16.view(v.shape)
    caches = page_caches(replace(case, kv_dtype=FP8), batch)
    no_sinks = torch.full((case.heads,), -torch.inf)
    given = paged_attention(library, q, 0 * k, v, no_sinks, *caches, batch)
    expected = as_cached(v, FP8).float()
    assert_same(given.float(), expected)
    written = caches[1][batch.page_write_slots]
    assert_same(written.float(), expected)
