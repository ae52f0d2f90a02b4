"""Attention over rings and over pages as C++ ops."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library
from engine.kernels.paged_attention import paged_attention as paged_attention_reference
from engine.kernels.ragged import RaggedBatch
from engine.kernels.ring_attention import ring_attention as ring_attention_reference

HEAD_DIMS = range(32, 513, 32)


def ring_attention(
    library: Library,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    ring_keys: Tensor,
    ring_values: Tensor,
    window: int,
    batch: RaggedBatch,
    otherwise: Callable[..., Tensor] = ring_attention_reference,
) -> Tensor:
    """Takes, gives and writes what the reference does. `otherwise` is for what the op does not know."""
    if not fits(q, ring_keys):
        return otherwise(q, k, v, sinks, ring_keys, ring_values, window, batch)
    out = torch.empty(q.shape, dtype=q.dtype)
    library.ring_attention(*operands(q, k, v, sinks, ring_keys, ring_values, out, batch), batch.ring_slots, window)
    return out


def paged_attention(
    library: Library,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    page_keys: Tensor,
    page_values: Tensor,
    batch: RaggedBatch,
    otherwise: Callable[..., Tensor] = paged_attention_reference,
) -> Tensor:
    """Takes, gives and writes what the reference does. `otherwise` is for what the op does not know."""
    if not fits(q, page_keys):
        return otherwise(q, k, v, sinks, page_keys, page_values, batch)
    out = torch.empty(q.shape, dtype=q.dtype)
    shared = operands(q, k, v, sinks, page_keys, page_values, out, batch)
    library.paged_attention(*shared, batch.block_tables, batch.block_tables.shape[1], batch.page_size)
    return out


def fits(q: Tensor, cached: Tensor) -> bool:
    """Whether the ops know heads of this size, and what such keys are kept in."""
    return q.shape[2] in HEAD_DIMS and cached.dtype in (torch.bfloat16, torch.float8_e4m3fn)


def operands(
    q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, keys: Tensor, values: Tensor, out: Tensor, batch: RaggedBatch
) -> tuple[Tensor | int, ...]:
    """What both ops take, in the order of their arguments."""
    strides = (q.stride(0), k.stride(0), v.stride(0))
    tensors = (batch.cos, batch.sin, sinks, keys, values, out)
    sizes = (keys.element_size(), q.shape[1], k.shape[1], q.shape[2])
    return (
        q,
        k,
        v,
        *strides,
        *tensors,
        *sizes,
        batch.start_rows,
        batch.context_lengths,
        batch.context_lengths.shape[0],
    )
