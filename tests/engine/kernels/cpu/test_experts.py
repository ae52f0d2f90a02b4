"""The experts in C++ against the reference in float32."""

import pytest
import torch
from torch import Tensor

from engine.kernels.cpu.experts import mix_experts, prepare_experts
from engine.kernels.cpu.library import Library
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from tests.engine.kernels.cpu.close import assert_rounded
from tests.engine.kernels.cpu.threads import torch_threads

SHAPES = [
    (1, 1024, 512, 32, 4), (5, 160, 96, 8, 2), (40, 96, 32, 8, 3), (3, 32, 288, 2, 2), (21, 128, 64, 4, 4),
    (2, 2880, 96, 3, 1), (90, 1088, 64, 2, 1), (700, 2880, 32, 2, 1),
]  # fmt: skip
"""Tokens, hidden, inner, experts, chosen: experts of one token and of many, whole groups of 128 columns and odds."""


def product(experts: int, rows: int, columns: int, packed: bool) -> ExpertProduct:
    bias = torch.randn(experts, rows).bfloat16()
    if not packed:
        return ExpertProduct((torch.randn(experts, rows, columns) * columns**-0.5).bfloat16(), bias)
    blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
    return ExpertProduct(Mxfp4(blocks, torch.randint(118, 123, blocks.shape[:3], dtype=torch.uint8)), bias)


def exact(product: ExpertProduct) -> ExpertProduct:
    matrix = product.matrix
    return ExpertProduct(matrix if isinstance(matrix, Mxfp4) else matrix.float(), product.bias.float())


def inputs(tokens: int, hidden: int, experts: int, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, chosen experts, their weights, residual."""
    chosen = torch.stack([torch.randperm(experts)[:k] for _ in range(tokens)])
    weights = torch.rand(tokens, k).softmax(-1).bfloat16()
    return torch.randn(tokens, hidden).bfloat16(), chosen, weights, torch.randn(tokens, hidden).bfloat16()


def prepared(library: Library, product: ExpertProduct) -> ExpertProduct:
    """What the op takes; `product` stays as it is."""
    matrix = product.matrix
    if isinstance(matrix, Mxfp4):
        product = ExpertProduct(Mxfp4(matrix.blocks.clone(), matrix.scales), product.bias)
    return prepare_experts(library, product)


@pytest.mark.parametrize("packed", [True, False], ids=["mxfp4", "bf16"])
@pytest.mark.parametrize(("tokens", "hidden", "inner", "experts", "k"), SHAPES)
def test_mix_experts(
    library: Library, tokens: int, hidden: int, inner: int, experts: int, k: int, packed: bool
) -> None:
    torch.manual_seed(hidden)
    up, down = product(experts, 2 * inner, hidden, packed), product(experts, hidden, inner, packed)
    x, chosen, weights, residual = inputs(tokens, hidden, experts, k)
    products = prepared(library, up), prepared(library, down)
    given = mix_experts(library, x, chosen, weights, *products, 1.702, 7.0, residual)
    expected = reference(x.float(), chosen, weights.float(), exact(up), exact(down), 1.702, 7.0, residual.float())
    assert_rounded(given, expected, roundings=3)


def without_bias(product: ExpertProduct) -> ExpertProduct:
    return ExpertProduct(product.matrix, torch.zeros_like(product.bias))


def twice(product: ExpertProduct) -> ExpertProduct:
    """The same columns once more beside them."""
    matrix = product.matrix
    if isinstance(matrix, Mxfp4):
        blocks, scales = matrix.blocks, matrix.scales
        return ExpertProduct(Mxfp4(blocks.repeat(1, 1, 2, 1), scales.repeat(1, 1, 2)), product.bias)
    return ExpertProduct(matrix.repeat(1, 1, 2), product.bias)


@pytest.mark.parametrize("packed", [True, False], ids=["mxfp4", "bf16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_token_depends_on_no_other(library: Library, threads: int, packed: bool) -> None:
    """To the last bit, whether its experts are multiplied with it alone, with a few tokens or, unpacked, with many, on
    one thread or two.

    The exact result is zero, so what comes out is nothing but how the sums were rounded.
    """
    up, down = twice(without_bias(product(4, 192, 576, packed))), without_bias(product(4, 1152, 96, packed))
    up, down = prepared(library, up), prepared(library, down)
    half, chosen, weights, residual = inputs(41, 576, 4, 2)
    x, residual = torch.cat((half, -half), dim=1), torch.zeros(41, 1152, dtype=torch.bfloat16)

    def mixed(some: slice) -> Tensor:
        return mix_experts(library, x[some], chosen[some], weights[some], up, down, 1.702, 7.0, residual[some])

    with torch_threads(threads):
        together = mixed(slice(None))
    assert together.count_nonzero() > 0.5 * together.numel()
    for count in (1, 2, 3, 5, 9, 14):
        for first in range(0, 41, count):
            some = slice(first, first + count)
            torch.testing.assert_close(mixed(some), together[some], rtol=0, atol=0)


def test_a_number_that_is_none_spoils_its_row_alone(library: Library) -> None:
    up, down = prepared(library, product(4, 64, 32, True)), prepared(library, product(4, 32, 32, True))
    x, chosen, weights, residual = inputs(9, 32, 4, 2)
    x[4, 7] = torch.nan
    spoilt = mix_experts(library, x, chosen, weights, up, down, 1.702, 7.0, residual).isnan()
    assert spoilt[4].all()
    assert not spoilt[torch.arange(9) != 4].any()


def test_every_nibble_under_scales_of_all_sizes(library: Library) -> None:
    """One column of the down product at a time: 16 values, of eleven scales, through a row that may be unpacked for
    many tokens and one that is not."""
    blocks = torch.zeros(1, 32, 1, 16, dtype=torch.uint8)
    blocks[0, :16, 0, 0] = torch.arange(16, dtype=torch.uint8) << 4
    for scale in (20, 64, 101, *range(118, 136, 3), 160, 225):
        down = ExpertProduct(
            Mxfp4(blocks, torch.full((1, 32, 1), scale, dtype=torch.uint8)), torch.zeros(1, 32).bfloat16()
        )
        bias = torch.zeros(1, 64).bfloat16()
        bias[0, 2:4] = torch.tensor([30.0, 0.0])
        up = ExpertProduct(
            Mxfp4(torch.zeros(1, 64, 1, 16, dtype=torch.uint8), torch.full((1, 64, 1), 127, dtype=torch.uint8)), bias
        )
        products = prepared(library, up), prepared(library, down)
        for tokens in (1, 9):
            x = torch.zeros(tokens, 32).bfloat16()
            chosen, weights = torch.zeros(tokens, 1, dtype=torch.int64), torch.ones(tokens, 1).bfloat16()
            given = mix_experts(library, x, chosen, weights, *products, 1.702, 7.0, x)
            expected = reference(x.float(), chosen, weights.float(), exact(up), exact(down), 1.702, 7.0, x.float())
            torch.testing.assert_close(given, expected.bfloat16(), rtol=0, atol=0)
