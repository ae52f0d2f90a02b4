"""Groups a step's token–expert pairs into tiles of one expert each, on the device.

Pair t·k + c is token t's c-th choice. The pairs, sorted by expert, are cut into tiles of up to `tokens`; how many tiles
there will be is known only to the device, so the grid has as many as there can be, and the rest stay empty. Five pairs
with experts 2, 0, 2, 2, 0 of four, in tiles of two:

    order          1 4 | 0 2 | 3            pairs, sorted by expert
    tile experts     0     2   2   0
    tile firsts      0     2   4   0        a tile's pairs are order[first : last]
    tile lasts       2     4   5   0

With up to DIRECT_PAIRS pairs nothing is sorted: tile i belongs to the expert of pair i, holds all of that expert's
pairs, and is empty if an earlier pair has the same expert (`tile_of_pairs`).

A pair whose expert is negative, of a row of padding, is in no tile; the last places of `order` are then not written.

Reads 8 bytes a pair twice and writes 4.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.ragged import ALIGNMENT

DIRECT_PAIRS = 16
"""As many as the narrowest tile has room for: a batch of four with four experts a token."""
CHUNK_PAIRS = 64
"""Pairs that a program sorts at a time: all its pairs, but in a prompt's step."""
MOST_BLOCKS = 64
"""Programs that share the pairs, at most, so that each reads the counts of all at once."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of a step: `count` of `tokens` pairs each, at most. int32 tensors, or empty ones when nothing was
    sorted, which is when `direct`."""

    order: Tensor
    experts: Tensor
    firsts: Tensor
    lasts: Tensor
    tokens: int
    count: int
    direct: bool


@triton.jit
def chunk_of(experts, first, pairs, EXPERTS: tl.constexpr, CHUNK: tl.constexpr):
    """Which of the pairs first … first + CHUNK − 1 have which expert: int32 [CHUNK, EXPERTS]."""
    pair = first + tl.arange(0, CHUNK)
    expert = tl.load(experts + pair, mask=pair < pairs, other=-1).to(tl.int32)
    return (expert[:, None] == tl.arange(0, EXPERTS)[None, :]).to(tl.int32)


@triton.jit(do_not_specialize=["pairs", "block_pairs"])
def count_pairs(experts, counts, pairs, block_pairs, EXPERTS: tl.constexpr, CHUNK: tl.constexpr):
    """counts[block, expert] = how many of the block's pairs the expert has."""
    block = tl.program_id(0)
    total = tl.zeros([EXPERTS], tl.int32)
    for first in range(block * block_pairs, tl.minimum((block + 1) * block_pairs, pairs), CHUNK):
        total += tl.sum(chunk_of(experts, first, pairs, EXPERTS, CHUNK), axis=0)
    tl.store(counts + block * EXPERTS + tl.arange(0, EXPERTS), total)


