"""Root mean square norm, with a gradient in few passes: a small model spends much of its time on such things."""

from typing import Any

import torch
from torch import Tensor, nn


class Normalise(torch.autograd.Function):
    """x [N, hidden] → x · r · weight in `dtype`, where r = 1/sqrt(mean(x²) + eps) (arXiv 1910.07467).

    With g the gradient of the result, that of x is r·g·weight - x · r³ · mean(g·x·weight).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        scale = (torch.linalg.vector_norm(x, dim=-1).square_() / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        out: Tensor = (x * scale[:, None]).mul_(weight).to(dtype)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        both = gradient * x
        pull = (both @ weight).mul_(scale**3).div_(x.shape[-1])
        back = gradient.mul(scale[:, None]).mul_(weight).addcmul_(x, pull[:, None], value=-1)
        return back, scale @ both, None, None


class Norm(nn.Module):
    """x [..., hidden] in float32 → the same in `dtype`."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        flat: Tensor = Normalise.apply(x.flatten(0, -2), self.weight, self.eps, dtype)  # type: ignore[no-untyped-call]
        return flat.view_as(x)
