"""Linear layers that compute in the type of their input, whatever the type of their weights."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class Affine(torch.autograd.Function):
    """x [N, in] · weight [out, in] + bias [out]. The bias's gradient is a product too: a sum is slower in bf16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        out: Tensor = functional.linear(x, weight, bias)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ weight, gradient.t() @ x, (gradient.new_ones(1, len(gradient)) @ gradient)[0]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    out: Tensor = Affine.apply(x, weight.to(x.dtype), bias.to(x.dtype))  # type: ignore[no-untyped-call]
    return out
