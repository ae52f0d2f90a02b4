"""The mixture of experts: rows gathered by expert, two products each, rounded to MXFP4 in the loop.

Expert products are kept as [experts, rows, columns], the orientation of the packed blocks.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.affine import project
from training.config import Shape
from training.mxfp4 import as_stored

TILE = 64
"""Rows of an expert are filled up to a multiple of this: products of few different sizes are prepared only once."""


def lay_out(chosen: Tensor, experts: int) -> tuple[Tensor, Tensor, list[int]]:
    """Where each choice's row stands when rows are gathered by expert, which choice each row is, and rows per expert.

    With tiles of 2, the choices 1, 0, 1, 1 stand in rows 2, 0, 3, 4; the rows hold choices 1, –, 0, 2, 3, –, where
    – is 4, one past the last; the experts have 2 and 4 rows.
    """
    flat = chosen.flatten()
    counts = torch.bincount(flat, minlength=experts)
    rows = (counts + TILE - 1) // TILE * TILE
    order = flat.argsort(stable=True)
    shifts = (rows - counts).cumsum(0) - (rows - counts)
    places = torch.empty_like(flat)
    numbers = torch.arange(len(flat), device=flat.device)
    places[order] = numbers + shifts[flat[order]]
    holds = torch.full((int(rows.sum()),), len(flat), device=flat.device)
    holds[places] = numbers
    return places, holds, rows.tolist()


class Gather(torch.autograd.Function):
    """x [N, hidden] → one row for each choice, in its place; other rows are zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, holds: Tensor, choices: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.choices = choices
        return functional.pad(x, (0, 0, 0, 1)).index_select(0, holds // choices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        back = gradients[0].index_select(0, places)
        return back.unflatten(0, (-1, ctx.choices)).sum(1), None, None, None


class Spread(torch.autograd.Function):
    """Rows in their places → one row for each choice, in the choices' order."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, holds: Tensor) -> Tensor:
        ctx.save_for_backward(holds)
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (holds,) = ctx.saved_tensors
        return functional.pad(gradients[0], (0, 0, 0, 1)).index_select(0, holds), None, None


class GroupedAffine(torch.autograd.Function):
    """Every expert's rows times its weight [experts, out, in], plus its bias [experts, out]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: list[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.rows = rows
        out = x.new_empty(len(x), weight.shape[1])
        for expert, (its, result) in enumerate(zip(x.split(rows), out.split(rows), strict=True)):
            torch.addmm(bias[expert], its, weight[expert].t(), out=result)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        back, slopes = torch.empty_like(x), torch.empty_like(weight)
        shifts = weight.new_empty(weight.shape[:2])
        parts = zip(x.split(ctx.rows), gradients[0].split(ctx.rows), back.split(ctx.rows), strict=True)
        for expert, (its, gradient, result) in enumerate(parts):
            torch.mm(gradient, weight[expert], out=result)
            torch.mm(gradient.t(), its, out=slopes[expert])
            torch.mm(gradient.new_ones(1, len(gradient)), gradient, out=shifts[expert : expert + 1])
        return back, slopes, shifts, None


class ClampedSwiglu(torch.autograd.Function):
    """[N, 2·inner], all gates before all ups → [N, inner] (up + 1) · gate · sigmoid(alpha · gate)."""

    @staticmethod
    def forward(ctx: Any, both: Tensor, alpha: float, limit: float) -> Tensor:
        gate, up = both.chunk(2, -1)
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit).add_(1)
        swish = torch.sigmoid(gate * alpha)
        ctx.save_for_backward(both, gate, up, swish)
        ctx.alpha, ctx.limit = alpha, limit
        return (gate * swish).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        both, gate, up, swish = ctx.saved_tensors
        (gradient,) = gradients
        slope = torch.empty_like(both)
        of_gate, of_up = slope.chunk(2, -1)
        active = gate * swish
        torch.mul(gradient, active, out=of_up)
        rise = (1 - swish).mul_(active).mul_(ctx.alpha).add_(swish)
        torch.mul(rise.mul_(up), gradient, out=of_gate)
        first, second = both.chunk(2, -1)
        of_gate.masked_fill_(first > ctx.limit, 0)
        of_up.masked_fill_(second.abs() > ctx.limit, 0)
        return slope, None, None


class Experts(nn.Module):
    """Every expert's two products; MXFP4 rounds the weights, the biases stay as they are."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        experts, hidden, inner = shape.num_experts, shape.hidden_size, shape.intermediate_size
        self.alpha, self.limit = shape.swiglu_alpha, shape.swiglu_limit
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * inner, hidden))
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(experts, 2 * inner))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, inner))
        self.down_proj_bias = nn.Parameter(torch.zeros(experts, hidden))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """x [N, hidden], chosen and weights [N, k] → [N, hidden]. Tokens are gathered expert by expert.

        The stored products alternate gate and up rows; computing with all gates first keeps memory in order.
        """
        gate_up_proj, gate_up_bias = (
            parameter.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2).to(x.dtype)
            for parameter in (as_stored(self.gate_up_proj), self.gate_up_proj_bias)
        )
        down_proj, down_bias = as_stored(self.down_proj).to(x.dtype), self.down_proj_bias.to(x.dtype)
        places, holds, rows = lay_out(chosen, len(gate_up_proj))
        inner = Gather.apply(x, places, holds, chosen.shape[1])  # type: ignore[no-untyped-call]
        inner = GroupedAffine.apply(inner, gate_up_proj, gate_up_bias, rows)  # type: ignore[no-untyped-call]
        inner = ClampedSwiglu.apply(inner, self.alpha, self.limit)  # type: ignore[no-untyped-call]
        inner = GroupedAffine.apply(inner, down_proj, down_bias, rows)  # type: ignore[no-untyped-call]
        back: Tensor = Spread.apply(inner, places, holds)  # type: ignore[no-untyped-call]
        return (back.view(*chosen.shape, -1) * weights[..., None]).sum(1)


class MixtureOfExperts(nn.Module):
    """The router picks k experts per token and shares the token's output among them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.experts_per_token = shape.experts_per_token
        self.router = nn.Linear(shape.hidden_size, shape.num_experts)
        self.experts = Experts(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, hidden] → the same, and Switch Transformers' load-balance term (arXiv 2101.03961)."""
        flat = x.flatten(0, 1)
        logits = project(self.router, flat).float()
        top, chosen = logits.topk(self.experts_per_token, -1)
        out: Tensor = self.experts(flat, chosen, top.softmax(-1).to(x.dtype)).view_as(x)
        count = logits.shape[-1]
        share = torch.bincount(chosen.flatten(), minlength=count) / chosen.numel()
        return out, count * (share * logits.softmax(-1).mean(0)).sum()
