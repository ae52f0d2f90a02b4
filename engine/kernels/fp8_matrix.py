"""Matrices in fp8: float8_e4m3fn numbers and a scale for each row, a byte a number where bfloat16 takes two.

row r = values[r] · scales[r],  scales[r] = max |row r| / 448,  values[r] = row r / scales[r], rounded

A product multiplies the values, which bfloat16 holds exactly, and its sums by the scales: no weight is rounded twice.
A row with a number that is not finite becomes all NaN. Activations stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.cached import E4M3_LIMIT

BLOCK_NUMBERS = 2**20
"""Numbers of a matrix that are converted together: the results stay in a CPU's cache until they are used."""
GPU_BLOCK_NUMBERS = 2**24
"""The same for a GPU, which fewer would leave idle: 32 MiB of bfloat16."""
KEPT_BITS = 0x87F0 - 2**16
"""Mask of a bfloat16, as int16: the sign, and the seven bits that hold an e4m3's seven after a shift by four."""


@dataclass(frozen=True, slots=True)
class Fp8Matrix:
    """values float8_e4m3fn [rows, columns], scales float32 [rows]."""

    values: Tensor
    scales: Tensor

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> "Fp8Matrix":
        """These rows, in the same memory."""
        return Fp8Matrix(self.values[rows], self.scales[rows])

    def copy_(self, matrix: Tensor) -> None:
        """Quantizes a matrix of the same shape, from any device, into this one.

        Both buffers are reused: fresh memory would cost more than all the arithmetic.
        """
        rows, device = block_rows(self), self.values.device
        buffers = torch.empty(2, min(rows, len(self)), self.shape[1], dtype=torch.float32, device=device)
        for first, part in zip(range(0, len(self), rows), matrix.split(rows), strict=True):
            wide, sizes = buffers[:, : len(part)]
            wide.copy_(part)
            largest = torch.abs(wide, out=sizes).amax(dim=1)
            scales = (largest / E4M3_LIMIT).clamp(min=torch.finfo(torch.float32).tiny)
            scales = scales.masked_fill(largest == 0, 1.0).masked_fill(largest.isinf(), torch.nan)
            self.scales[first : first + rows] = scales
            self.values[first : first + rows] = wide.div_(scales[:, None])

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The matrix that it represents, [rows, columns], rounded to `dtype`."""
        return (widen(self.values).float() * self.scales[:, None]).to(dtype)


def quantize(matrix: Tensor) -> Fp8Matrix:
    """[rows, columns] → the same in fp8, on its device.

    >>> quantize(torch.tensor([[448.0, -3.3, 0.1], [0.0, 0.0, 0.0], [224.0, 0.3, 100.0]])).dense(torch.float32).tolist()
    [[448.0, -3.25, 0.1015625], [0.0, 0.0, 0.0], [224.0, 0.3125, 96.0]]
    """
    quantized = Fp8Matrix(
        torch.empty(matrix.shape, dtype=torch.float8_e4m3fn, device=matrix.device),
        torch.empty(len(matrix), dtype=torch.float32, device=matrix.device),
    )
    quantized.copy_(matrix)
    return quantized


def linear(
    x: Tensor,
    weight: Tensor | Fp8Matrix,
    bias: Tensor | None,
    product: Callable[..., Tensor] = functional.linear,
) -> Tensor:
    """[tokens, columns] → [tokens, rows] in x's dtype. `product` multiplies by a dense matrix."""
    if isinstance(weight, Tensor):
        return product(x, weight, bias)
    parts = [product(x, widen(values).to(x.dtype), None) for values in weight.values.split(block_rows(weight))]
    sums = torch.cat(parts, dim=1).float() * weight.scales
    return (sums if bias is None else sums + bias).to(x.dtype)


def block_rows(matrix: Fp8Matrix) -> int:
    """Rows whose numbers are converted together."""
    numbers = GPU_BLOCK_NUMBERS if matrix.values.is_cuda else BLOCK_NUMBERS
    return max(1, numbers // matrix.shape[1])


def widen(values: Tensor) -> Tensor:
    """Finite float8_e4m3fn → the same in bfloat16, by its bits: on a CPU five times as fast as torch's conversion.

    s eeee mmm moved up by four is s 0000eeee mmm0000, whose exponent is 120 too small: the biases are 7 and 127.

    >>> values = torch.tensor([1.0, -448.0, 2**-9]).to(torch.float8_e4m3fn)
    >>> widen(values).tolist()
    [1.0, -448.0, 0.001953125]
    """
    bits = values.view(torch.int8).to(torch.int16)
    return bits.bitwise_left_shift_(4).bitwise_and_(KEPT_BITS).view(torch.bfloat16).mul_(2.0**120)
