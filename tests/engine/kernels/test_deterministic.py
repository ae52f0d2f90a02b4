"""Ops whose rows do not know their neighbours: they are the references, and no bit depends on company."""

import pytest
import torch

from engine.kernels.attention import attend
from engine.kernels.deterministic import KEY_BLOCK, TILE, attend_in_blocks, in_tiles
from engine.kernels.experts import ExpertProduct
from engine.kernels.fp8_matrix import quantize
from engine.kernels.table import DETERMINISTIC, REFERENCE


def test_no_rows_have_no_results() -> None:
    one, two = in_tiles(lambda x: (2 * x, x[:, :1]))(torch.zeros(0, 3))
    assert (one.shape, two.shape) == ((0, 3), (0, 1))


@pytest.mark.parametrize("window", [None, 1, 5, KEY_BLOCK, KEY_BLOCK + 3])
@pytest.mark.parametrize(("queries", "past"), [(1, 0), (1, 200), (2, 63), (21, 0), (9, KEY_BLOCK), (70, 150)])
def test_attention_in_blocks_is_attention(window: int | None, queries: int, past: int) -> None:
    torch.manual_seed(queries + past)
    kept = past if window is None else min(past, window - 1)
    q, sinks = torch.randn(queries, 6, 8), torch.randn(6)
    k, v = torch.randn(kept + queries, 2, 8), torch.randn(kept + queries, 2, 8)
    torch.testing.assert_close(
        attend_in_blocks(q, k, v, sinks, window, past), attend(q, k, v, sinks, window, past), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_has_the_same_bits_in_every_chunk(window: int | None, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    length = 2 * KEY_BLOCK + 10
    q, k, v = (torch.randn(length, heads, 8).to(dtype) for heads in (4, 2, 2))
    sinks = torch.randn(4)
    whole = attend_in_blocks(q, k, v, sinks, window, 0)
    for size in (1, 3, TILE, 29):
        for start in range(0, length, size):
            stop = min(start + size, length)
            low = 0 if window is None else max(0, start - window + 1)
            part = attend_in_blocks(q[start:stop], k[low:stop], v[low:stop], sinks, window, start)
            assert part.equal(whole[start:stop])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("hidden", "rows"), [(64, 160), (96, 33), (2880, 128)])
@pytest.mark.parametrize("fp8", [False, True])
def test_a_row_has_the_same_bits_in_every_place(dtype: torch.dtype, hidden: int, rows: int, fp8: bool) -> None:
    torch.manual_seed(hidden)
    norm, weight, bias = torch.randn(hidden), torch.randn(rows, hidden).to(dtype), torch.randn(rows).to(dtype)
    down, down_bias = torch.randn(hidden, hidden // 2).to(dtype), torch.randn(hidden).to(dtype)
    gate_up = ExpertProduct(torch.randn(1, hidden, hidden).to(dtype), torch.randn(1, hidden).to(dtype))
    back = ExpertProduct(down[None], down_bias[None])
    matrices = (quantize(weight), quantize(down)) if fp8 else (weight, down)
    row = torch.randn(1, hidden).to(dtype)

    def every_op(x: torch.Tensor) -> list[torch.Tensor]:
        ops, one = DETERMINISTIC, torch.ones(len(x), 1)
        _, experts, weights = ops.route(x, norm, 1e-5, weight[:8], bias[:8], 3)
        return [
            ops.norm_linear(x, norm, 1e-5, matrices[0], bias),
            ops.linear_add(x[:, : hidden // 2], matrices[1], down_bias, x),
            experts,
            weights,
            ops.mix_experts(x, one.long() * 0, one.to(dtype), gate_up, back, 1.702, 7.0, x),
            *ops.cos_sin(x[:, 0].float(), norm[:6].float(), 1.2),
        ]

    alone = every_op(row)
    for company in (1, TILE - 1, TILE, 40):
        for place in {0, company // 2, company}:
            x = torch.randn(company + 1, hidden).to(dtype)
            x[place] = row
            assert all(got[place].equal(want[0]) for got, want in zip(every_op(x), alone, strict=True))


def test_the_ops_are_the_references() -> None:
    torch.manual_seed(1)
    x, weight, bias = torch.randn(13, 64), torch.randn(64, 64), torch.randn(64)
    for name, args in (
        ("norm_linear", (torch.randn(64), 1e-5, weight, bias)),
        ("linear_add", (weight, bias, x)),
        ("route", (torch.randn(64), 1e-5, weight[:8], bias[:8], 2)),
    ):
        torch.testing.assert_close(getattr(DETERMINISTIC, name)(x, *args), getattr(REFERENCE, name)(x, *args))
    products = [ExpertProduct(torch.randn(3, 64, columns), torch.randn(3, 64)) for columns in (64, 32)]
    experts, weights = torch.arange(26).view(13, 2) % 3, torch.rand(13, 2)
    args = (experts, weights, *products, 1.702, 7.0, x)
    torch.testing.assert_close(DETERMINISTIC.mix_experts(x, *args), REFERENCE.mix_experts(x, *args))
