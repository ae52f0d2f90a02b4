"""The experts over MXFP4 or bfloat16 weights (reference: `engine.kernels.experts`):

gate_up   inside[pair] = swiglu(W1 · x[token] + b1)      reads each touched expert's W1 once a tile of its tokens
down      out[split, pair] = W2 · inside[pair] + b2      the same of W2; few tokens split its columns for more programs
mix       y[token] = residual + Σ weight · out           in the order of the experts' ids, so never in another one

Two launches for the few tokens that are not sorted: there the last program of `down` that arrives at a block of rows
mixes it. Of more tokens it would have too much to mix, so that is a launch of its own; and sorting takes two.

A pair is a token and one of its experts (`engine.kernels.triton.routing`). A weight takes 17/32 of a byte: with hidden
and inner 2880 an expert is 9.0 MB of W1 and 4.5 MB of W2, padding included; a decode batch's tokens are little.

Unpacking costs more instructions than a step of many tokens has room for. Where memory allows and the operator says so
(--resident-experts), MXFP4 experts have a bfloat16 copy beside them, and such a step multiplies that one.
"""

from dataclasses import replace
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.experts import ExpertProduct
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.triton.dense_product import multiply_dense
from engine.kernels.triton.mxfp4_product import INTERPRETED, multiply
from engine.kernels.triton.repack import DenseProduct, KernelProduct, TiledProduct, repack, unpack_experts
from engine.kernels.triton.routing import Tiles, make_tiles, tile_of_pairs

FILLING_PROGRAMS = 360
"""What keeps a large GPU's memory busy: under it, `down` splits its columns."""
MAX_SPLITS = 4
WIDEST_TILE = 128
NARROW_TILE = 64
MIX_COLUMNS = 512
MIX_TOKENS = 4
"""That the last program of `down` mixes at once, so that it waits for the loads of all together."""
DIRECT_ROWS = 64
RESIDENT_PAIRS = 128
"""Pairs an expert, in the mean, from which a resident bfloat16 matrix is multiplied instead of the packed one: fewer do
not make up for four times the bytes."""


