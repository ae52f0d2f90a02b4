"""RMSNorm and the linear maps around it, as C++ ops: a matrix is read once for all tokens."""

from collections.abc import Callable

from torch import Tensor

from engine.kernels.cpu.library import Library
from engine.kernels.fp8_matrix import Fp8Matrix
from engine.kernels.norm_linear import linear_add as linear_add_reference
from engine.kernels.norm_linear import norm_linear as norm_linear_reference

COLUMNS = 32
"""The ops take columns in multiples of this: two vectors of bf16, an MXFP4 block."""


def norm_linear(
    library: Library,
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Tensor | Fp8Matrix,
    bias: Tensor | None,
    otherwise: Callable[..., Tensor] = norm_linear_reference,
) -> Tensor:
    """Takes and gives what the reference does. `otherwise` is for columns that the op does not know."""
    if x.shape[1] % COLUMNS:
        return otherwise(x, norm, eps, weight, bias)
    return linear(library, x, norm, eps, weight, bias, None)


def linear_add(
    library: Library,
    x: Tensor,
    weight: Tensor | Fp8Matrix,
    bias: Tensor,
    residual: Tensor,
    otherwise: Callable[..., Tensor] = linear_add_reference,
) -> Tensor:
    """Takes and gives what the reference does. `otherwise` is for columns that the op does not know."""
    if x.shape[1] % COLUMNS:
        return otherwise(x, weight, bias, residual)
    return linear(library, x, None, 0.0, weight, bias, residual)


def linear(
    library: Library,
    x: Tensor,
    norm: Tensor | None,
    eps: float,
    weight: Tensor | Fp8Matrix,
    bias: Tensor | None,
    residual: Tensor | None,
) -> Tensor:
    x = x.contiguous()
    tokens, columns = x.shape
    rows = weight.shape[0]
    out = x.new_empty(tokens, rows)
    if isinstance(weight, Fp8Matrix):
        values, scales = weight.values, weight.scales
        library.linear_fp8(x, norm, eps, values, scales, bias, residual, out, tokens, rows, columns)
    else:
        library.linear_bf16(x, norm, eps, weight, bias, residual, out, tokens, rows, columns)
    return out
