"""Attention of a sliding layer: queries against the old ring and the chunk's fresh keys; then the ring is updated.

The ring is read before it is written, so a chunk of any length never overwrites what its own queries still need:
its first query needs the `window − 1` positions before the chunk, and those stay in the ring until the end.
"""

import torch
from torch import Tensor

from engine.kernels.attention import Attend, attend
from engine.kernels.cached import as_cached
from engine.kernels.ragged import RaggedBatch
from engine.kernels.rotary import rotate


def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    ring_keys: Tensor,
    ring_values: Tensor,
    window: int,
    batch: RaggedBatch,
    attend: Attend = attend,
) -> Tensor:
    """q [tokens, heads, head_dim], k and v [tokens, kv_heads, head_dim], not yet rotated → [tokens, heads, head_dim].

    `ring_keys` and `ring_values` are one layer's rings flattened to [slots, kv_heads, head_dim]; the last `window`
    keys and values of every chunk are written there at the end.
    """
    q, k = rotate(q, batch.cos, batch.sin), as_cached(rotate(k, batch.cos, batch.sin), ring_keys.dtype)
    v = as_cached(v, ring_values.dtype)
    out = torch.empty_like(q)
    for s in range(len(batch.contexts)):
        past, rows = batch.ring_reads(s), slice(batch.starts[s], batch.starts[s + 1])
        keys = torch.cat((ring_keys[past], k[rows])).to(q.dtype)
        values = torch.cat((ring_values[past], v[rows])).to(q.dtype)
        out[rows] = attend(q[rows], keys, values, sinks, window, batch.contexts[s])
    ring_keys[batch.ring_write_slots] = k[batch.ring_write_rows]
    ring_values[batch.ring_write_slots] = v[batch.ring_write_rows]
    return out
