"""The mixture of experts: rows gathered by expert, two products each, rounded to MXFP4 in training.

Expert weights are stored as [experts, rows, columns], the orientation of the packed blocks.
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.affine import affine
from training.config import Shape
from training.mxfp4 import as_stored

TILE = 64
"""An expert's rows are padded to a multiple of this: products come in few sizes, and each is prepared only once."""


def lay_out(chosen: Tensor, experts: int) -> tuple[Tensor, Tensor, list[int]]:
    """Gathers rows by expert: each choice's row, the choice that each row holds, and the number of rows per expert.

    With tiles of 2, the choices 1, 0, 1, 1 are in rows 2, 0, 3, 4; the rows hold choices 1, –, 0, 2, 3, –, where
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


@torch.compile(dynamic=True)
def gathered(x: Tensor, holds: Tensor, each: int) -> Tensor:
    """Row i of the result is row holds[i] // each of x, or zeros if x has no such row."""
    source = holds // each
    return torch.where((source < len(x))[:, None], x[source.clamp(max=len(x) - 1)], 0)


@torch.compile(dynamic=True)
def mixed(rows: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """The sum of the rows of each token's choices, times their weights [N, k]."""
    choices = zip(places.view(weights.shape).unbind(1), weights.unbind(1), strict=True)
    parts = [rows[place] * weight[:, None] for place, weight in choices]
    return sum(parts[1:], parts[0])


@torch.compile(dynamic=True)
def ungathered(gradient: Tensor, places: Tensor, each: int) -> Tensor:
    """The gradient of `gathered`'s `x`."""
    parts = [gradient[place] for place in places.view(-1, each).unbind(1)]
    return sum(parts[1:], parts[0])


@torch.compile(dynamic=True)
def unmixed(gradient: Tensor, rows: Tensor, places: Tensor, holds: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `mixed`'s rows and weights."""
    count, each = weights.shape
    choice = holds.clamp(max=count * each - 1)
    shares = torch.where(holds < count * each, weights.flatten()[choice], 0)
    of_weights = (rows[places].unflatten(0, (count, each)).float() * gradient[:, None]).sum(-1)
    return gradient[choice // each] * shares[:, None], of_weights.to(weights.dtype)


class Gather(torch.autograd.Function):
    """x [N, hidden] → one row for each choice, in its place; padding rows are zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, holds: Tensor, choices: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.choices = choices
        return gathered(x, holds, choices)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return ungathered(gradients[0], places, ctx.choices), None, None, None


class Mix(torch.autograd.Function):
    """Rows in their places, and the weights [N, k] of their choices → [N, hidden]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor, holds: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, places, holds, weights)
        return mixed(rows, places, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_rows, of_weights = unmixed(gradients[0], *ctx.saved_tensors)
        return of_rows, None, None, of_weights


class GroupedAffine(torch.autograd.Function):
    """Multiplies every expert's rows by its weight [experts, out, in] and adds its bias [experts, out]."""

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


@torch.compile(dynamic=True)
def clamped_swiglu(both: Tensor, alpha: float, limit: float) -> Tensor:
    """[N, 2·inner], all gates before all ups → [N, inner] (up + 1) · gate · sigmoid(alpha · gate)."""
    gate, up = both.to(torch.promote_types(both.dtype, torch.float32)).chunk(2, -1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return ((up + 1) * gate * torch.sigmoid(gate * alpha)).to(both.dtype)


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

        The stored weights alternate gate and up rows; computing with all gates first reads memory in order.
        """
        gate_up_proj, gate_up_bias = (
            parameter.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)
            for parameter in (as_stored(self.gate_up_proj, x.dtype), self.gate_up_proj_bias.to(x.dtype))
        )
        down_proj, down_bias = as_stored(self.down_proj, x.dtype), self.down_proj_bias.to(x.dtype)
        places, holds, rows = lay_out(chosen, len(gate_up_proj))
        inner = Gather.apply(x, places, holds, chosen.shape[1])  # type: ignore[no-untyped-call]
        inner = GroupedAffine.apply(inner, gate_up_proj, gate_up_bias, rows)  # type: ignore[no-untyped-call]
        inner = clamped_swiglu(inner, self.alpha, self.limit)
        inner = GroupedAffine.apply(inner, down_proj, down_bias, rows)  # type: ignore[no-untyped-call]
        out: Tensor = Mix.apply(inner, places, holds, weights)  # type: ignore[no-untyped-call]
        return out


class MixtureOfExperts(nn.Module):
    """The router picks k experts per token and weighs their outputs."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.experts_per_token = shape.experts_per_token
        self.router = nn.Linear(shape.hidden_size, shape.num_experts)
        self.experts = Experts(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, hidden] → [N, hidden], and Switch Transformers' load-balance term (arXiv 2101.03961)."""
        logits = affine(x, self.router.weight, self.router.bias).float()
        top, chosen = logits.topk(self.experts_per_token, -1)
        out: Tensor = self.experts(x, chosen, top.softmax(-1).to(x.dtype))
        count = logits.shape[-1]
        share = torch.bincount(chosen.flatten(), minlength=count) / chosen.numel()
        return out, count * (share * logits.softmax(-1).mean(0)).sum()
