"""RMSNorm and the linear maps around it (reference: `engine.kernels.norm_linear`).

A few tokens are a matrix-vector product, bound by the weights' bytes (2 · rows · columns): one kernel reads each weight
once and takes norm, bias and residual along. The norm's factor is one number a token, so it waits until the sums are
there: linear(rms_norm(x)) = rsqrt(mean(x²) + eps) · W·(gain · x) + bias. Arithmetic is float32 on the ordinary cores,
one conversion and one multiply-add for each token a weight; an H200 has time for about 13 instructions a bf16 weight.

More tokens are the vendor library's matrix product, after a norm in one launch. Matrices in fp8 have a product of their
own for any number of tokens (`engine.kernels.triton.fp8_linear`).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from engine.kernels.fp8_matrix import Fp8Matrix
from engine.kernels.norm_linear import linear_add as linear_add_reference
from engine.kernels.triton.fp8_linear import fp8_linear

FEW_TOKENS = 4
BLOCK_COLUMNS = 256
"""Columns a step: two bf16 for each thread, the least that is copied ahead without the threads' help."""
STAGES = 4


@triton.jit
def add_token(x, token, tokens, x_stride, column, inside, gain, weight, acc, squares):
    """One token's share of a block of columns: acc [rows, columns] += W · gain · x, squares [columns] += x²."""
    value = tl.load(x + token * x_stride + column, mask=inside & (token < tokens), other=0.0).to(tl.float32)
    return acc + weight * (value * gain)[None, :], squares + value * value


@triton.jit
def store_token(out, bias, residual, token, tokens, row, rows, acc, squares, columns, eps, NORM: tl.constexpr):
    """The rows' sums, with what belongs to them, of one token."""
    inside = (row < rows) & (token < tokens)
    total = tl.sum(acc, axis=1)
    if NORM:
        total *= tl.rsqrt(tl.sum(squares, axis=0) / columns + eps)
    if bias is not None:
        total += tl.load(bias + row, mask=inside, other=0.0).to(tl.float32)
    if residual is not None:
        total += tl.load(residual + token * rows + row, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + token * rows + row, total.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["tokens"])
def few_tokens_linear(
    x, gain, weight, bias, residual, out, tokens, rows, columns, x_stride, eps,
    TOKENS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = weight + row.to(tl.int64)[:, None] * columns
    acc0 = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares0 = tl.zeros([COLUMNS], tl.float32)
    if TOKENS > 1:
        acc1, squares1 = acc0, squares0
    if TOKENS > 2:
        acc2, squares2 = acc0, squares0
        acc3, squares3 = acc0, squares0
    for first in tl.range(0, columns, COLUMNS, num_stages=STAGES):
        column = first + tl.arange(0, COLUMNS)
        inside = column < columns
        block = tl.load(at + column[None, :], mask=(row < rows)[:, None] & inside[None, :], other=0.0).to(tl.float32)
        scale = 1.0 if gain is None else tl.load(gain + column, mask=inside, other=0.0)
        acc0, squares0 = add_token(x, 0, tokens, x_stride, column, inside, scale, block, acc0, squares0)
        if TOKENS > 1:
            acc1, squares1 = add_token(x, 1, tokens, x_stride, column, inside, scale, block, acc1, squares1)
        if TOKENS > 2:
            acc2, squares2 = add_token(x, 2, tokens, x_stride, column, inside, scale, block, acc2, squares2)
            acc3, squares3 = add_token(x, 3, tokens, x_stride, column, inside, scale, block, acc3, squares3)
    norm: tl.constexpr = gain is not None
    store_token(out, bias, residual, 0, tokens, row, rows, acc0, squares0, columns, eps, norm)
    if TOKENS > 1:
        store_token(out, bias, residual, 1, tokens, row, rows, acc1, squares1, columns, eps, norm)
    if TOKENS > 2:
        store_token(out, bias, residual, 2, tokens, row, rows, acc2, squares2, columns, eps, norm)
        store_token(out, bias, residual, 3, tokens, row, rows, acc3, squares3, columns, eps, norm)


@triton.jit
def rms_norm_kernel(x, gain, out, columns, x_stride, eps, WIDTH: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < columns
    value = tl.load(x + token * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    value *= tl.rsqrt(tl.sum(value * value, axis=0) / columns + eps)
    value *= tl.load(gain + column, mask=inside, other=0.0)
    tl.store(out + token * columns + column, value.to(out.dtype.element_ty), mask=inside)


def few_tokens(
    x: Tensor, gain: Tensor | None, eps: float, weight: Tensor, bias: Tensor | None, residual: Tensor | None
) -> Tensor:
    """x [tokens ≤ FEW_TOKENS, columns], weight [rows, columns] → [tokens, rows]."""
    assert x.stride(1) == 1
    assert weight.is_contiguous()
    assert residual is None or residual.is_contiguous()
    tokens, columns = x.shape
    rows = len(weight)
    out = torch.empty((tokens, rows), dtype=x.dtype, device=x.device)
    block_rows = 16 if tokens <= 2 else 8
    few_tokens_linear[(triton.cdiv(rows, block_rows),)](
        x, gain, weight, bias, residual, out, tokens, rows, columns, x.stride(0), eps,
        TOKENS=triton.next_power_of_2(tokens), ROWS=block_rows, COLUMNS=BLOCK_COLUMNS, STAGES=STAGES,
        num_warps=4,
    )  # fmt: skip
    return out


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[tokens, hidden] → the same, contiguous. `weight` is float32 [hidden]."""
    assert x.stride(1) == 1
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    columns = x.shape[1]
    rms_norm_kernel[(len(x),)](x, weight, out, columns, x.stride(0), eps, WIDTH=triton.next_power_of_2(columns))
    return out


def norm_linear(x: Tensor, norm: Tensor, eps: float, weight: Tensor | Fp8Matrix, bias: Tensor | None) -> Tensor:
    """Takes and gives what the reference does."""
    if isinstance(weight, Fp8Matrix):
        return fp8_linear(rms_norm(x, norm, eps), weight, bias, None)
    if len(x) <= FEW_TOKENS:
        return few_tokens(x, norm, eps, weight, bias, None)
    return functional.linear(rms_norm(x, norm, eps), weight, bias)


def linear_add(x: Tensor, weight: Tensor | Fp8Matrix, bias: Tensor, residual: Tensor) -> Tensor:
    """Takes and gives what the reference does."""
    if isinstance(weight, Fp8Matrix):
        return fp8_linear(x, weight, bias, residual)
    if len(x) <= FEW_TOKENS:
        return few_tokens(x, None, 0.0, weight, bias, residual)
    return linear_add_reference(x, weight, bias, residual)
