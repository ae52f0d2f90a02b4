"""Attention with sinks over whole sequences, in a window or over everything, and YaRN's rotary positions."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.affine import project
from training.config import Shape


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


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs (i, i + head_dim/2). x [..., T, head_dim], cos and sin [T, head_dim/2]."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def attention_mask(queries: int, keys: int, window: int | None) -> Tensor:
    """[queries, keys], 0 where a query may see a key and -inf where not: to be added to scores.

    The last query stands at the last key. `window` counts the query's own position. With 2 queries, 4 keys and
    window 2, the first query sees keys 1 and 2, the second keys 2 and 3.
    """
    behind = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None, :]
    seen = (behind >= 0) & (behind < (window if window is not None else keys))
    return torch.zeros(queries, keys).masked_fill(~seen, -torch.inf)


class SoftmaxWithSink(torch.autograd.Function):
    """The share of each key and of the sink [H], whose place is the last of scores and mask: [B, H, ..., Q, K + 1]."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, sinks: Tensor, mask: Tensor) -> Tensor:
        scores = scores + mask
        scores[..., -1] = sinks.view(-1, *[1] * (scores.dim() - 3))
        shares = scores.softmax(-1)
        ctx.save_for_backward(shares, sinks)
        return shares

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        shares, sinks = ctx.saved_tensors
        gradient = torch.ops.aten._softmax_backward_data(gradients[0], shares, -1, shares.dtype)
        others = [dimension for dimension in range(gradient.dim() - 1) if dimension != 1]
        return gradient, gradient[..., -1].sum(others, dtype=sinks.dtype), None


def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, mask: Tensor) -> Tensor:
    """q [B, H, ..., Q, D], k and v [B, H, ..., K, D], mask [..., Q, K], sinks [H] → [B, H, ..., Q, D].

    One more key and value, of zeros, keep a place for the sink.
    """
    k, v = (functional.pad(x, (0, 0, 0, 1)) for x in (k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    shares: Tensor = SoftmaxWithSink.apply(scores, sinks, functional.pad(mask, (0, 1)).to(q.dtype))  # type: ignore[no-untyped-call]
    return shares @ v


def attend_window(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int) -> Tensor:
    """What `attend` gives with a window's mask, in blocks of `window` queries that see two blocks of keys.

    q, k, v [B, H, T, D]. Keys before the first position are zeros, which the first block's mask hides.
    """
    length = q.shape[2]
    pad = -length % window
    q, k, v = (functional.pad(x, (0, 0, 0, pad)).unflatten(2, (-1, window)) for x in (q, k, v))
    k, v = (torch.cat((functional.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x), 3) for x in (k, v))
    mask = attention_mask(window, 2 * window, window).repeat(q.shape[2], 1, 1)
    mask[0, :, :window] = -torch.inf
    return attend(q, k, v, sinks, mask).flatten(2, 3)[:, :, :length]


class Attention(nn.Module):
    """Grouped-query attention with a learned sink logit per query head."""

    def __init__(self, shape: Shape, layer_type: str) -> None:
        super().__init__()
        hidden, width = shape.hidden_size, shape.head_dim
        self.head_dim = width
        self.window = shape.window if layer_type == "sliding_attention" else None
        self.q_proj = nn.Linear(hidden, shape.num_heads * width)
        self.k_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.v_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.o_proj = nn.Linear(shape.num_heads * width, hidden)
        self.sinks = nn.Parameter(torch.zeros(shape.num_heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            project(projection, x).view(batch, length, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if self.window is not None and length > 2 * self.window:
            out = attend_window(q, k, v, self.sinks, self.window)
        else:
            out = attend(q, k, v, self.sinks, attention_mask(length, length, self.window))
        return project(self.o_proj, out.transpose(1, 2).reshape(batch, length, -1))
