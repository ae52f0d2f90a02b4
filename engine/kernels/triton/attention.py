"""What the ring's and the pages' attention kernels share: rotated loads, blocks of keys, the running softmax.

A program's matrix rows are queries × heads: the query heads of one kv head stand together, so a block of keys is
loaded once for all of them. The softmax is kept in powers of two: scores arrive multiplied by log2(e), `peak` is a
row's greatest score so far, `total` the sum of 2^(score − peak), `acc` the values weighted in the same way (the
online softmax of FlashAttention, arXiv 2205.14135). A sink is a score without a value, so it can stand first:
peak = sink, total = 1, acc = 0.
"""

import math

import triton
import triton.language as tl
from torch import Tensor

LOG2_E = tl.constexpr(math.log2(math.e))
DECODE_HEADS = 16
"""Query heads of a decode program: the fewest rows that the tensor cores take."""
PREFILL_HEADS = 8
"""Query heads of a prefill program at most, beside the TILE_TOKENS queries of its tile."""
BLOCK_KEYS = 64


@triton.jit
def load_rotated(x, cos, sin, valid, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):
    """Rows of heads at the pointers x [rows], rotated by the angles at cos and sin [rows] → [rows, WIDTH].

    Column c < half wants x[c]·cos[c] − x[c + half]·sin[c], the one across it x[c + half]·cos[c] + x[c]·sin[c].
    """
    half: tl.constexpr = HEAD_DIM // 2
    column = tl.arange(0, WIDTH)
    inside = valid[:, None] & (column < HEAD_DIM)[None, :]
    first = column < half
    across = tl.where(first, column + half, column - half)
    angle = tl.where(first, column, column - half)
    here = tl.load(x[:, None] + column[None, :], mask=inside, other=0.0).to(tl.float32)
    there = tl.load(x[:, None] + across[None, :], mask=inside, other=0.0).to(tl.float32)
    turn = tl.load(sin[:, None] + angle[None, :], mask=inside, other=0.0)
    keep = tl.load(cos[:, None] + angle[None, :], mask=inside, other=0.0)
    return (here * keep + tl.where(first, -1.0, 1.0)[None, :] * there * turn).to(x.dtype.element_ty)


@triton.jit
def round_as(x, cache):
    """x as the cache will hold it, still in x's dtype (reference: `engine.kernels.cached`).

    An e4m3 number has three bits after its first one, which is worth 2^−6 at least. A float32 of three halves of 2^23
    times the last of these bits has just that one as its own last bit, so adding it rounds, and taking it away again
    leaves the rounded number. For 19: its first bit is 16, its last one 2, 1.5 · 2^24 + 19 rounds to 1.5 · 2^24 + 20.
    """
    rounded = x
    if cache.dtype.element_ty == tl.float8e4nv:
        wide = tl.clamp(x.to(tl.float32), -448.0, 448.0, propagate_nan=tl.PropagateNan.ALL)
        first_bit = tl.maximum(wide.to(tl.int32, bitcast=True) & 0x7F800000, (127 - 6) << 23)
        shift = (first_bit + (20 << 23)).to(tl.float32, bitcast=True) * 1.5
        rounded = ((wide + shift) - shift).to(x.dtype)
    return rounded


@triton.jit
def store_rounded(to, value, mask):
    """Stores what `round_as` gave, or any number in another dtype than float8."""
    if to.dtype.element_ty == tl.float8e4nv:
        value = value.to(tl.float32)
    tl.store(to, value.to(to.dtype.element_ty), mask=mask)


@triton.jit
def load_slots(cache, slot, inside, kv_head, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):
    """The rows of one kv head at cache slots [keys] → [keys, WIDTH]; zeros where not `inside` [keys]."""
    column = tl.arange(0, WIDTH)
    row = (slot.to(tl.int64) * KV_HEADS + kv_head) * HEAD_DIM
    mask = inside[:, None] & (column < HEAD_DIM)[None, :]
    return tl.load(cache + row[:, None] + column[None, :], mask=mask, other=0.0)


@triton.jit
def absorb(q, k, v, visible, scale, peak, total, acc, MASKED: tl.constexpr):
    """One block of keys into the running softmax: q [rows, WIDTH], k and v [keys, WIDTH], visible [rows, keys]."""
    k, v = k.to(q.dtype), v.to(q.dtype)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if MASKED:
        scores = tl.where(visible, scores, float("-inf"))
    higher = tl.maximum(peak, tl.max(scores, axis=1))
    weights = tl.exp2(scores - higher[:, None])
    fade = tl.exp2(peak - higher)
    acc = tl.dot(weights.to(v.dtype), v, acc * fade[:, None], input_precision="ieee")
    return higher, total * fade + tl.sum(weights, axis=1), acc


@triton.jit
def store_heads(out, row, head, values, valid, HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):
    """values [rows, WIDTH] into out [tokens, HEADS, HEAD_DIM] at the tokens `row` and heads `head`, both [rows]."""
    column = tl.arange(0, WIDTH)
    at = (row.to(tl.int64) * HEADS + head) * HEAD_DIM
    mask = valid[:, None] & (column < HEAD_DIM)[None, :]
    store_rounded(out + at[:, None] + column[None, :], values, mask)


def head_width(head_dim: int) -> int:
    """Columns of a program's matrices: a power of two, and at least the 16 that the tensor cores take."""
    width: int = triton.next_power_of_2(head_dim)
    return max(16, width)


def check_heads(*heads: Tensor) -> None:
    """The kernels take [tokens, heads, head_dim] whose heads are packed; only the tokens' stride is free."""
    for tensor in heads:
        assert tensor.stride()[1:] == (tensor.shape[2], 1)


def blocks_ahead(keys: Tensor, width: int) -> int:
    """Blocks of a cache's keys and values on their way while one is worked on: two where they take 32 KiB or less,
    else one."""
    return 2 if 2 * BLOCK_KEYS * width * keys.element_size() <= 2**15 else 1
