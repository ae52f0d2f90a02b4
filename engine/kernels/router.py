"""The router: which experts a token goes to, and with what weight.

logits = linear(rms_norm(x)); the top k of them; softmax over those k only
"""

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.norm_linear import rms_norm

NO_EXPERT = -1


def route(
    x: Tensor, norm: Tensor, eps: float, weight: Tensor, bias: Tensor, k: int, row_sequences: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """[tokens, hidden] → the normed tokens, expert ids int64 [tokens, k], weights [tokens, k] in x's dtype. Rows whose
    `row_sequences`, int32 [tokens], is negative get `NO_EXPERT`."""
    normed = rms_norm(x, norm, eps)
    top, experts = torch.topk(functional.linear(normed, weight, bias), k, dim=-1)
    if row_sequences is not None:
        experts = experts.masked_fill(row_sequences[:, None] < 0, NO_EXPERT)
    return normed, experts, top.softmax(dim=-1, dtype=torch.float32).to(x.dtype)
