"""Norm, linear and residual in one launch: in Triton's interpreter against the references, and compiled."""

import pytest
import torch

from engine.kernels import norm_linear as reference
from engine.kernels.triton import norm_linear
from tests.engine.kernels.triton.ahead import compile_ahead
from tests.engine.kernels.triton.launches import record_launches

SHAPES = [(1, 300, 40), (2, 31, 7), (3, 256, 16), (4, 130, 33), (5, 60, 18)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("tokens", "columns", "rows"), SHAPES)
def test_both_are_their_references(tokens: int, columns: int, rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    x, weight = torch.randn(tokens, columns, dtype=dtype), torch.randn(rows, columns, dtype=dtype)
    gain, bias, residual = torch.randn(columns), torch.randn(rows, dtype=dtype), torch.randn(tokens, rows, dtype=dtype)
    tolerance = {"rtol": 2e-5, "atol": 2e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 0.25}
    for given in (bias, None):
        torch.testing.assert_close(
            norm_linear.norm_linear(x, gain, 1e-5, weight, given),
            reference.norm_linear(x, gain, 1e-5, weight, given),
            **tolerance,
        )
    torch.testing.assert_close(
        norm_linear.linear_add(x, weight, bias, residual), reference.linear_add(x, weight, bias, residual), **tolerance
    )


def test_the_norm_of_rows_that_stand_apart() -> None:
    x, gain = torch.randn(6, 80)[:, :50], torch.randn(50)
    torch.testing.assert_close(norm_linear.rms_norm(x, gain, 1e-5), reference.rms_norm(x, gain, 1e-5))


def test_compiled_it_loads_ahead() -> None:
    x = torch.zeros(4, 2880, dtype=torch.bfloat16)
    weight, bias, gain = torch.zeros(5120, 2880, dtype=x.dtype), torch.zeros(5120, dtype=x.dtype), torch.zeros(2880)

    def both() -> None:
        norm_linear.norm_linear(x[:1], gain, 1e-5, weight, bias)
        norm_linear.norm_linear(x, gain, 1e-5, weight, bias)

    for binary in compile_ahead(record_launches(both, norm_linear)):
        assert binary.spills == 0
        assert binary.count("LDGSTS") > 0
