"""The attention kernels in Triton's interpreter against their references: outputs, and what they leave in the caches.

Everything that a query may not read is NaN: places never written, of other requests, and out of the window.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.kernels import paged_attention as paged_reference
from engine.kernels import ring_attention as ring_reference
from engine.kernels.cached import as_cached
from engine.kernels.triton import paged_attention, ring_attention
from engine.kernels.triton.write_keys import write_keys
from tests.engine.kernels.attention_case import Case, page_caches, prepare, ring_caches

CASES = [
    Case(((0, 1),)),
    Case(((5, 1), (0, 3), (300, 1), (33, 20), (16, 1), (15, 2))),
    Case(((70, 19), (128, 1), (129, 1)), heads=8, kv_heads=1, head_dim=64, window=100, page_size=4),
    Case(((65, 2), (7, 1)), heads=3, kv_heads=1, head_dim=48, window=1, page_size=1),
    Case(((9, 3), (4, 1)), heads=2, kv_heads=1, head_dim=8, window=5, page_size=2),
    Case(((40, 5), (3, 1)), heads=5, kv_heads=5, head_dim=80, window=3, page_size=7),
    Case(((20, 17), (9, 1)), heads=20, kv_heads=1, head_dim=128, window=64, page_size=64),
    Case(((0, 35), (200, 1)), heads=6, kv_heads=2, head_dim=96, window=24, dtype=torch.float16),
    Case(((5, 1), (0, 3), (70, 20), (16, 1)), head_dim=48, page_size=8, kv_dtype=torch.float8_e4m3fn),
    Case(((9, 3), (4, 1)), heads=2, kv_heads=1, head_dim=8, window=5, page_size=2, kv_dtype=torch.float8_e4m3fn),
    Case(((20, 17), (9, 1)), heads=20, kv_heads=1, head_dim=128, window=64, page_size=64, kv_dtype=torch.float8_e4m3fn),
    Case(((0, 19), (200, 1)), heads=6, head_dim=96, window=24, dtype=torch.float16, kv_dtype=torch.float8_e4m3fn),
]


def check(case: Case, given: list[Tensor], expected: list[Tensor]) -> None:
    tolerance = 2e-3 if case.dtype == torch.float16 else 2e-5
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(
            one.to(case.dtype), other.to(case.dtype), rtol=tolerance, atol=tolerance, equal_nan=True
        )


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_ring_attention(case: Case) -> None:
    batch, inputs = prepare(case)
    ours = ring_caches(case, batch)
    theirs = [each.clone() for each in ours]
    out = ring_attention.ring_attention(*inputs, *ours, case.window, batch)
    expected = ring_reference.ring_attention(*inputs, *theirs, case.window, batch)
    assert not out.isnan().any()
    check(case, [out, *ours], [expected, *theirs])


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_paged_attention(case: Case) -> None:
    batch, inputs = prepare(case)
    ours = page_caches(case, batch)
    theirs = [each.clone() for each in ours]
    out = paged_attention.paged_attention(*inputs, *ours, batch)
    expected = paged_reference.paged_attention(*inputs, *theirs, batch)
    assert not out.isnan().any()
    check(case, [out, *ours], [expected, *theirs])


def test_every_number_is_rounded_to_fp8_as_the_reference_rounds_it() -> None:
    """All but NaN, which the interpreter makes a number of when it converts to float8."""
    exponents = torch.arange(-14, 12).repeat_interleave(8 * 64)
    numbers = torch.exp2(exponents.float()) * (1 + torch.rand(len(exponents))) * torch.randn(len(exponents)).sign()
    ties = as_cached(numbers, torch.float8_e4m3fn).float() * 17 / 16
    ends = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 448, 464, 1e9, 2**-9, 2**-10, 3 * 2**-10, 1e-40])
    v = torch.cat((numbers, ties, ends.repeat(64))).view(-1, 2, 32)
    k = v.where(v.isfinite(), 1.0)
    keys, values = (torch.empty(v.shape, dtype=torch.float8_e4m3fn) for _ in range(2))
    unturned = torch.ones(len(v), 16), torch.zeros(len(v), 16)
    write_keys(k, v, *unturned, None, None, keys, values)
    for given, stored in (k, keys), (v, values):
        want = as_cached(given, torch.float8_e4m3fn).float()
        torch.testing.assert_close(stored.float(), want, rtol=0, atol=0)


def test_unused_places_of_a_captured_step_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three places, two sequences: what stands at the third is not touched, and the two are as they would be."""
    monkeypatch.setattr(paged_attention, "DECODE_PROGRAMS", 4)
    case = Case(((70, 1), (3, 1)))
    batch, inputs = prepare(case)
    padded = replace(batch, decode_sequences=torch.tensor([0, 1, -1], dtype=torch.int32))
    for attend, caches, extra in (
        (ring_attention.ring_attention, ring_caches(case, batch), (case.window,)),
        (paged_attention.paged_attention, page_caches(case, batch), ()),
    ):
        others = [each.clone() for each in caches]
        check(case, [attend(*inputs, *caches, *extra, padded)], [attend(*inputs, *others, *extra, batch)])
        check(case, caches, others)


@pytest.mark.parametrize(("long_share", "splits"), [(32, [4, 2, 1]), (1, [8, 2, 1]), (3, [6, 2, 1])])
def test_a_long_sequence_takes_more_splits(monkeypatch: pytest.MonkeyPatch, long_share: int, splits: list[int]) -> None:
    """Of 16, 2 and 1 blocks, four splits a sequence are wanted, and there are eight."""
    monkeypatch.setattr(paged_attention, "DECODE_PROGRAMS", 4)
    monkeypatch.setattr(paged_attention, "LONG_SHARE", long_share)
    scores: list[Tensor] = []
    combine = paged_attention.combine_splits

    class Combine:
        def __getitem__(self, grid: tuple[int, int]) -> Callable[..., object]:
            def launch(parts: Tensor, part_scores: Tensor, *rest: object, **constants: object) -> None:
                scores.append(part_scores)
                combine[grid](parts, part_scores, *rest, **constants)

            return launch

    monkeypatch.setattr(paged_attention, "combine_splits", Combine())
    test_paged_attention(Case(((1000, 1), (70, 1), (3, 1))))
    assert scores[0].shape == (3, 4, 8)
    assert (scores[0] > -torch.inf).sum(dim=-1).tolist() == [[count] * 4 for count in splits]
