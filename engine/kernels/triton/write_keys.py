"""Rotates fresh keys and writes them, with their values, to cache slots, rounded to the cache's dtype: one program a
row, all kv heads at once.

Moves 4 · kv_heads · head_dim elements a row: keys and values, read and written.
"""

import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.triton.attention import check_heads, load_rotated, round_as, store_heads


@triton.jit
def write_keys_kernel(
    k, v, cos, sin, rows, slots, keys, values, k_stride, v_stride,
    KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEADS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(0)
    row = index if rows is None else tl.load(rows + index)
    slot = index if slots is None else tl.load(slots + index)
    row = tl.cast(row, tl.int64)
    head = tl.arange(0, HEADS)
    valid = head < KV_HEADS
    angle = row * (HEAD_DIM // 2) + tl.zeros_like(head)
    key = load_rotated(k + row * k_stride + head * HEAD_DIM, cos + angle, sin + angle, valid, HEAD_DIM, WIDTH)
    column = tl.arange(0, WIDTH)
    inside = valid[:, None] & (column < HEAD_DIM)[None, :]
    value = tl.load(v + row * v_stride + head[:, None] * HEAD_DIM + column[None, :], mask=inside)
    to = slot + tl.zeros_like(head)
    store_heads(keys, to, head, round_as(key, keys), valid, KV_HEADS, HEAD_DIM, WIDTH)
    store_heads(values, to, head, round_as(value, values), valid, KV_HEADS, HEAD_DIM, WIDTH)


def write_keys(
    k: Tensor, v: Tensor, cos: Tensor, sin: Tensor,
    rows: Tensor | None, slots: Tensor | None, keys: Tensor, values: Tensor,
) -> None:  # fmt: skip
    """k and v [tokens, kv_heads, head_dim], not yet rotated; row rows[i] goes to slot slots[i] of keys and values
    [slots, kv_heads, head_dim]. None is 0, 1, 2, …; rows and slots are int32."""
    check_heads(k, v)
    _, kv_heads, head_dim = k.shape
    count = len(k) if rows is None else len(rows)
    write_keys_kernel[(count,)](
        k, v, cos, sin, rows, slots, keys, values, k.stride(0), v.stride(0),
        KV_HEADS=kv_heads, HEAD_DIM=head_dim,
        HEADS=triton.next_power_of_2(kv_heads), WIDTH=triton.next_power_of_2(head_dim), num_warps=2,
    )  # fmt: skip
