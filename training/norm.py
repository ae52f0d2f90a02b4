"""Root mean square norm of the residual stream, fused with a layer's addition to it."""

import torch
from torch import Tensor, nn


@torch.compile(dynamic=True)
def add_and_normalise(
    x: Tensor, update: Tensor, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """x and update [N, hidden] → their sum s, and s · weight / sqrt(mean(s²) + eps) in `dtype` (arXiv 1910.07467)."""
    x = x + update
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return x, (x * scale * weight).to(dtype)


class Norm(nn.Module):
    """The stream x [N, hidden] in float32, and an update → their sum, and its norm in the type of `update`."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, x: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
        return add_and_normalise(x, update, self.weight, self.eps, update.dtype)
