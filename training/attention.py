"""Attention with sinks over whole sequences, in a sliding window or in full, and YaRN's rotary positions."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.affine import affine
from training.config import Shape

BLOCK = 128
"""Queries of one product with keys: few enough to skip most of the keys that the mask would hide."""


def rotary_frequencies(shape: Shape) -> tuple[Tensor, float]:
    """YaRN's angle per position, [head_dim/2], and the factor on cos and sin (arXiv 2309.00071).

    Dimensions that turn more than beta_fast times over the original context keep their frequency, those that
    turn less than beta_slow times are slowed by `rope_factor`, and a linear ramp joins them.
    """
    dim, base = shape.head_dim, shape.rope_theta
    frequencies = base ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)

    def dimension_of(turns: float) -> float:
        return dim * math.log(shape.original_max_position / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(dimension_of(shape.beta_fast), 0), min(dimension_of(shape.beta_slow), dim - 1)
    slowed = ((torch.arange(dim // 2) - low) / max(high - low, 0.001)).clamp(0, 1)
    frequencies = frequencies / shape.rope_factor * slowed + frequencies * (1 - slowed)
    concentration = 0.1 * math.log(shape.rope_factor) + 1.0 if shape.rope_factor > 1 else 1.0
    return frequencies, concentration


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs (i, i + head_dim/2). x [..., T, head_dim], cos and sin [T, head_dim/2]."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


@torch.compile(dynamic=True)
def to_heads(x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, T, heads + 2·kv_heads, D] → q, k, v [B, heads, T, D]: q and k rotated, k and v repeated per query head."""
    kv_heads = (x.shape[2] - heads) // 2
    q, k, v = x.transpose(1, 2).split((heads, kv_heads, kv_heads), 1)
    k, v = (each[:, :, None].expand(-1, -1, heads // kv_heads, -1, -1).flatten(1, 2) for each in (k, v))
    return turn(q, cos, sin).contiguous(), turn(k, cos, sin).contiguous(), v.contiguous()


@torch.compile(dynamic=True)
def from_heads(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, kv_heads: int) -> Tensor:
    """The gradient of `to_heads`'s input, from those of its outputs."""
    k, v = (each.unflatten(1, (kv_heads, each.shape[1] // kv_heads)).sum(2) for each in (k, v))
    return torch.cat((turn(q, cos, -sin), turn(k, cos, -sin), v), 1).transpose(1, 2).contiguous()


class Heads(torch.autograd.Function):
    """`to_heads` with its gradient in one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.kv_heads = (x.shape[2] - heads) // 2
        return to_heads(x, cos, sin, heads)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (q, k, v), (cos, sin) = gradients, ctx.saved_tensors
        return from_heads(q, k, v, cos, sin, ctx.kv_heads), None, None, None


def attention_mask(queries: int, keys: int, window: int | None, device: torch.device | None = None) -> Tensor:
    """[queries, keys], to be added to scores: 0 where a query may see a key, else -inf.

    The last query is at the position of the last key. `window` counts the query's own position. With 2 queries, 4 keys
    and window 2, the first query sees keys 1 and 2, the second keys 2 and 3.
    """
    places = torch.arange(keys, device=device)
    behind = places[keys - queries :, None] - places
    seen = (behind >= 0) & (behind < (window if window is not None else keys))
    return torch.zeros(queries, keys, device=device).masked_fill_(~seen, -torch.inf)


def blocks(length: int, window: int | None, device: torch.device) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yields queries, the keys that any of them sees, and their mask, with a column for the sink, which all see.

    With a window of 128, queries 256 to 383 are multiplied with keys 129 to 383 only.
    """
    for first in range(0, length, BLOCK):
        end = min(first + BLOCK, length)
        seen = 0 if window is None else max(0, first - window + 1)
        mask = attention_mask(end - first, end - seen, window, device)
        yield slice(first, end), slice(seen, end), functional.pad(mask, (0, 1))


class Attend(torch.autograd.Function):
    """q, k, v [B, H, T, D], sinks [H] → [B, H, T, D]. The sink is one more key, whose value is zero."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
        shape, q = q.shape, q * q.shape[-1] ** -0.5
        q, k, v = (each.flatten(0, 1) for each in (q, k, v))
        out, kept = torch.empty_like(q), []
        for queries, keys, mask in blocks(shape[2], window, q.device):
            start = mask.to(q.dtype).repeat(shape[1], 1, 1)
            start[..., -1] = sinks[:, None]
            scores = start.repeat(shape[0], 1, 1).baddbmm_(q[:, queries], with_sink(k[:, keys]).mT)
            kept.append(scores.softmax(-1))
            torch.bmm(kept[-1], with_sink(v[:, keys]), out=out[:, queries])
        ctx.save_for_backward(q, k, v, sinks, *kept)
        ctx.window = window
        return out.view(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, sinks, *kept = ctx.saved_tensors
        shape, whole = gradients[0].shape, gradients[0].flatten(0, 1)
        of_q, of_k, of_v, of_sinks = torch.empty_like(q), *map(torch.zeros_like, (k, v, sinks))
        for (queries, keys, _), shares in zip(blocks(shape[2], ctx.window, q.device), kept, strict=True):
            gradient = whole[:, queries]
            of_v[:, keys] += torch.bmm(shares.mT, gradient)[:, :-1]
            slope = torch.ops.aten._softmax_backward_data(
                torch.bmm(gradient, with_sink(v[:, keys]).mT), shares, -1, shares.dtype
            )
            of_sinks += slope.unflatten(0, shape[:2])[..., -1].sum((0, 2), dtype=sinks.dtype)
            torch.bmm(slope, with_sink(k[:, keys]), out=of_q[:, queries])
            of_k[:, keys] += torch.bmm(slope.mT, q[:, queries])[:, :-1]
        of_q *= shape[-1] ** -0.5
        return *(each.view(shape) for each in (of_q, of_k, of_v)), of_sinks, None


def with_sink(x: Tensor) -> Tensor:
    """Appends a key or value of zeros, [..., K, D] → [..., K + 1, D]."""
    return functional.pad(x, (0, 0, 0, 1))


def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
    """Causal attention over whole sequences, see Attend."""
    out: Tensor = Attend.apply(q, k, v, sinks, window)  # type: ignore[no-untyped-call]
    return out


class Attention(nn.Module):
    """Grouped-query attention with a learned sink logit per query head."""

    def __init__(self, shape: Shape, layer_type: str) -> None:
        super().__init__()
        hidden, width = shape.hidden_size, shape.head_dim
        self.heads, self.head_dim = shape.num_heads, width
        self.window = shape.window if layer_type == "sliding_attention" else None
        self.q_proj = nn.Linear(hidden, shape.num_heads * width)
        self.k_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.v_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.o_proj = nn.Linear(shape.num_heads * width, hidden)
        self.sinks = nn.Parameter(torch.zeros(shape.num_heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [B·T, hidden], cos and sin [T, head_dim/2] → [B·T, hidden]."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        weight, bias = (torch.cat([getattr(each, part) for each in projections]) for part in ("weight", "bias"))
        together = affine(x, weight, bias).view(-1, len(cos), len(bias) // self.head_dim, self.head_dim)
        q, k, v = Heads.apply(together, cos, sin, self.heads)  # type: ignore[no-untyped-call]
        out = attend(q, k, v, self.sinks, self.window)
        return affine(out.transpose(1, 2).reshape(len(x), -1), self.o_proj.weight, self.o_proj.bias)
