"""Causal attention with sinks for one sequence: the core that ring and paged attention share.

    weights = softmax([q·k / sqrt(head_dim) …, sink])  over the visible keys and the head's sink, which has no value
    out     = weights (without the sink's) · v

Query head h reads kv head h // (heads / kv_heads).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, int | None, int], Tensor]
"""The signature of `attend` and of its replacements."""

SCORES_LIMIT = 2**26
"""Scores held at once: 256 MiB in float32. Longer chunks are attended a block of queries at a time."""
MAX_BLOCK = 256
"""Most queries in a block: a sliding layer's block scores MAX_BLOCK + window keys, so that few are masked."""


def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None, start: int) -> Tensor:
    """q [queries, heads, head_dim]; k, v [keys, kv_heads, head_dim]; sinks [heads] → [queries, heads, head_dim].

    The queries belong to the last keys: query i is at key keys − queries + i, and sees that key and those before
    it, with a window only the last `window` of them. With 3 queries, 5 keys, window 2:

        key      0 1 2 3 4
        query 0  . x x . .
        query 1  . . x x .
        query 2  . . . x x

    `start`, the first query's position in its sequence, changes nothing here: it is there for an implementation that
    cuts the keys at fixed positions (`engine.kernels.deterministic`).
    """
    queries, past = len(q), len(k) - len(q)
    out = torch.empty_like(q)
    visible = len(k) if window is None else min(len(k), window + MAX_BLOCK)
    block = max(1, min(MAX_BLOCK, SCORES_LIMIT // (q.shape[1] * visible)))
    for first in range(0, queries, block):
        stop = min(first + block, queries)
        low = 0 if window is None else max(0, past + first - window + 1)
        high = past + stop
        out[first:stop] = attend_block(q[first:stop], k[low:high], v[low:high], sinks, window)
    return out


def attend_block(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
    """`attend` with all scores at once."""
    queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[:2]
    grouped = q.view(queries, kv_heads, heads // kv_heads, head_dim).permute(1, 2, 0, 3)
    scores = (grouped @ k.permute(1, 2, 0)[:, None]).float() * head_dim**-0.5
    if queries > 1 or (window is not None and keys > window):
        at = torch.arange(keys - queries, keys, device=q.device)[:, None]
        key = torch.arange(keys, device=q.device)
        hidden = key > at
        if window is not None:
            hidden |= key <= at - window
        scores = scores.masked_fill(hidden, float("-inf"))
    sink = sinks.float().view(kv_heads, -1, 1, 1).expand(-1, -1, queries, 1)
    weights = torch.cat((scores, sink), dim=-1).softmax(dim=-1)[..., :-1].to(v.dtype)
    return (weights @ v.permute(1, 0, 2)[:, None]).permute(2, 0, 1, 3).reshape(queries, heads, head_dim)
