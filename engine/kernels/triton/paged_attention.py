"""Attention of a full layer over pages (reference: `engine.kernels.paged_attention`).

Nothing in a page is ever overwritten, so fresh keys may be written before anything is read.

Decoding (flash-decoding): a sequence's keys are split among programs, so that one long sequence still fills the GPU.
Split 0 rotates, takes in and writes the token itself; each split leaves its own softmax, and a second launch combines
them, where the sink joins once. The number of splits depends on the number of sequences alone: the launch's shape
fits a CUDA graph, and a program whose share is empty leaves at once. There are more of them than an even batch wants,
for one sequence may be much longer than the rest: a share becomes longer than LONG_SHARE blocks only where all splits
have one. With blocks of 64 keys and 8 splits, of which short contexts take 4: one of 300 has 5 blocks, shared out as
2, 2, 1, and splits 0 to 2 read positions 0–127, 128–255, 256–299; of one of 131,072 each of the 8 reads 256 blocks.
Bytes: 2 · context · head_dim elements a kv head, and per split a float32 head_dim + 1 for every query head.

A prompt's chunk: one launch rotates and writes all fresh keys, and a second attends, a tile of TILE_TOKENS queries a
program, reading past and fresh keys alike from the pages.
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

DECODE_PROGRAMS, SPARE = 512, 8
"""Programs with work that a decode launch aims at, about four for each of an H100's or H200's 132 multiprocessors; and
how many times as many it has."""
MIN_SPLITS, MAX_SPLITS = 4, 64
LONG_SHARE = 32
"""Blocks of a program from which a sequence takes more splits than an even batch wants."""
STAGES_A_BLOCK = 2
"""A block is two loads in a row, the page numbers and then the keys, and Triton's pipeliner gives each a stage: with
three stages the machine code for sm_90 waits for a block right after asking for it."""


def decode_splits(sequences: int, kv_heads: int) -> tuple[int, int]:
    """Splits of a sequence that is no longer than others, and of the longest: powers of two.

    >>> [decode_splits(sequences, 8) for sequences in (1, 2, 8, 32, 256)]
    [(64, 64), (32, 64), (8, 64), (4, 16), (4, 8)]
    """
    even, most = (
        triton.next_power_of_2(triton.cdiv(programs, sequences * kv_heads))
        for programs in (DECODE_PROGRAMS, SPARE * DECODE_PROGRAMS)
    )
    return max(MIN_SPLITS, min(MAX_SPLITS, even)), max(2 * MIN_SPLITS, min(MAX_SPLITS, most))


@triton.jit
def absorb_pages(
    query, at, low, stop, table, page_keys, page_values, kv_head, scale, peak, total, acc,
    PAGE_SIZE: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK: tl.constexpr, CAUSAL: tl.constexpr,
):  # fmt: skip
    """Positions low … stop − 1 into the softmax; CAUSAL: only those not after `at` [rows] (else whole blocks)."""
    for start in range(low, stop, BLOCK):
        position = start + tl.arange(0, BLOCK)
        inside = position < stop
        page = tl.load(table + position // PAGE_SIZE, mask=inside, other=0)
        slot = page * PAGE_SIZE + position % PAGE_SIZE
        keys = load_slots(page_keys, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        values = load_slots(page_values, slot, inside, kv_head, KV_HEADS, HEAD_DIM, WIDTH)
        visible = inside[None, :] & (position[None, :] <= at[:, None])
        peak, total, acc = absorb(query, keys, values, visible, scale, peak, total, acc, CAUSAL)
    return peak, total, acc


@triton.jit(do_not_specialize=["table_stride", "even_splits"])
def paged_decode(
    q, k, v, cos, sin, page_keys, page_values, parts, part_scores,
    sequences, starts, contexts, tables, q_stride, k_stride, v_stride, table_stride, scale, even_splits,
    PAGE_SIZE: tl.constexpr, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, SPLITS: tl.constexpr,
    LONG_SHARE: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(2)
    sequence = tl.load(sequences + index)
    if sequence < 0:
        return
    blocks: tl.constexpr = (GROUP + ROWS - 1) // ROWS
    kv_head = tl.program_id(0) // blocks
    member = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    valid = member < GROUP
    head = kv_head * GROUP + member
    split = tl.program_id(1)
    context = tl.load(contexts + sequence)
    blocks_seen = tl.cdiv(context, BLOCK)
    share = tl.minimum(tl.cdiv(blocks_seen, even_splits), tl.maximum(tl.cdiv(blocks_seen, SPLITS), LONG_SHARE)) * BLOCK
    part = (index * HEADS + head) * SPLITS + split
    if (split > 0) & (split * share >= context):
        tl.store(part_scores + part, float("-inf"), mask=valid)
        return

    row = tl.load(starts + sequence).to(tl.int64)
    table = tables + sequence.to(tl.int64) * table_stride
    angle = row * (HEAD_DIM // 2) + tl.zeros_like(member)
    query = load_rotated(q + row * q_stride + head * HEAD_DIM, cos + angle, sin + angle, valid, HEAD_DIM, WIDTH)
    peak = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, WIDTH], tl.float32)
    if split == 0:
        fresh = row * k_stride + kv_head * HEAD_DIM + tl.zeros_like(member)
        key = load_rotated(k + fresh, cos + angle, sin + angle, member >= 0, HEAD_DIM, WIDTH)
        key = round_as(key, page_keys)
        column = tl.arange(0, WIDTH)
        value = tl.load(v + row * v_stride + kv_head * HEAD_DIM + column, mask=column < HEAD_DIM, other=0.0)
        value = round_as(value, page_values)
        peak = tl.sum(query.to(tl.float32) * key.to(tl.float32), axis=1) * scale
        total = tl.full([ROWS], 1.0, tl.float32)
        acc += value.to(tl.float32)[None, :]
        slot = tl.load(table + context // PAGE_SIZE) * PAGE_SIZE + context % PAGE_SIZE
        kv_heads = kv_head + tl.zeros_like(member)
        slots = slot + tl.zeros_like(member)
        store_heads(page_keys, slots, kv_heads, key, member == 0, KV_HEADS, HEAD_DIM, WIDTH)
        at = (slot.to(tl.int64) * KV_HEADS + kv_head) * HEAD_DIM
        writes = (column < HEAD_DIM) & (tl.program_id(0) % blocks == 0)
        store_rounded(page_values + at + column, value, writes)
    at = context + tl.zeros_like(member)
    peak, total, acc = absorb_pages(
        query, at, split * share, tl.minimum((split + 1) * share, context), table, page_keys, page_values, kv_head,
        scale, peak, total, acc, PAGE_SIZE, KV_HEADS, HEAD_DIM, WIDTH, BLOCK, True,
    )  # fmt: skip
    tl.store(part_scores + part, peak + tl.log2(total), mask=valid)
    store_heads(parts, part.to(tl.int64), 0, acc / total[:, None], valid, 1, HEAD_DIM, WIDTH)


@triton.jit
def combine_splits(
    parts, part_scores, sinks, out, sequences, starts,
    HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(1)
    sequence = tl.load(sequences + index)
    if sequence < 0:
        return
    head = tl.program_id(0)
    column = tl.arange(0, WIDTH)
    part = (index * HEADS + head) * SPLITS + tl.arange(0, SPLITS)
    score = tl.load(part_scores + part)
    sink = tl.load(sinks + head).to(tl.float32) * LOG2_E
    peak = tl.maximum(tl.max(score, axis=0), sink)
    weight = tl.exp2(score - peak)
    mask = (score > float("-inf"))[:, None] & (column < HEAD_DIM)[None, :]
    values = tl.load(parts + part.to(tl.int64)[:, None] * HEAD_DIM + column[None, :], mask=mask, other=0.0)
    total = tl.sum(weight, axis=0) + tl.exp2(sink - peak)
    mixed = tl.sum(values * weight[:, None], axis=0) / total
    at = (tl.load(starts + sequence).to(tl.int64) * HEADS + head) * HEAD_DIM
    tl.store(out + at + column, mixed.to(out.dtype.element_ty), mask=column < HEAD_DIM)


@triton.jit(do_not_specialize=["table_stride"])
def paged_prefill(
    q, cos, sin, sinks, page_keys, page_values, out,
    tiles, starts, contexts, tables, q_stride, table_stride, scale,
    PAGE_SIZE: tl.constexpr, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, TOKENS: tl.constexpr, MEMBERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    sequence = tl.load(tiles + 2 * tile)
    first = tl.load(tiles + 2 * tile + 1)
    start = tl.load(starts + sequence)
    count = tl.load(starts + sequence + 1) - start
    context = tl.load(contexts + sequence)
    table = tables + sequence.to(tl.int64) * table_stride

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
    seen_by_all = (context + first + 1) // BLOCK * BLOCK
    peak, total, acc = absorb_pages(
        query, at, 0, seen_by_all, table, page_keys, page_values, kv_head,
        scale, peak, total, acc, PAGE_SIZE, KV_HEADS, HEAD_DIM, WIDTH, BLOCK, False,
    )  # fmt: skip
    peak, total, acc = absorb_pages(
        query, at, seen_by_all, context + tl.minimum(first + TOKENS, count), table, page_keys, page_values, kv_head,
        scale, peak, total, acc, PAGE_SIZE, KV_HEADS, HEAD_DIM, WIDTH, BLOCK, True,
    )  # fmt: skip
    store_heads(out, row, head, acc / total[:, None], valid, HEADS, HEAD_DIM, WIDTH)


def paged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor,
    page_keys: Tensor,
    page_values: Tensor,
    batch: RaggedBatch,
) -> Tensor:
    """Takes, gives and writes what the reference does."""
    check_heads(q, k, v)
    tokens, heads, head_dim = q.shape
    kv_heads = k.shape[1]
    group, width = heads // kv_heads, head_width(head_dim)
    out = torch.empty((tokens, heads, head_dim), dtype=q.dtype, device=q.device)
    scale = head_dim**-0.5 * LOG2_E.value
    stages = 1 + STAGES_A_BLOCK * blocks_ahead(page_keys, width)
    decoding = len(batch.decode_sequences)
    if decoding:
        even_splits, splits = decode_splits(decoding, kv_heads)
        parts = torch.empty((decoding, heads, splits, head_dim), dtype=torch.float32, device=q.device)
        part_scores = torch.empty((decoding, heads, splits), dtype=torch.float32, device=q.device)
        paged_decode[(kv_heads * triton.cdiv(group, DECODE_HEADS), splits, decoding)](
            q, k, v, batch.cos, batch.sin, page_keys, page_values, parts, part_scores,
            batch.decode_sequences, batch.start_rows, batch.context_lengths, batch.block_tables,
            q.stride(0), k.stride(0), v.stride(0), batch.block_tables.stride(0), scale, even_splits,
            PAGE_SIZE=batch.page_size, HEADS=heads, KV_HEADS=kv_heads, GROUP=group, HEAD_DIM=head_dim, WIDTH=width,
            ROWS=DECODE_HEADS, BLOCK=BLOCK_KEYS, SPLITS=splits, LONG_SHARE=LONG_SHARE, num_warps=4, num_stages=stages,
        )  # fmt: skip
        combine_splits[(heads, decoding)](
            parts, part_scores, sinks, out, batch.decode_sequences, batch.start_rows,
            HEADS=heads, HEAD_DIM=head_dim, WIDTH=width, SPLITS=splits, num_warps=4,
        )  # fmt: skip
    if len(batch.prefill_tiles):
        write_keys(k, v, batch.cos, batch.sin, None, batch.page_write_slots, page_keys, page_values)
        members = min(PREFILL_HEADS, triton.next_power_of_2(group))
        paged_prefill[(len(batch.prefill_tiles), kv_heads * triton.cdiv(group, members))](
            q, batch.cos, batch.sin, sinks, page_keys, page_values, out,
            batch.prefill_tiles, batch.start_rows, batch.context_lengths, batch.block_tables,
            q.stride(0), batch.block_tables.stride(0), scale,
            PAGE_SIZE=batch.page_size, HEADS=heads, KV_HEADS=kv_heads, GROUP=group, HEAD_DIM=head_dim, WIDTH=width,
            TOKENS=TILE_TOKENS, MEMBERS=members, BLOCK=BLOCK_KEYS,
            num_warps=8 if members * width >= 512 else 4, num_stages=stages,
        )  # fmt: skip
    return out
