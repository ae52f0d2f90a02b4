"""norm_linear, linear_add and route in C++ against the references in float32."""

import pytest
import torch

from engine.kernels.cpu import norm_linear as ops
from engine.kernels.cpu import router
from engine.kernels.cpu.library import Library
from engine.kernels.fp8_matrix import Fp8Matrix, quantize
from engine.kernels.norm_linear import linear_add, norm_linear, rms_norm
from engine.kernels.router import route as reference
from tests.engine.kernels.cpu.close import assert_rounded
from tests.engine.kernels.cpu.threads import torch_threads

SHAPES = [
    (1, 1024, 96), (2, 32, 1), (3, 160, 34), (5, 96, 7), (7, 2880, 130), (32, 64, 66), (61, 64, 9), (70, 1120, 50),
    (400, 2880, 40), (2, 40, 8),
]  # fmt: skip
"""Tokens, columns, rows. The tokens of the last but one do not fit a second-level cache; the last one is left to the
reference: columns in no whole vectors."""


def numbers(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return (torch.randn(shape) * scale).bfloat16()


@pytest.mark.parametrize("fp8", [False, True])
@pytest.mark.parametrize(("tokens", "columns", "rows"), SHAPES)
def test_linear(library: Library, tokens: int, columns: int, rows: int, fp8: bool) -> None:
    torch.manual_seed(tokens)
    x, norm, bias, residual = numbers(tokens, columns), torch.rand(columns) + 0.5, numbers(rows), numbers(tokens, rows)
    weight: torch.Tensor | Fp8Matrix = numbers(rows, columns, scale=columns**-0.5)
    exact = weight.float() if isinstance(weight, torch.Tensor) else weight
    if fp8:
        weight = quantize(numbers(rows, columns, scale=columns**-0.5))
        exact = weight.dense(torch.float32)
    normed = rms_norm(x, norm, 1e-5).float()
    given = ops.norm_linear(library, x, norm, 1e-5, weight, bias)
    assert_rounded(given, normed @ exact.T + bias.float(), roundings=2)
    assert_rounded(ops.norm_linear(library, x, norm, 1e-5, weight, None), normed @ exact.T, roundings=2)
    given = ops.linear_add(library, x, weight, bias, residual)
    assert_rounded(given, linear_add(x.float(), exact, bias.float(), residual.float()), roundings=3)


def test_a_number_that_is_none_spoils_its_row_alone(library: Library) -> None:
    x, norm, weight = numbers(3, 64), torch.ones(64), numbers(20, 64)
    x[1, 5] = torch.nan
    spoilt = ops.norm_linear(library, x, norm, 1e-5, weight, None).isnan()
    assert spoilt[1].all()
    assert not spoilt[::2].any()


def test_every_number_of_e4m3(library: Library) -> None:
    """All but NaN, one a row."""
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    values = torch.zeros(256, 32, dtype=torch.uint8).view(torch.float8_e4m3fn)
    values.view(torch.uint8)[:, 3] = every.view(torch.uint8)
    x = torch.zeros(1, 32, dtype=torch.bfloat16)
    x[0, 3] = 1.0
    given = ops.linear(library, x, None, 0.0, Fp8Matrix(values, torch.full((256,), 2.0)), None, None)[0].float()
    expected = every.float() * 2
    known = ~expected.isnan()
    torch.testing.assert_close(given[known], expected[known], rtol=0, atol=0)


@pytest.mark.parametrize("fp8", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_depends_on_no_other(library: Library, threads: int, fp8: bool) -> None:
    """To the last bit, on one thread or two. The exact result is zero, so what comes out is nothing but how the sums
    were rounded."""
    half, matrix = numbers(21, 1040), numbers(47, 1040).repeat(1, 2)
    x, weight = torch.cat((half, -half), dim=1), quantize(matrix) if fp8 else matrix
    with torch_threads(threads):
        together = ops.linear(library, x, None, 0.0, weight, None, None)
    assert together.count_nonzero() > 0.5 * together.numel()
    for first, last in ((0, 1), (1, 3), (3, 7), (7, 12), (12, 20), (2, 17)):
        apart = ops.linear(library, x[first:last], None, 0.0, weight, None, None)
        torch.testing.assert_close(apart, together[first:last], rtol=0, atol=0)


@pytest.mark.parametrize(("tokens", "columns", "experts", "k"), [(1, 64, 32, 4), (9, 160, 128, 4), (4, 32, 5, 5)])
def test_route(library: Library, tokens: int, columns: int, experts: int, k: int) -> None:
    torch.manual_seed(experts)
    x, norm = numbers(tokens, columns), torch.rand(columns) + 0.5
    weight, bias = numbers(experts, columns), numbers(experts)
    normed, chosen, weights = router.route(library, x, norm, 1e-5, weight, bias, k)
    expected = rms_norm(x, norm, 1e-5)
    assert_rounded(normed, expected.float())
    top, best = (normed.float() @ weight.float().T + bias.float()).topk(k)
    assert chosen.tolist() == best.tolist()
    assert_rounded(weights, top.softmax(-1))


@pytest.mark.parametrize("damaged", [0, 3, 7])
def test_a_damaged_router_shows(library: Library, damaged: int) -> None:
    bias = torch.zeros(8).bfloat16()
    bias[damaged] = torch.nan
    inputs = numbers(2, 64), torch.ones(64), 1e-5, numbers(8, 64), bias, 3
    for _, chosen, weights in router.route(library, *inputs), reference(*inputs):
        assert chosen[:, 0].tolist() == [damaged, damaged]
        assert weights.isnan().all()


def test_what_is_left_to_the_reference_is_its(library: Library) -> None:
    x, norm, weight = numbers(2, 40), torch.ones(40), numbers(8, 40)
    given = ops.norm_linear(library, x, norm, 1e-5, weight, None)
    torch.testing.assert_close(given, norm_linear(x, norm, 1e-5, weight, None), rtol=0, atol=0)
