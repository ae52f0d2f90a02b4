"""The linear map of a matrix in fp8 (reference: `engine.kernels.fp8_matrix.linear`):

out[token, row] = scales[row] · Σ values[row, column] · x[token, column] + bias[row] + residual[token, row]

Of up to MOST_TOKENS tokens its time is that of the matrix's bytes, rows · columns, each read once a tile of tokens and
widened in registers on its way to the tensor cores; scale, bias and residual join the float32 sums. A longer step is
bound by arithmetic: there the matrix is widened in memory, and the vendor library multiplies.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.fp8_matrix import Fp8Matrix, linear
from engine.kernels.triton.e4m3 import UNSCALE, widen
from engine.kernels.triton.mxfp4_product import INTERPRETED
from engine.kernels.triton.wgmma import finished

MOST_TOKENS = 256
GROUP = 128
"""Columns a step: of a row, one cache line."""
STAGES = 4


@triton.jit(do_not_specialize=["tokens"])
def fp8_linear_kernel(
    x, values, scales, bias, residual, out, tokens, rows, columns, x_stride,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, GROUP: tl.constexpr, STAGES: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    column = tl.arange(0, GROUP)
    there, valid = row < rows, token < tokens
    values += tl.minimum(row, rows - 1).to(tl.int64)[:, None] * columns + column[None, :]
    x += token.to(tl.int64)[:, None] * x_stride + column[None, :]
    sums = tl.zeros([ROWS, TOKENS], tl.float32)
    for first in tl.range(0, columns, GROUP, num_stages=STAGES):
        inside = (column < columns - first)[None, :]
        weights = widen(tl.load(values, mask=inside, other=0), PTX)
        states = tl.load(x, mask=valid[:, None] & inside, other=0.0)
        sums = finished(tl.dot(weights, states.to(weights.dtype).trans(), sums, input_precision="ieee"), PTX)
        values += GROUP
        x += GROUP
    sums = sums * UNSCALE * tl.load(scales + row, mask=there, other=0.0)[:, None]
    if bias is not None:
        sums += tl.load(bias + row, mask=there, other=0.0).to(tl.float32)[:, None]
    at = token.to(tl.int64)[None, :] * rows + row[:, None]
    stored = there[:, None] & valid[None, :]
    if residual is not None:
        sums += tl.load(residual + at, mask=stored, other=0.0).to(tl.float32)
    tl.store(out + at, sums.to(out.dtype.element_ty), mask=stored)


def fp8_linear(x: Tensor, weight: Fp8Matrix, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    """x [tokens, columns] → [tokens, rows].

    For up to 16 tokens, the fewest that the tensor cores take, many small programs, each of whose two warps widens rows
    of its own. The programs of one block of rows run together, so that it is read from memory once.
    """
    tokens, (rows, columns) = len(x), weight.shape
    if tokens > MOST_TOKENS:
        product = linear(x, weight, bias)
        return product if residual is None else residual + product
    assert x.stride(1) == 1
    assert weight.values.is_contiguous()
    assert residual is None or residual.is_contiguous()
    out = torch.empty((tokens, rows), dtype=x.dtype, device=x.device)
    width = min(64, max(16, triton.next_power_of_2(tokens)))
    block, warps = (32, 2) if width == 16 else (64, 4)
    fp8_linear_kernel[(triton.cdiv(tokens, width), triton.cdiv(rows, block))](
        x, weight.values.view(torch.uint8), weight.scales, bias, residual, out, tokens, rows, columns, x.stride(0),
        ROWS=block, TOKENS=width, GROUP=GROUP, STAGES=STAGES, PTX=not INTERPRETED, num_warps=warps,
    )  # fmt: skip
    return out
