"""Attention of a sliding layer over rings of `window` slots (reference: `engine.kernels.ring_attention`).

A decoding sequence takes one program for each kv head, and one launch does all of it: rotate, attend to the ring and
the token itself, write the token. The slot it writes is the one that its own query no longer sees, and no other
program reads this ring, so nothing is read after it was overwritten. Bytes: 2 · window · head_dim elements a kv head.

A prompt's chunk takes a tile of TILE_TOKENS queries a program and three launches: fresh keys are rotated into a
buffer; every tile attends to the ring as it was and to that buffer; only then the last `window` enter the ring.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.ragged import TILE_TOKENS, RaggedBatch
from engine.kernels.triton.attention import (
    BLOCK_KEYS,
    DECODE_HEADS,
    LOG2_E,
    PREFILL_HEADS,
    absorb,
    blocks_ahead,
    check_heads,
    head_width,
    load_rotated,
    load_slots,
    round_as,
    store_heads,
    store_rounded,
)
from engine.kernels.triton.write_keys import write_keys


@triton.jit
def ring_decode(
    q, k, v, cos, sin, sinks, ring_keys, ring_values, out,
    sequences, starts, contexts, ring_slots, q_stride, k_stride, v_stride, scale,
    WINDOW: tl.constexpr, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sequence = tl.load(sequences + tl.program_id(1))
    if sequence < 0:
        return
    blocks: tl.constexpr = (GROUP + ROWS - 1) // ROWS
    kv_head = tl.program_id(0) // blocks
    member = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    valid = member < GROUP
    head = kv_head * GROUP + member
    row = tl.load(starts + sequence).to(tl.int64)
    context = tl.load(contexts + sequence)
    first_slot = tl.load(ring_slots + sequence) * WINDOW
    newest = context % WINDOW

    angle = row * (HEAD_DIM // 2) + tl.zeros_like(member)
    query = load_rotated(q + row * q_stride + head * HEAD_DIM, cos + angle, sin + angle, valid, HEAD_DIM, WIDTH)
    fresh = row * k_stride + kv_head * HEAD_DIM + tl.zeros_like(member)
    key = load_rotated(k + fresh, cos + angle, sin + angle, member >= 0, HEAD_DIM, WIDTH)
    key = round_as(key, ring_keys)
    column = tl.arange(0, WIDTH)
    value = tl.load(v + row * v_stride + kv_head * HEAD_DIM + column, mask=column < HEAD_DIM, other=0.0)
    value = round_as(value, ring_values)

    sink = tl.load(sinks + head, mask=valid, other=0.0).to(tl.float32) * LOG2_E
    score = tl.sum(query.to(tl.float32) * key.to(tl.float32), axis=1) * scale
    peak = tl.maximum(sink, score)
    weight = tl.exp2(score - peak)
    total = tl.exp2(sink - peak) + weight
    acc = weight[:, None] * value.to(tl.float32)[None, :]
    for low in range(0, tl.minimum(context, WINDOW), BLOCK):
        slot = low + tl.arange(0, BLOCK)
        inside = (slot < tl.minimum(context, WINDOW)) & (slot != newest)
        past_keys = load_slots(ring_keys, first_slot + slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        past_values = load_slots(ring_values, first_slot + slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        peak, total, acc = absorb(query, past_keys, past_values, inside[None, :], scale, peak, total, acc, True)

    store_heads(out, row + tl.zeros_like(member), head, acc / total[:, None], valid, HEADS, HEAD_DIM, WIDTH)
    slots = first_slot + newest + tl.zeros_like(member)
    store_heads(ring_keys, slots, kv_head + tl.zeros_like(member), key, member == 0, KV_HEADS, HEAD_DIM, WIDTH)
    at = (first_slot + newest).to(tl.int64) * KV_HEADS + kv_head
    writes = (column < HEAD_DIM) & (tl.program_id(0) % blocks == 0)
    store_rounded(ring_values + at * HEAD_DIM + column, value, writes)


@triton.jit
def ring_prefill(
    q, cos, sin, sinks, fresh_keys, fresh_values, ring_keys, ring_values, out,
    tiles, starts, contexts, ring_slots, q_stride, scale,
    WINDOW: tl.constexpr, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, TOKENS: tl.constexpr, MEMBERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sequence = tl.load(tiles + 2 * tl.program_id(0))
    first = tl.load(tiles + 2 * tl.program_id(0) + 1)
    start = tl.load(starts + sequence)
    count = tl.load(starts + sequence + 1) - start
    context = tl.load(contexts + sequence)
    first_slot = tl.load(ring_slots + sequence) * WINDOW

    blocks: tl.constexpr = (GROUP + MEMBERS - 1) // MEMBERS
    kv_head = tl.program_id(1) // blocks
    index = tl.arange(0, TOKENS * MEMBERS)
    token = first + index // MEMBERS
    member = tl.program_id(1) % blocks * MEMBERS + index % MEMBERS
    valid = (token < count) & (member < GROUP)
    head = kv_head * GROUP + member
    row = (start + token).to(tl.int64)
    angle = row * (HEAD_DIM // 2)
    query = load_rotated(q + row * q_stride + head * HEAD_DIM, cos + angle, sin + angle, valid, HEAD_DIM, WIDTH)
    at = context + token

    peak = tl.load(sinks + head, mask=valid, other=0.0).to(tl.float32) * LOG2_E
    total = tl.full([TOKENS * MEMBERS], 1.0, tl.float32)
    acc = tl.zeros([TOKENS * MEMBERS, WIDTH], tl.float32)
    oldest = tl.maximum(0, context + first - WINDOW + 1)
    for low in range(oldest, context, BLOCK):
        position = low + tl.arange(0, BLOCK)
        inside = position < context
        slot = first_slot + position % WINDOW
        past_keys = load_slots(ring_keys, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        past_values = load_slots(ring_values, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        visible = inside[None, :] & (position[None, :] > at[:, None] - WINDOW)
        peak, total, acc = absorb(query, past_keys, past_values, visible, scale, peak, total, acc, True)
    stop = context + tl.minimum(first + TOKENS, count)
    for low in range(tl.maximum(oldest, context), stop, BLOCK):
        position = low + tl.arange(0, BLOCK)
        inside = position < stop
        slot = start + position - context
        keys = load_slots(fresh_keys, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        values = load_slots(fresh_values, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        visible = (position[None, :] <= at[:, None]) & (position[None, :] > at[:, None] - WINDOW)
        peak, total, acc = absorb(query, keys, values, visible, scale, peak, total, acc, True)
    store_heads(out, row, head, acc / total[:, None], valid, HEADS, HEAD_DIM, WIDTH)


def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    ring_keys: Tensor,
    ring_values: Tensor,
    window: int,
    batch: RaggedBatch,
) -> Tensor:
    """Takes, gives and writes what the reference does."""
    check_heads(q, k, v)
    tokens, heads, head_dim = q.shape
    kv_heads = k.shape[1]
    group, width = heads // kv_heads, head_width(head_dim)
    out = torch.empty((tokens, heads, head_dim), dtype=q.dtype, device=q.device)
    scale = head_dim**-0.5 * LOG2_E.value
    if len(batch.decode_sequences):
        ring_decode[(kv_heads * triton.cdiv(group, DECODE_HEADS), len(batch.decode_sequences))](
            q, k, v, batch.cos, batch.sin, sinks, ring_keys, ring_values, out,
            batch.decode_sequences, batch.start_rows, batch.context_lengths, batch.ring_slots,
            q.stride(0), k.stride(0), v.stride(0), scale,
            WINDOW=window, HEADS=heads, KV_HEADS=kv_heads, GROUP=group, HEAD_DIM=head_dim, WIDTH=width,
            ROWS=DECODE_HEADS, BLOCK=BLOCK_KEYS, num_warps=4, num_stages=2,
        )  # fmt: skip
    if len(batch.prefill_tiles):
        fresh_keys, fresh_values = torch.empty((2, tokens, kv_heads, head_dim), dtype=ring_keys.dtype, device=k.device)
        write_keys(k, v, batch.cos, batch.sin, None, None, fresh_keys, fresh_values)
        members = min(PREFILL_HEADS, triton.next_power_of_2(group))
        ring_prefill[(len(batch.prefill_tiles), kv_heads * triton.cdiv(group, members))](
            q, batch.cos, batch.sin, sinks, fresh_keys, fresh_values, ring_keys, ring_values, out,
            batch.prefill_tiles, batch.start_rows, batch.context_lengths, batch.ring_slots, q.stride(0), scale,
            WINDOW=window, HEADS=heads, KV_HEADS=kv_heads, GROUP=group, HEAD_DIM=head_dim, WIDTH=width,
            TOKENS=TILE_TOKENS, MEMBERS=members, BLOCK=BLOCK_KEYS,
            num_warps=8 if members * width >= 512 else 4, num_stages=1 + blocks_ahead(ring_keys, width),
        )  # fmt: skip
        write_keys(k, v, batch.cos, batch.sin, batch.ring_write_rows, batch.ring_write_slots, ring_keys, ring_values)
    return out
