"""The router as a C++ op."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library
from engine.kernels.cpu.norm_linear import COLUMNS
from engine.kernels.router import route as route_reference

MOST_CHOSEN = 256


def route(
    library: Library,
    x: Tensor,
    norm: Tensor,
    eps: float,
    weight: Tensor,
    bias: Tensor,
    k: int,
    otherwise: Callable[..., tuple[Tensor, Tensor, Tensor]] = route_reference,
) -> tuple[Tensor, Tensor, Tensor]:
    """Takes and gives what the reference does; its logits are not rounded to bfloat16 before the choice. `otherwise` is
    for shapes that the op does not know."""
    tokens, columns = x.shape
    if columns % COLUMNS or k > MOST_CHOSEN:
        return otherwise(x, norm, eps, weight, bias, k)
    x = x.contiguous()
    normed = torch.empty_like(x)
    experts = torch.empty(tokens, k, dtype=torch.int64)
    weights = x.new_empty(tokens, k)
    library.route(x, norm, eps, weight, bias, normed, experts, weights, tokens, columns, weight.shape[0], k)
    return normed, experts, weights
