"""Norm, linear and residual in one launch: in Triton's interpreter against the references, and compiled."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from engine.kernels import norm_linear as reference
from engine.kernels.fp8_matrix import Fp8Matrix, quantize
from engine.kernels.triton import fp8_linear, norm_linear
from tests.engine.kernels.triton.ahead import compile_ahead
from tests.engine.kernels.triton.launches import record_launches
from tests.engine.kernels.triton.pending import overwritten_operands, reads_registers

SHAPES = [(1, 300, 40), (2, 31, 7), (3, 256, 16), (4, 130, 33), (5, 60, 18)]
FP8_SHAPES = [*SHAPES, (5, 300, 40), (16, 128, 33), (17, 31, 130), (70, 130, 40), (65, 257, 70), (257, 40, 7)]


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("tokens", "columns", "rows"), FP8_SHAPES)
def test_over_fp8_weights_too(tokens: int, columns: int, rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(rows)
    weight = quantize(torch.randn(rows, columns) * torch.logspace(-2, 1, rows)[:, None])
    x = torch.randn(tokens, columns + 5).to(dtype)[:, :columns] * 0.1
    gain, bias, residual = torch.randn(columns), torch.randn(rows).to(dtype), torch.randn(tokens, rows).to(dtype)
    tolerance = {"rtol": 2e-5, "atol": 2e-4} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 0.3}
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


FP8_LAUNCHES = [(16, 90), (32, 90), (256, 80), (256, 90), (256, 100)]
"""Tokens, and the GPU's compute capability."""


def test_compiled_over_fp8_it_loads_ahead_and_uses_the_tensor_cores() -> None:
    """A GPU that is to read a byte a weight at full speed has time for about six instructions."""
    weight = Fp8Matrix(torch.empty(5120, 2880, dtype=torch.float8_e4m3fn), torch.empty(5120))
    bias, gain = torch.empty(5120, dtype=torch.bfloat16), torch.empty(2880)
    kernels = []
    for tokens, capability in FP8_LAUNCHES:
        x = torch.empty(tokens, 2880, dtype=torch.bfloat16)
        _, launch = record_launches(
            partial(norm_linear.norm_linear, x, gain, 1e-5, weight, bias), norm_linear, fp8_linear
        )
        kernels.append(replace(launch, capability=capability, constants=launch.constants | {"PTX": True}))
    for (tokens, capability), kernel, binary in zip(FP8_LAUNCHES, kernels, compile_ahead(kernels), strict=True):
        assert binary.spills == 0
        assert binary.count("LDGSTS") > 0
        assert binary.shared <= (227 if capability >= 90 else 99) * 1024
        instruction = "HMMA" if tokens <= 16 else {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}[capability]
        assert binary.count(instruction) > 0
        weights = kernel.constants["ROWS"] * kernel.constants["GROUP"]
        count = min(len(body) for body in binary.loops("MMA")) * 32 * kernel.num_warps / weights
        print(f"sm_{capability}, {tokens} tokens: {count:.2f} instructions a weight, {binary.registers} registers")
        loops = binary.loops("HGMMA")
        assert any(reads_registers(loop) for loop in loops) == (instruction == "HGMMA")
        assert all(overwritten_operands(loop) == [] for loop in loops)
        if capability == 90:
            assert count <= (4.5 if tokens <= 16 else 7.2)
