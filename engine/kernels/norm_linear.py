"""RMSNorm and the linear maps around it.

rms_norm(x) = x / sqrt(mean(x²) + eps) · weight            in float32, back to x's dtype
norm_linear = linear(rms_norm(x))                          before q, k, v and before the vocabulary
linear_add  = residual + linear(x)                         after the attention

`weight` is [rows, columns], dense or in fp8.
"""

import torch
from torch import Tensor

from engine.kernels.fp8_matrix import Fp8Matrix, linear


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[tokens, hidden] → the same. `weight` is float32 [hidden]."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return (weight * wide).to(x.dtype)


def norm_linear(x: Tensor, norm: Tensor, eps: float, weight: Tensor | Fp8Matrix, bias: Tensor | None) -> Tensor:
    """[tokens, hidden] → [tokens, rows of weight]."""
    return linear(rms_norm(x, norm, eps), weight, bias)


def linear_add(x: Tensor, weight: Tensor | Fp8Matrix, bias: Tensor, residual: Tensor) -> Tensor:
    """[tokens, columns of weight] → [tokens, hidden]."""
    return residual + linear(x, weight, bias)