@triton.jit(do_not_specialize=["pairs", "block_pairs", "tiles"])
def place_pairs(
    experts, counts, order, tile_experts, tile_firsts, tile_lasts, pairs, block_pairs, tiles,
    EXPERTS: tl.constexpr, MOST_BLOCKS: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Every program places its block's pairs, and makes its share of the map of tiles."""
    block, blocks = tl.program_id(0), tl.num_programs(0)
    expert = tl.arange(0, EXPERTS)
    other = tl.arange(0, MOST_BLOCKS)[:, None]
    count = tl.load(counts + other * EXPERTS + expert[None, :], mask=other < blocks, other=0)
    total = tl.sum(count, axis=0)
    before = tl.sum(tl.where(other < block, count, 0), axis=0)
    starts = tl.cumsum(total, 0) - total

    free = starts + before
    for first in range(block * block_pairs, tl.minimum((block + 1) * block_pairs, pairs), CHUNK):
        has = chunk_of(experts, first, pairs, EXPERTS, CHUNK)
        place = tl.sum(has * (free[None, :] + tl.cumsum(has, 0) - has), axis=1)
        pair = first + tl.arange(0, CHUNK)
        tl.store(order + place, pair, mask=tl.sum(has, axis=1) > 0)
        free += tl.sum(has, axis=0)

    expert_tiles = (total + TILE - 1) // TILE
    tile_starts = tl.cumsum(expert_tiles, 0) - expert_tiles
    for first in range(block * CHUNK, tiles, blocks * CHUNK):
        tile = first + tl.arange(0, CHUNK)
        nth = tile[:, None] - tile_starts[None, :]
        owns = ((nth >= 0) & (nth < expert_tiles[None, :])).to(tl.int32)
        tile_first = starts[None, :] + nth * TILE
        tile_last = tl.minimum(tile_first + TILE, (starts + total)[None, :])
        inside = tile < tiles
        tl.store(tile_experts + tile, tl.sum(owns * expert[None, :], axis=1), mask=inside)
        tl.store(tile_firsts + tile, tl.sum(owns * tile_first, axis=1), mask=inside)
        tl.store(tile_lasts + tile, tl.sum(owns * tile_last, axis=1), mask=inside)


@triton.jit
def tile_of_pairs(
    experts, order, tile_experts, tile_firsts, tile_lasts, tile, pairs, TOKENS: tl.constexpr, DIRECT: tl.constexpr
):
    """A tile's expert, its pairs [TOKENS], and which of these are there; none if the tile is empty."""
    row = tl.arange(0, TOKENS)
    if DIRECT:
        expert = tl.load(experts + tile).to(tl.int32)
        pair = row
        same = tl.load(experts + row, mask=row < pairs, other=-1).to(tl.int32) == expert
        first = tl.min(tl.where(same, row, TOKENS), axis=0)
        valid = same & (first == tile) & (expert >= 0)
    else:
        expert = tl.load(tile_experts + tile)
        place = tl.load(tile_firsts + tile) + row
        valid = place < tl.load(tile_lasts + tile)
        pair = tl.load(order + place, mask=valid, other=0)
    return expert, pair, valid


def tile_tokens(pairs: int, experts: int, widest: int) -> int:
    """Room for a quarter more than an expert's mean, so that most experts' weights are read once; 16 to `widest`.

    >>> tile_tokens(32, 32, 128), tile_tokens(1024, 32, 128), tile_tokens(32768, 32, 128)
    (16, 64, 128)
    """
    wanted: int = triton.next_power_of_2(triton.cdiv(pairs * 5, experts * 4))
    return min(widest, max(16, wanted))


def most_tiles(pairs: int, experts: int, tokens: int) -> int:
    """How many tiles there can be: every expert that has a pair may end in a tile that is not full.

    >>> most_tiles(5, 4, 2)
    4
    """
    used = min(pairs, experts)
    return used + (pairs - used) // tokens


def make_tiles(experts: Tensor, count: int, widest: int) -> Tiles:
    """experts int64 [tokens, k], ids under `count` or negative, in tiles of up to `widest` pairs."""
    pairs = experts.numel()
    if pairs <= DIRECT_PAIRS:
        nothing = experts.new_empty(0, dtype=torch.int32)
        return Tiles(nothing, nothing, nothing, nothing, DIRECT_PAIRS, pairs, direct=True)
    return sort_pairs(experts, count, tile_tokens(pairs, count, widest))


def sort_pairs(experts: Tensor, count: int, tokens: int) -> Tiles:
    """experts int64 [tokens, k] in tiles of `tokens` pairs."""
    pairs = experts.numel()
    tiles, width = most_tiles(pairs, count, tokens), triton.next_power_of_2(count)
    block_pairs = triton.cdiv(pairs, CHUNK_PAIRS * MOST_BLOCKS) * CHUNK_PAIRS
    blocks, warps = triton.cdiv(pairs, block_pairs), 4 if width <= 64 else 8
    counts = torch.empty(blocks, width, dtype=torch.int32, device=experts.device)
    order = torch.empty(pairs, dtype=torch.int32, device=experts.device)
    aligned = triton.cdiv(tiles, ALIGNMENT) * ALIGNMENT
    tile_experts, firsts, lasts = torch.empty(3, aligned, dtype=torch.int32, device=experts.device)[:, :tiles]
    count_pairs[(blocks,)](experts, counts, pairs, block_pairs, EXPERTS=width, CHUNK=CHUNK_PAIRS, num_warps=warps)
    place_pairs[(blocks,)](
        experts, counts, order, tile_experts, firsts, lasts, pairs, block_pairs, tiles,
        EXPERTS=width, MOST_BLOCKS=MOST_BLOCKS, CHUNK=CHUNK_PAIRS, TILE=tokens, num_warps=warps,
    )  # fmt: skip
    return Tiles(order, tile_experts, firsts, lasts, tokens, tiles, direct=False)