@triton.jit(do_not_specialize=["pairs"])
def gate_up_kernel(
    x, blocks, scales, bias, experts, order, tile_experts, tile_firsts, tile_lasts, inside, arrivals,
    pairs, x_stride, columns, rows, row_tiles, groups, unscale, alpha, limit,
    CHOICES: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, DIRECT: tl.constexpr,
    STAGES: tl.constexpr, PTX: tl.constexpr, ARRIVALS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    if DIRECT & (tl.program_id(0) + tile == 0):
        tl.store(arrivals + tl.arange(0, ARRIVALS), 0)
    expert, pair, valid = tile_of_pairs(
        experts, order, tile_experts, tile_firsts, tile_lasts, tile, pairs, TOKENS, DIRECT
    )
    if tl.max(valid.to(tl.int32), axis=0) == 0:
        return
    first_row = tl.program_id(0) * ROWS
    if scales is None:
        sums = multiply_dense(
            x, pair // CHOICES, x_stride, valid, columns,
            blocks, expert, first_row, rows, 0, groups,
            ROWS, TOKENS, STAGES, not PTX,
        )  # fmt: skip
    else:
        sums = multiply(
            x, pair // CHOICES, x_stride, valid, columns,
            blocks, scales, expert, first_row, row_tiles, 0, groups, groups,
            ROWS, TOKENS, STAGES, PTX,
        )  # fmt: skip
    row = first_row + tl.arange(0, ROWS)
    offset = tl.load(bias + expert * rows + row, mask=row < rows, other=0.0).to(tl.float32)
    sums = sums * unscale + offset[:, None]
    gate, up = sums.reshape(ROWS // 2, 2, TOKENS).trans(0, 2, 1).split()
    gate = tl.minimum(gate, limit)
    up = tl.minimum(tl.maximum(up, -limit), limit)
    value = (up + 1) * gate * tl.sigmoid(alpha * gate)
    column = first_row // 2 + tl.arange(0, ROWS // 2)
    to = inside + pair.to(tl.int64)[None, :] * (rows // 2) + column[:, None]
    tl.store(to, value.to(inside.dtype.element_ty), mask=valid[None, :] & (column < rows // 2)[:, None])


@triton.jit
def mix_columns(
    out, experts, weights, residual, mixed, token, column, pairs, rows,
    CHOICES: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """Tokens' [TOKENS] columns [COLUMNS], as far as both are there: what a token's experts, if it has any, left in
    `out`, weighed and added in the order of their ids. Read past the processor's own cache, for other programs of this
    very launch may have written it."""
    choice = tl.arange(0, WIDTH)
    there = token * CHOICES < pairs
    chosen = there[:, None] & (choice < CHOICES)[None, :]
    expert = tl.load(experts + token[:, None] * CHOICES + choice[None, :], mask=chosen, other=2147483647).to(tl.int32)
    has_any = there & (tl.min(expert, axis=1) >= 0)
    rank = tl.sum((expert[:, None, :] < expert[:, :, None]).to(tl.int32), axis=2)
    inside = (column < rows)[None, :]
    total = tl.zeros([token.shape[0], column.shape[0]], tl.float32)
    for nth in tl.static_range(CHOICES):
        pair = token * CHOICES + tl.sum(tl.where(rank == nth, choice[None, :], 0), axis=1)
        value = tl.zeros_like(total)
        for split in tl.static_range(SPLITS):
            at = out + ((split * pairs + pair) * rows)[:, None] + column[None, :]
            value += tl.load(at, mask=inside & has_any[:, None], other=0.0, cache_modifier=".cg").to(tl.float32)
        total += tl.load(weights + pair, mask=has_any, other=0.0).to(tl.float32)[:, None] * value
    at = (token * rows)[:, None] + column[None, :]
    rounded = total.to(mixed.dtype.element_ty).to(tl.float32)
    before = tl.load(residual + at, mask=inside & there[:, None], other=0.0).to(tl.float32)
    tl.store(mixed + at, (before + rounded).to(mixed.dtype.element_ty), mask=inside & there[:, None])


@triton.jit(do_not_specialize=["pairs"])
def down_kernel(
    inside, blocks, scales, bias, experts, order, tile_experts, tile_firsts, tile_lasts, out,
    weights, residual, mixed, arrivals,
    pairs, columns, rows, row_tiles, groups, unscale, split_groups,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, DIRECT: tl.constexpr, STAGES: tl.constexpr, PTX: tl.constexpr,
    CHOICES: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, MIX_TOKENS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    split = tl.program_id(2)
    expert, pair, valid = tile_of_pairs(
        experts, order, tile_experts, tile_firsts, tile_lasts, tile, pairs, TOKENS, DIRECT
    )
    first_row = tl.program_id(0) * ROWS
    row = first_row + tl.arange(0, ROWS)
    if tl.max(valid.to(tl.int32), axis=0) > 0:
        first_group = split * split_groups
        last_group = tl.minimum(first_group + split_groups, groups)
        if scales is None:
            sums = multiply_dense(
                inside, pair, columns, valid, columns,
                blocks, expert, first_row, rows, first_group, last_group,
                ROWS, TOKENS, STAGES, not PTX,
            )  # fmt: skip
        else:
            sums = multiply(
                inside, pair, columns, valid, columns,
                blocks, scales, expert, first_row, row_tiles, first_group, last_group, groups,
                ROWS, TOKENS, STAGES, PTX,
            )  # fmt: skip
        offset = tl.load(bias + expert * rows + row, mask=(row < rows) & (split == 0), other=0.0).to(tl.float32)
        sums = sums * unscale + offset[:, None]
        place = (split * pairs + pair).to(tl.int64)
        to = out + place[None, :] * rows + row[:, None]
        tl.store(to, sums.to(out.dtype.element_ty), mask=valid[None, :] & (row < rows)[:, None])
    if DIRECT:
        # All threads' stores come before the one thread's count, and that before the last program's loads.
        tl.debug_barrier()
        arrived = tl.atomic_add(arrivals + tl.program_id(0), 1, sem="acq_rel")
        if arrived == tl.num_programs(1) * SPLITS - 1:
            for first in range(0, pairs // CHOICES, MIX_TOKENS):
                token = first + tl.arange(0, MIX_TOKENS)
                mix_columns(
                    out, experts, weights, residual, mixed, token, row, pairs, rows, CHOICES, WIDTH, SPLITS
                )  # fmt: skip


@triton.jit(do_not_specialize=["pairs"])
def mix_kernel(
    out, experts, weights, residual, mixed, pairs, rows,
    CHOICES: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64) + tl.arange(0, 1)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mix_columns(out, experts, weights, residual, mixed, token, column, pairs, rows, CHOICES, WIDTH, SPLITS)


def prepare_experts(product: ExpertProduct) -> KernelProduct:
    """The matrices as `mix_experts` wants them: MXFP4 repacked, others as they are."""
    if isinstance(product.matrix, Mxfp4):
        return repack(product.matrix, product.bias)
    return DenseProduct(product.matrix, product.bias)


def prepare_resident_experts(product: ExpertProduct) -> KernelProduct:
    """MXFP4 matrices repacked, with their bfloat16 copy."""
    assert isinstance(product.matrix, Mxfp4)
    return replace(repack(product.matrix, product.bias), resident=unpack_experts(product.matrix, product.bias))


def mix_experts(
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    gate_up: KernelProduct,
    down: KernelProduct,
    alpha: float,
    limit: float,
    residual: Tensor,
) -> Tensor:
    """As the reference; the tensors are contiguous but for x's rows."""
    tokens, choices = experts.shape
    gate_up, down = (for_pairs(product, tokens * choices) for product in (gate_up, down))
    tiles = tiles_of(experts, len(gate_up.bias))
    arrivals = make_arrivals(down.rows, x.device)
    inside = multiply_gate_up(x, experts, tiles, gate_up, alpha, limit, arrivals)
    return mix_down(inside, experts, weights, tiles, down, residual, arrivals)


def for_pairs(product: KernelProduct, pairs: int) -> KernelProduct:
    """The resident copy, where there is one and so many pairs want it; else the product itself."""
    if isinstance(product, TiledProduct) and product.resident is not None:
        return product.resident if pairs >= RESIDENT_PAIRS * len(product.bias) else product
    return product


def operands(product: KernelProduct) -> tuple[Tensor, Tensor | None, int, float]:
    """What the kernels want of the matrices: blocks or numbers, scales, row tiles, and the factor of their values."""
    if isinstance(product, DenseProduct):
        return product.matrix, None, 0, 1.0
    return product.blocks, product.scales, product.row_tiles, 2.0**product.exponent


def tiles_of(experts: Tensor, count: int) -> Tiles:
    """experts [tokens, k], of `count`, in tiles as wide as their device multiplies well."""
    return make_tiles(experts, count, WIDEST_TILE if multiplies_by_warpgroups(experts.device) else NARROW_TILE)


def make_arrivals(rows: int, device: torch.device) -> Tensor:
    """Where the programs of `mix_down` count themselves, for each block of its rows; `multiply_gate_up` zeroes it."""
    return torch.empty(triton.next_power_of_2(triton.cdiv(rows, DIRECT_ROWS)), dtype=torch.int32, device=device)


def multiply_gate_up(
    x: Tensor, experts: Tensor, tiles: Tiles, product: KernelProduct, alpha: float, limit: float, arrivals: Tensor
) -> Tensor:
    """x [tokens, hidden], experts [tokens, k] → [tokens · k, inner], a row for each pair."""
    inside = x.new_empty(experts.numel(), product.rows // 2)
    matrix, scales, row_tiles, unscale = operands(product)
    rows, warps, stages = tile_shape(tiles, product, experts.device)
    gate_up_kernel[(triton.cdiv(product.rows, rows), tiles.count)](
        x, matrix, scales, product.bias, experts,
        tiles.order, tiles.experts, tiles.firsts, tiles.lasts, inside, arrivals,
        experts.numel(), x.stride(0), product.columns, product.rows, row_tiles, product.groups, unscale, alpha, limit,
        CHOICES=experts.shape[1], ROWS=rows, TOKENS=tiles.tokens, DIRECT=tiles.direct,
        STAGES=stages, PTX=not INTERPRETED, ARRIVALS=len(arrivals), num_warps=warps,
    )  # fmt: skip
    return inside


def mix_down(
    inside: Tensor, experts: Tensor, weights: Tensor, tiles: Tiles, product: KernelProduct, residual: Tensor,
    arrivals: Tensor,
) -> Tensor:  # fmt: skip
    """inside [tokens · k, inner], experts and weights [tokens, k] → residual + the weighted sums, [tokens, hidden]."""
    pairs, groups, hidden = len(inside), product.groups, product.rows
    tokens, choices = experts.shape
    matrix, scales, row_tiles, unscale = operands(product)
    rows, warps, stages = tile_shape(tiles, product, experts.device)
    row_blocks = triton.cdiv(hidden, rows)
    split_groups = groups_per_split(groups, row_blocks * tiles.count)
    splits, width = triton.cdiv(groups, split_groups), triton.next_power_of_2(choices)
    out = inside.new_empty(splits, pairs, hidden, dtype=inside.dtype if splits == 1 else torch.float32)
    mixed = torch.empty_like(residual)
    down_kernel[(row_blocks, tiles.count, splits)](
        inside, matrix, scales, product.bias, experts,
        tiles.order, tiles.experts, tiles.firsts, tiles.lasts, out, weights, residual, mixed, arrivals,
        pairs, product.columns, hidden, row_tiles, groups, unscale, split_groups,
        ROWS=rows, TOKENS=tiles.tokens, DIRECT=tiles.direct, STAGES=stages, PTX=not INTERPRETED,
        CHOICES=choices, WIDTH=width, SPLITS=splits, MIX_TOKENS=MIX_TOKENS, num_warps=warps,
    )  # fmt: skip
    if not tiles.direct:
        mix_kernel[(tokens, triton.cdiv(hidden, MIX_COLUMNS))](
            out, experts, weights, residual, mixed, pairs, hidden,
            CHOICES=choices, WIDTH=width, SPLITS=splits, COLUMNS=MIX_COLUMNS,
        )  # fmt: skip
    return mixed


def tile_shape(tiles: Tiles, product: KernelProduct, device: torch.device) -> tuple[int, int, int]:
    """Weight rows of a program, its warps, the depth of its pipeline: many small programs for few tokens, whose time
    is that of the memory; large ones for many, whose time is that of the tensor cores."""
    if tiles.direct:
        return DIRECT_ROWS, 4, 4
    if isinstance(product, DenseProduct):
        return (256, 8, 3) if tiles.tokens > 64 else (128, 4, 3)
    if not multiplies_by_warpgroups(device):
        return 64, 4, 3
    return (128, 4, 3) if tiles.tokens <= 64 else (128, 8, 3)


@cache
def multiplies_by_warpgroups(device: torch.device) -> bool:
    """Hopper and the data centre's Blackwell: their tensor cores take operands from shared memory, of which they have
    much. Others run out of registers in a wide tile. (The interpreter, on a CPU, takes the wide ones too.)"""
    return device.type == "cpu" or torch.cuda.get_device_capability(device)[0] in (9, 10)


def groups_per_split(groups: int, programs: int) -> int:
    """So many that `programs` times the splits fill the GPU, in up to MAX_SPLITS splits.

    >>> groups_per_split(23, 180), groups_per_split(23, 90), groups_per_split(23, 360)
    (12, 6, 23)
    """
    splits = min(MAX_SPLITS, max(1, -(-FILLING_PROGRAMS // programs)))
    return -(-groups // splits)
