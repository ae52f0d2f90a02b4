"""One token a row of logits, greedily or drawn (reference: `engine.kernels.choose`).

If some row filters, a launch finds what that leaves (`engine.kernels.triton.least_kept`). The next reads all logits
once, a program for each tile: its largest logit, and the mass of its tokens beside that one. The last has a program for
each row: the masses say in which tile the row's number falls, and only that tile is read again. A row of ten tokens in
tiles of four, with all logits equal, and the number 0.55:

    masses                4    4    2          of 10, so that 0.55 is at 5.5
    cumulated             4    8   10          exceeds 5.5 first in tile 1
    within tile 1         5    6    7    8     and there at its second token: token 5

Sums are float64, as in the reference: over 200,000 float32 terms the last tokens would not get their share.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.choose import NO_TOKEN
from engine.kernels.triton import least_kept

TILE = 4096
"""Tokens of a program. A row of gpt-oss has 50 tiles."""


@triton.jit
def shares(x, base, temperature):
    """How likely tokens are beside one whose logit, divided by the temperature, is `base`: float64, for −inf 0. The
    power itself is float32: float64's is slow on many cards, and of near logits the difference is exact."""
    return tl.exp(x / temperature - base).to(tl.float64)


@triton.jit
def base_of(peak, temperature):
    """What to take from divided logits, so that none overflows. Where the peak is infinite it does not matter."""
    return tl.where(tl.abs(peak) < float("inf"), peak, 0.0) / temperature


@triton.jit
def first_true(condition, otherwise, index, COUNT: tl.constexpr):
    """The first index where `condition` holds; if there is none, the last where `otherwise` does."""
    first = tl.min(tl.where(condition, index, COUNT), axis=0)
    last = tl.max(tl.where(otherwise, index, 0), axis=0)
    return tl.where(first < COUNT, first, last)


@triton.jit
def kept(x, least, row):
    """The row's logits that its filter leaves, if there are filters; the others are −inf."""
    if least is not None:
        x = tl.where(x >= tl.load(least + row), x, float("-inf"))
    return x


@triton.jit
def weigh_tiles(logits, draws, least, peaks, places, masses, row_stride, vocab, tiles, TILE: tl.constexpr):
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = tile * TILE + tl.arange(0, TILE)
    x = tl.load(logits + row * row_stride + token, mask=token < vocab, other=float("-inf"))
    broken = tl.max((x != x).to(tl.int32), axis=0)
    peak = tl.max(tl.where(x != x, float("-inf"), x), axis=0)
    place = row * tiles + tile
    tl.store(peaks + place, tl.where(broken > 0, float("inf"), peak))
    tl.store(places + place, tl.min(tl.where(x == peak, token, vocab), axis=0))
    temperature = tl.load(draws + row).to(tl.float32)
    if temperature > 0:
        x = kept(x, least, row)
        tl.store(masses + place, tl.sum(shares(x, base_of(peak, temperature), temperature), axis=0))


@triton.jit(do_not_specialize=["draw_stride"])
def pick_tokens(
    logits, draws, least, peaks, places, masses, out, row_stride, draw_stride, vocab, tiles,
    TILE: tl.constexpr, TILES: tl.constexpr, NOTHING: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    tile = tl.arange(0, TILES)
    place = row * tiles + tile
    peak = tl.load(peaks + place, mask=tile < tiles, other=float("-inf"))
    best = tl.max(peak, axis=0)
    chosen = tl.min(tl.where(peak == best, tl.load(places + place, mask=tile < tiles, other=0), vocab), axis=0)
    temperature = tl.load(draws + row).to(tl.float32)
    if temperature > 0:
        base = base_of(best, temperature)
        mass = tl.load(masses + place, mask=tile < tiles, other=0.0)
        finite = tl.abs(peak) < float("inf")
        mass = tl.where(finite, mass, 0.0) * shares(tl.where(finite, peak, float("-inf")), base, temperature)
        reached = tl.cumsum(mass, axis=0)
        wanted = tl.load(draws + draw_stride + row) * tl.max(reached, axis=0)
        at = first_true((reached > wanted) & (mass > 0), mass > 0, tile, TILES)
        index = tl.arange(0, TILE)
        token = at * TILE + index
        x = tl.load(logits + row * row_stride + token, mask=token < vocab, other=float("-inf"))
        share = shares(kept(x, least, row), base, temperature)
        within = tl.sum(tl.where(tile == at - 1, reached, 0.0), axis=0) + tl.cumsum(share, axis=0)
        chosen = at * TILE + first_true((within > wanted) & (share > 0), share > 0, index, TILE)
    largest = best / tl.where(temperature > 0, temperature, 1.0)
    tl.store(out + row, tl.where(tl.abs(largest) < float("inf"), chosen, NOTHING).to(tl.int64))


def choose(logits: Tensor, draws: Tensor, out: Tensor | None = None) -> Tensor:
    """As the reference. Rows of logits, and of draws, may stand apart."""
    rows, vocab = logits.shape
    tiles = triton.cdiv(vocab, TILE)
    if out is None:
        out = torch.empty(rows, dtype=torch.int64, device=logits.device)
    peaks, places, masses = (
        torch.empty(rows, tiles, dtype=dtype, device=logits.device)
        for dtype in (torch.float32, torch.int32, torch.float64)
    )
    least = None
    if len(draws) > 2:
        least = torch.empty(rows, dtype=torch.float32, device=logits.device)
        least_kept.find_least_kept[(rows,)](
            logits, draws, least, logits.stride(0), draws.stride(0), vocab,
            TILE=least_kept.TILE, WAYS=least_kept.WAYS, num_warps=8,
        )  # fmt: skip
    weigh_tiles[(rows, tiles)](
        logits, draws, least, peaks, places, masses, logits.stride(0), vocab, tiles, TILE=TILE, num_warps=8
    )
    pick_tokens[(rows,)](
        logits, draws, least, peaks, places, masses, out, logits.stride(0), draws.stride(0), vocab, tiles,
        TILE=TILE, TILES=triton.next_power_of_2(tiles), NOTHING=NO_TOKEN, num_warps=8,
    )  # fmt: skip
    return out
