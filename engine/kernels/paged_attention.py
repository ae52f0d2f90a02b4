"""Attention of a full layer: queries against everything before them, in pages, and the chunk's fresh keys."""

import torch
from torch import Tensor

from engine.kernels.attention import Attend, attend
from engine.kernels.cached import as_cached
from engine.kernels.ragged import RaggedBatch
from engine.kernels.rotary import rotate


def paged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    page_keys: Tensor,
    page_values: Tensor,
    batch: RaggedBatch,
    attend: Attend = attend,
) -> Tensor:
    """q [tokens, heads, head_dim], k and v [tokens, kv_heads, head_dim], not yet rotated → [tokens, heads, head_dim].

    `page_keys` and `page_values` are one layer's pages flattened to [slots, kv_heads, head_dim]; every fresh key and
    value is written there.
    """
    q, k = rotate(q, batch.cos, batch.sin), as_cached(rotate(k, batch.cos, batch.sin), page_keys.dtype)
    v = as_cached(v, page_values.dtype)
    out = torch.empty_like(q)
    for s in range(len(batch.contexts)):
        past, rows = batch.page_reads(s), slice(batch.starts[s], batch.starts[s + 1])
        keys = torch.cat((page_keys[past], k[rows])).to(q.dtype)
        values = torch.cat((page_values[past], v[rows])).to(q.dtype)
        out[rows] = attend(q[rows], keys, values, sinks, None, batch.contexts[s])
    page_keys[batch.page_write_slots] = k
    page_values[batch.page_write_slots] = v
    return out
