"""MXFP4, the router and the experts against plain formulas."""

import pytest
import torch

from engine.kernels.experts import ExpertProduct, mix_experts, swiglu
from engine.kernels.mxfp4 import Mxfp4, unpack
from engine.kernels.router import NO_EXPERT, route


def test_every_nibble_and_the_order_of_the_two() -> None:
    blocks = torch.arange(16, dtype=torch.uint8).repeat(1, 1) | (15 - torch.arange(16, dtype=torch.uint8)) << 4
    values = unpack(blocks, torch.tensor([127], dtype=torch.uint8), torch.float32)
    magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    table = magnitudes + [-m for m in magnitudes]
    assert values[0::2].tolist() == table
    assert values[1::2].tolist() == table[::-1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1, 100, 127, 140, 200])
def test_scales_are_powers_of_two(dtype: torch.dtype, scale: int) -> None:
    values = unpack(torch.full((1, 16), 0x77, dtype=torch.uint8), torch.tensor([scale], dtype=torch.uint8), dtype)
    assert values.dtype == dtype
    assert values.tolist() == [6.0 * 2.0 ** (scale - 127)] * 32


def test_swiglu_clamps_the_gate_above_and_up_on_both_sides() -> None:
    gate_up = torch.tensor([[9.0, 9.0, -9.0, -9.0, 1.0, 0.5]])
    sigmoid = torch.sigmoid
    expected = torch.stack(
        [
            8 * 7 * sigmoid(torch.tensor(1.702 * 7)),
            -6 * -9 * sigmoid(torch.tensor(1.702 * -9)),
            1.5 * 1 * sigmoid(torch.tensor(1.702)),
        ]
    )
    torch.testing.assert_close(swiglu(gate_up, 1.702, 7.0)[0], expected)


def test_the_router_weighs_only_the_chosen() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(6, 8), torch.randn(5, 8), torch.randn(5)
    normed, experts, weights = route(x, torch.ones(8), 1e-5, weight, bias, 3)
    logits = normed @ weight.T + bias
    assert experts.tolist() == logits.argsort(dim=-1, descending=True)[:, :3].tolist()
    torch.testing.assert_close(weights, logits.gather(1, experts).softmax(dim=-1))


@pytest.mark.parametrize("packed", [True, False])
def test_mixing_is_the_weighted_sum_of_each_tokens_experts(packed: bool) -> None:
    torch.manual_seed(1)
    hidden, inner, count = 64, 32, 5

    def product(rows: int, columns: int) -> tuple[ExpertProduct, torch.Tensor]:
        blocks = torch.randint(256, (count, rows, columns // 32, 16), dtype=torch.uint8)
        scales = torch.randint(122, 126, (count, rows, columns // 32), dtype=torch.uint8)
        dense = unpack(blocks, scales, torch.float32)
        bias = torch.randn(count, rows)
        return ExpertProduct(Mxfp4(blocks, scales) if packed else dense, bias), dense

    gate_up, w1 = product(2 * inner, hidden)
    down, w2 = product(hidden, inner)
    x, residual = torch.randn(7, hidden), torch.randn(7, hidden)
    experts = torch.stack([torch.randperm(count)[:2] for _ in range(7)])
    weights = torch.rand(7, 2)
    mixed = mix_experts(x, experts, weights, gate_up, down, 1.702, 7.0, residual)
    for t in range(7):
        expected = residual[t].clone()
        for e, w in zip(experts[t].tolist(), weights[t], strict=True):
            inside = swiglu((w1[e] @ x[t] + gate_up.bias[e])[None], 1.702, 7.0)[0]
            expected += w * (w2[e] @ inside + down.bias[e])
        torch.testing.assert_close(mixed[t], expected, rtol=1e-4, atol=1e-4)


def test_a_row_of_padding_has_no_expert() -> None:
    torch.manual_seed(2)
    x, weight, sequences = torch.randn(3, 8), torch.randn(4, 8), torch.tensor([0, -1, 2], dtype=torch.int32)
    normed, experts, weights = route(x, torch.ones(8), 1e-5, weight, torch.randn(4), 2, sequences)
    assert (experts >= 0).all(dim=1).tolist() == [True, False, True]
    assert experts[1].tolist() == [NO_EXPERT] * 2
    gate_up, down = (ExpertProduct(torch.randn(4, *shape), torch.randn(4, shape[0])) for shape in ((12, 8), (8, 6)))
    mixed = mix_experts(normed, experts, weights, gate_up, down, 1.702, 7.0, x)
    assert torch.equal(mixed[1], x[1])
    assert not torch.isclose(mixed[::2], x[::2]).all(dim=1).any()
