"""The experts: each token through the few it was routed to.

gate_up = x·W1 + b1, gate in the even columns and up in the odd; gate ≤ limit, |up| ≤ limit
hidden  = (up + 1) · gate · sigmoid(alpha · gate)
out     = Σ over its experts of weight · (hidden·W2 + b2)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.mxfp4 import Mxfp4


@dataclass(frozen=True, slots=True)
class ExpertProduct:
    """One product of every expert: a matrix [experts, rows, columns], packed or dense, and bias [experts, rows]."""

    matrix: Mxfp4 | Tensor
    bias: Tensor

    def of(self, expert: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """One expert's matrix [rows, columns] and bias [rows]."""
        matrix = self.matrix
        return matrix.unpack(expert, dtype) if isinstance(matrix, Mxfp4) else matrix[expert], self.bias[expert]


def keep_experts(product: ExpertProduct) -> ExpertProduct:
    """A product as `mix_experts` takes it: as it was loaded."""
    return product


def swiglu(gate_up: Tensor, alpha: float, limit: float) -> Tensor:
    """[tokens, 2·inner] → [tokens, inner]."""
    gate = gate_up[..., ::2].clamp(max=limit)
    up = gate_up[..., 1::2].clamp(min=-limit, max=limit)
    return (up + 1) * gate * torch.sigmoid(alpha * gate)


def through_expert(
    x: Tensor,
    gate_up: tuple[Tensor, Tensor],
    down: tuple[Tensor, Tensor],
    alpha: float,
    limit: float,
) -> Tensor:
    """[tokens, hidden] → [tokens, hidden] through one expert, given by the matrices and biases of its products."""
    return functional.linear(swiglu(functional.linear(x, *gate_up), alpha, limit), *down)


def mix_experts(
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    gate_up: ExpertProduct,
    down: ExpertProduct,
    alpha: float,
    limit: float,
    residual: Tensor,
    through: Callable[..., Tensor] = through_expert,
) -> Tensor:
    """x [tokens, hidden], experts and weights [tokens, k] → residual + the weighted sum, [tokens, hidden].

    A token's experts are added in the order of their ids, whatever its batch, so the sum rounds the same way. A token
    with negative ids has no experts.
    """
    mixed = torch.zeros_like(x, dtype=torch.float32)
    for expert in experts[experts >= 0].unique().tolist():
        rows, choice = torch.where(experts == expert)
        out = through(x[rows], gate_up.of(expert, x.dtype), down.of(expert, x.dtype), alpha, limit)
        mixed.index_add_(0, rows, out.float() * weights[rows, choice, None].float())
    return residual + mixed.to(x.dtype)
