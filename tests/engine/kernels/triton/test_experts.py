"""The experts' kernels in Triton's interpreter against the reference."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.triton import experts as kernels
from engine.kernels.triton.experts import mix_experts, prepare_experts, prepare_resident_experts
from engine.kernels.triton.repack import KernelProduct, TiledProduct
from engine.kernels.triton.routing import make_tiles


def random_product(count: int, rows: int, columns: int, dtype: torch.dtype, scales: range) -> ExpertProduct:
    blocks = torch.randint(256, (count, rows, columns // 32, 16), dtype=torch.uint8)
    exponents = torch.randint(scales.start, scales.stop, (count, rows, columns // 32), dtype=torch.uint8)
    return ExpertProduct(Mxfp4(blocks, exponents), torch.randn(count, rows).to(dtype))


def compare(
    tokens: int,
    choices: int,
    count: int,
    hidden: int,
    inner: int,
    *,
    dtype: torch.dtype = torch.float32,
    gate_up_scales: range = range(119, 124),
    down_scales: range = range(119, 124),
    spread: float = 1.0,
) -> float:
    """The relative error of the kernels, in tokens of this spread, against the reference in float32."""
    torch.manual_seed(hidden + tokens)
    gate_up = random_product(count, 2 * inner, hidden, dtype, gate_up_scales)
    down = random_product(count, hidden, inner, dtype, down_scales)
    x, residual = (spread * torch.randn(tokens, hidden)).to(dtype), torch.randn(tokens, hidden).to(dtype)
    experts = torch.rand(tokens, count).argsort(dim=-1)[:, :choices].contiguous()
    weights = torch.rand(tokens, choices).to(dtype)
    exact = [ExpertProduct(product.matrix, product.bias.float()) for product in (gate_up, down)]
    want = reference(x.float(), experts, weights.float(), *exact, 1.702, 7.0, residual.float())
    got = mix_experts(x, experts, weights, prepare_experts(gate_up), prepare_experts(down), 1.702, 7.0, residual)
    assert got.dtype == dtype
    return ((got - want).norm() / want.norm()).item()


@pytest.mark.parametrize(
    ("tokens", "choices", "count", "hidden", "inner"),
    [
        (1, 1, 5, 64, 96),  # the smallest
        (1, 4, 32, 288, 160),  # batch 1: columns of `down` are split, groups are not all full
        (4, 4, 6, 96, 64),  # experts in common, nothing sorted
        (7, 2, 4, 64, 96),  # mixed four tokens at a time
        (3, 2, 3, 32, 416),  # four splits of four groups
        (9, 2, 5, 160, 96),  # sorted; an odd number of row tiles in blocks of two
        (30, 4, 128, 64, 64),  # more experts than tokens each
        (40, 4, 5, 96, 96),  # tiles of 64
        (70, 2, 2, 64, 64),  # tiles of 128, several an expert
    ],
)
def test_the_kernels_give_what_the_reference_gives(
    tokens: int, choices: int, count: int, hidden: int, inner: int
) -> None:
    assert compare(tokens, choices, count, hidden, inner) < 1e-6


@pytest.mark.parametrize("tokens", [2, 20])
def test_bfloat16_differs_by_its_rounding(tokens: int) -> None:
    """Of the tokens between the products and of the result; the interpreter cuts off instead of rounding."""
    assert compare(tokens, 2, 5, 96, 64, dtype=torch.bfloat16) < 1e-2


def test_scales_too_large_for_the_folded_exponent() -> None:
    assert compare(2, 2, 3, 64, 64, down_scales=range(120, 140)) < 1e-6
    assert compare(2, 2, 3, 64, 64, gate_up_scales=range(100, 130), spread=0.01) < 1e-6


def test_a_tokens_result_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    gate_up = prepare_experts(random_product(4, 128, 64, torch.float32, range(119, 124)))
    down = prepare_experts(random_product(4, 64, 64, torch.float32, range(119, 124)))
    x, experts = torch.randn(20, 64), torch.rand(20, 4).argsort(dim=-1)[:, :3].contiguous()
    weights = torch.rand(20, 3)

    def mix(rows: slice) -> torch.Tensor:
        return mix_experts(x[rows], experts[rows], weights[rows], gate_up, down, 1.702, 7.0, x[rows])

    torch.testing.assert_close(mix(slice(3, 4)), mix(slice(None))[3:4], rtol=1e-5, atol=1e-5)
    swapped = mix_experts(x, experts.flip(1), weights.flip(1), gate_up, down, 1.702, 7.0, x)
    assert torch.equal(swapped, mix(slice(None)))


def random_matrix(count: int, rows: int, columns: int) -> ExpertProduct:
    return ExpertProduct(torch.randn(count, rows, columns) * columns**-0.5, torch.randn(count, rows))


@pytest.mark.parametrize(
    ("tokens", "choices", "count", "hidden", "inner"),
    [
        (1, 4, 8, 72, 200),  # batch 1: columns of `down` are split, groups are not full
        (3, 2, 3, 40, 24),  # one group that is not full
        (30, 3, 4, 100, 66),  # sorted; the last rows' program is half beyond them
        (70, 2, 2, 64, 130),  # tiles of 128
    ],
)
def test_dense_matrices_of_any_shape(tokens: int, choices: int, count: int, hidden: int, inner: int) -> None:
    torch.manual_seed(hidden)
    gate_up, down = random_matrix(count, 2 * inner, hidden), random_matrix(count, hidden, inner)
    x, residual, weights = torch.randn(tokens, hidden), torch.randn(tokens, hidden), torch.rand(tokens, choices)
    experts = torch.rand(tokens, count).argsort(dim=-1)[:, :choices].contiguous()
    want = reference(x, experts, weights, gate_up, down, 1.702, 7.0, residual)
    got = mix_experts(x, experts, weights, prepare_experts(gate_up), prepare_experts(down), 1.702, 7.0, residual)
    assert (got - want).norm() / want.norm() < 1e-6


@pytest.mark.parametrize("pairs_an_expert", [1, 100])
def test_resident_matrices_are_those_that_were_packed(monkeypatch: pytest.MonkeyPatch, pairs_an_expert: int) -> None:
    """From so many pairs an expert on they are multiplied, and the packed ones are not even read; below, these are."""
    monkeypatch.setattr(kernels, "RESIDENT_PAIRS", pairs_an_expert)
    torch.manual_seed(2)
    packed = [
        random_product(3, 192, 64, torch.float32, range(119, 124)),
        random_product(3, 64, 96, torch.float32, range(119, 124)),
    ]
    x, weights = torch.randn(20, 64), torch.rand(20, 2)
    experts = torch.rand(20, 3).argsort(dim=-1)[:, :2].contiguous()
    want = reference(x, experts, weights, *packed, 1.702, 7.0, x)
    prepared = [prepare_resident_experts(product) for product in packed]
    for product in prepared:
        assert isinstance(product, TiledProduct)
        assert product.resident is not None
        (product.scales if pairs_an_expert == 1 else product.resident.matrix).fill_(0)
    got = mix_experts(x, experts, weights, *prepared, 1.702, 7.0, x)
    assert (got - want).norm() / want.norm() < 1e-6


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("tokens", [4, 12])
def test_rows_of_padding_touch_no_expert(tokens: int, dense: bool) -> None:
    """What other rows get is the same, to the bit, and padding keeps its residual: the experts that nobody chose, and
    what stands where an expert −1 would, are no numbers."""
    torch.manual_seed(tokens)

    def product(rows: int, columns: int) -> ExpertProduct:
        if dense:
            return random_matrix(5, rows, columns)
        return random_product(5, rows, columns, torch.float32, range(119, 124))

    prepared = [prepare_experts(product(192, 64)), prepare_experts(product(64, 96))]
    experts = torch.rand(tokens, 2).argsort(dim=-1) + 2
    weights, x = torch.rand(tokens, 2), torch.randn(tokens, 64)
    padding = torch.zeros(tokens, dtype=torch.bool)
    padding[[1, -1]] = True
    want = mix_experts(x, experts, weights, *prepared, 1.702, 7.0, x)
    spoilt = []
    for its in prepared:
        bias = its.bias.clone()
        bias[[0, 1, 4]] = torch.nan
        spoilt.append(without_the_first(replace(its, bias=bias)))
    got = mix_experts(x, experts.masked_fill(padding[:, None], 0) - 1, weights, *spoilt, 1.702, 7.0, x)
    assert torch.equal(got[~padding], want[~padding])
    assert torch.equal(got[padding], x[padding])


def without_the_first(product: KernelProduct) -> KernelProduct:
    """The experts from the second on, with the first one's numbers before them in memory."""
    if isinstance(product, TiledProduct):
        return replace(product, blocks=product.blocks[1:], scales=product.scales[1:], bias=product.bias[1:])
    return replace(product, matrix=product.matrix[1:], bias=product.bias[1:])


def test_what_no_token_chose_is_not_read() -> None:
    """The rows of `inside` and `out` that are read are those that were written: a tile's other rows are harmless."""
    torch.manual_seed(1)
    product = random_product(3, 64, 64, torch.float32, range(119, 124))
    tiled = prepare_experts(product)
    experts = torch.tensor([[0], [2], [0]])
    inside = torch.randn(3, 64)
    one, none, arrivals = torch.ones(3, 1), torch.zeros(3, 64), torch.zeros(1, dtype=torch.int32)
    out = kernels.mix_down(inside, experts, one, make_tiles(experts, 3, 128), tiled, none, arrivals)
    want = torch.stack([functional.linear(inside[i], *product.of(int(experts[i]), inside.dtype)) for i in range(3)])
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-5)
