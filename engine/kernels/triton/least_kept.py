"""The smallest logit of a row that its filters leave, without sorting it (reference: `engine.kernels.choose`).

Both top_k and top_p look for the least number above which less than so much stands, counted or weighed. As float32's
bits can be read as integers in the same order, it is found digit by digit: eight passes over the row, each of which
weighs what stands above every value of the next four bits. A model's own logits are bfloat16's numbers, which the upper
half of the bits tells apart: where nothing was added to a row, its passes are four, and what they find may be a little
less than the number, but not than the next one. Of the numbers 2, 7, 9 and 12, two stand above 7 and one above 9, so
for top_k = 2 it is 9. In binary, with two digits of two bits:

    above 0011: 3    0111: 2    1011: 1    1111: 0         so the first digit is 10, of which 1011 is the last
    above 1000: 2    1001: 1    1010: 1    1011: 1         so the second is 01: 9

A program has a row, and reads nothing if it has no filter. A row of gpt-oss is 0.8 MB, which the device's cache holds.
What a pass takes is its comparisons, of every logit with each value of the digit: they are of floats, and each thread
keeps sums of its own, in float32, that meet once a pass, in float64.
"""

import triton
import triton.language as tl

TILE = 1024
WAYS = 16
"""Values of a digit."""


LOWEST = tl.constexpr(8388607)
"""The key of −∞; what is below it are keys of no numbers."""


@triton.jit
def key_of(x):
    """float32 → int64 from 0 to 2³² − 1, in the same order."""
    bits = x.to(tl.int32, bitcast=True).to(tl.int64)
    return tl.where(bits < 0, -1 - bits, bits + 2147483648)


@triton.jit
def number_of(key):
    """The float32 of a key."""
    bits = tl.where(key < 2147483648, -1 - key, key - 2147483648)
    return bits.to(tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def weights_of(x, peak, temperature, least, WEIGHED: tl.constexpr):
    """What numbers count: nothing under `least`, else 1 or, if `WEIGHED`, their probability beside the peak's."""
    weight = tl.exp(x / temperature - peak / temperature) if WEIGHED else tl.full(x.shape, 1.0, tl.float32)
    return tl.where(x >= least, weight, 0.0)


@triton.jit
def find_least(
    row, vocab, peak, temperature, least, wanted, finest, WEIGHED: tl.constexpr, TILE: tl.constexpr, WAYS: tl.constexpr
):
    """The least number above which less than `wanted` stand, not under `least`; among keys that differ by less than
    `finest`, the least of them."""
    way = tl.arange(0, WAYS).to(tl.int64)
    before = tl.full([], 0, tl.int64)
    step = tl.full([], 268435456, tl.int64)
    while step >= finest:
        last = number_of(tl.maximum(before + (way + 1) * step - 1, LOWEST))
        sums = tl.zeros([WAYS, TILE], tl.float32)
        for first in range(0, vocab, TILE):
            token = first + tl.arange(0, TILE)[None, :]
            x = tl.load(row + token, mask=token < vocab, other=float("-inf"))
            sums = tl.where(x > last[:, None], sums + weights_of(x, peak, temperature, least, WEIGHED), sums)
        above = tl.sum(sums.to(tl.float64), axis=1)
        before += tl.min(tl.where(above < wanted, way, WAYS - 1), axis=0) * step
        step = step // WAYS
    return number_of(tl.maximum(before, key_of(least)))


@triton.jit(do_not_specialize=["draw_stride"])
def find_least_kept(logits, draws, out, row_stride, draw_stride, vocab, TILE: tl.constexpr, WAYS: tl.constexpr):
    number = tl.program_id(0).to(tl.int64)
    row, draw = logits + number * row_stride, draws + number
    temperature = tl.load(draw).to(tl.float32)
    reach, top_k = tl.load(draw + 2 * draw_stride), tl.load(draw + 3 * draw_stride)
    top_p = tl.load(draw + 4 * draw_stride)
    least = tl.full([], float("-inf"), tl.float32)
    if (temperature > 0) & ((reach < float("inf")) | (top_k < vocab) | (top_p < 1)):
        peaks = tl.full([TILE], float("-inf"), tl.float32)
        lower = tl.zeros([TILE], tl.int32)
        for first in range(0, vocab, TILE):
            token = first + tl.arange(0, TILE)
            x = tl.load(row + token, mask=token < vocab, other=float("-inf"))
            peaks = tl.maximum(peaks, x)
            lower |= x.to(tl.int32, bitcast=True) & 65535
        peak = tl.max(peaks, axis=0)
        finest = tl.where(tl.max(lower, axis=0) > 0, 1, 65536)
        if tl.abs(peak) < float("inf"):
            floor = peak.to(tl.float64) - reach
            least = floor.to(tl.float32)
            least = tl.where(least.to(tl.float64) < floor, number_of(key_of(least) + 1), least)
            if top_k < vocab:
                least = find_least(row, vocab, peak, temperature, least, top_k, finest, False, TILE, WAYS)
            if top_p < 1:
                weights = tl.zeros([TILE], tl.float32)
                for first in range(0, vocab, TILE):
                    token = first + tl.arange(0, TILE)
                    x = tl.load(row + token, mask=token < vocab, other=float("-inf"))
                    weights += weights_of(x, peak, temperature, least, True)
                wanted = top_p * tl.sum(weights.to(tl.float64), axis=0)
                least = find_least(row, vocab, peak, temperature, least, wanted, finest, True, TILE, WAYS)
    tl.store(out + number, least)
