"""fp8 matrices: every number is the nearest there is, and a product is that of the matrix it stands for."""

import pytest
import torch
from torch.nn import functional

from engine.kernels import fp8_matrix
from engine.kernels.deterministic import in_tiles
from engine.kernels.fp8_matrix import Fp8Matrix, linear, quantize, widen

SHAPES = [(1, 1), (3, 7), (130, 33), (5, 2880), (64, 128)]


def test_every_finite_code_is_widened_exactly() -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    finite = codes.float().isfinite()
    assert finite.sum() == 254
    assert widen(codes)[finite].float().equal(codes.float()[finite])


def grid(matrix: Fp8Matrix) -> torch.Tensor:
    """Every number that a row can hold, float64 [rows, 253], in ascending order."""
    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).double()
    return codes[codes.isfinite()].unique() * matrix.scales.double()[:, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 1e-40, 1e-30, 1e37])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_is_the_nearest_of_its_row(shape: tuple[int, int], size: float, dtype: torch.dtype) -> None:
    torch.manual_seed(shape[1])
    matrix = (torch.randn(shape) * size).to(dtype)
    matrix[len(matrix) // 2] = 0
    quantized = quantize(matrix)
    distance = (quantized.dense(torch.float32).double() - matrix.double()).abs()
    row, held = matrix.double()[:, :, None], grid(quantized)
    places = torch.searchsorted(held, matrix.double()).clamp(1, held.shape[1] - 1)
    nearest = torch.stack([held.gather(1, places - 1), held.gather(1, places)], dim=-1).sub(row).abs().amin(dim=-1)
    largest = matrix.double().abs().amax(dim=1, keepdim=True)
    assert (distance <= nearest + largest * 1e-6 + 1e-45).all()
    assert quantized.values.float().isfinite().all()


def test_a_row_of_zeros_stays_one() -> None:
    quantized = quantize(torch.tensor([[0.0, -0.0], [1e-44, 0.0], [3e38, -3e38]]))
    assert quantized.scales[0] == 1
    assert quantized.values[0].float().eq(0).all()
    assert quantized.scales.isfinite().all()
    assert quantized.dense(torch.float32)[2].tolist() == pytest.approx([3e38, -3e38], rel=1e-6)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible_in_its_row_alone(odd: float) -> None:
    matrix = torch.ones(3, 4)
    matrix[1, 2] = odd
    result = linear(torch.ones(2, 4), quantize(matrix), None)
    assert result[:, 1].isnan().all()
    assert result[:, [0, 2]].tolist() == [[4.0, 4.0], [4.0, 4.0]]


@pytest.mark.parametrize("block", [1, 100, 5000])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_that_of_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], block: int
) -> None:
    torch.manual_seed(shape[0])
    rows, columns = shape
    matrix, kept = torch.randn(shape), torch.randn(shape)
    x, bias = torch.randn(9, columns), torch.randn(rows)
    quantized = quantize(matrix)
    monkeypatch.setattr(fp8_matrix, "BLOCK_NUMBERS", block)
    kept.copy_(matrix)
    again = quantize(matrix)
    assert matrix.equal(kept)
    assert again.values.float().equal(quantized.values.float())
    assert again.scales.equal(quantized.scales)
    for given in (bias, None):
        want = functional.linear(x, quantized.dense(torch.float32), given)
        tolerance = {"rtol": 1e-5, "atol": 1e-6 * columns**0.5}
        torch.testing.assert_close(linear(x, quantized, given), want, **tolerance)
        torch.testing.assert_close(linear(x, quantized, given, in_tiles(functional.linear)), want, **tolerance)
        narrow = linear(x.bfloat16(), quantized, given)
        assert narrow.dtype == torch.bfloat16
        torch.testing.assert_close(narrow.float(), want, rtol=2e-2, atol=2e-2 * columns**0.5)


def test_rows_are_views() -> None:
    quantized = quantize(torch.ones(4, 2))
    quantized[1:3].copy_(torch.tensor([[2.0, 4.0], [8.0, 0.0]], dtype=torch.bfloat16))
    assert quantized.dense(torch.float32).tolist() == [[1, 1], [2, 4], [8, 0], [1, 1]]
    assert (len(quantized), quantized.shape) == (4, (4, 2))
