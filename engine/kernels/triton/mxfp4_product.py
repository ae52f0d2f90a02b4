"""The main loop of the experts' products: weights of one expert, unpacked in registers, times a tile of tokens.

Functions for other kernels, not kernels of their own. The weights are the tensor cores' left operand, 64 or 128 rows,
and the tokens the right one, so that a batch of one wastes only the padding of tokens to 16. The layout of the weights
is that of `engine.kernels.triton.repack`.
"""

import os

import triton
import triton.language as tl

from engine.kernels.triton.wgmma import finished

# The interpreter knows no PTX, and its bfloat16 products are wrong: there the values are unpacked by plain operations
# and multiplied in float32.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


UNPACK_PTX = tl.constexpr(
    """
    {
    .reg .b32 a, b;
    shl.b32 a, $8, 6;             and.b32 a, a, 0x81C081C0;                                mov.b32 {$0, $1}, a;
    shl.b32 a, $8, 2;             and.b32 a, a, 0x81C081C0;                                mov.b32 {$2, $3}, a;
    shf.r.wrap.b32 a, $8, $8, 4;  and.b32 a, a, 0x81C081C0;                                mov.b32 {$4, $5}, a;
    shr.b32 a, $8, 8;  and.b32 a, a, 0x00400040;  and.b32 b, $8, 0x81808180;  or.b32 a, a, b;  mov.b32 {$6, $7}, a;
    }
    """
)
"""A word $8 of `engine.kernels.triton.repack` → the bfloat16s of its values 0 … 3, the lower half's before the upper's.

Magnitudes go to bits 6–8 of a half and signs to bit 15, both halves' at once: two instructions, of value 3 three, since
the last `and` and the `or` are one. As 16-bit numbers the compiler multiplies them in pairs without moving them.
"""


@triton.jit
def unpack_words(words, PTX: tl.constexpr):
    """int32 words → their eight values, as in UNPACK_PTX, times 2^−126."""
    if PTX:
        values = tl.inline_asm_elementwise(
            UNPACK_PTX, "=&h,=&h,=&h,=&h,=&h,=&h,=&h,=&h,r", [words], dtype=(tl.bfloat16,) * 8, is_pure=True, pack=1
        )
    else:
        word = words.to(tl.uint32, bitcast=True)
        values = (
            *split_halves((word << 6) & 0x81C081C0, PTX),
            *split_halves((word << 2) & 0x81C081C0, PTX),
            *split_halves(((word >> 4) | (word << 28)) & 0x81C081C0, PTX),
            *split_halves(((word >> 8) & 0x00400040) | (word & 0x81808180), PTX),
        )
    return values


@triton.jit
def split_halves(pairs, PTX: tl.constexpr):
    """32 bits → the bfloat16s in their lower and upper halves; without PTX in float32."""
    if PTX:
        low = pairs.to(tl.uint16).to(tl.bfloat16, bitcast=True)
        high = (pairs >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        low = (pairs << 16).to(tl.float32, bitcast=True)
        high = (pairs & 0xFFFF0000).to(tl.float32, bitcast=True)
    return low, high


@triton.jit
def load_values(blocks, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Pointers to the words [ROWS, 16] of a group → its values [ROWS, 128] times 2^−126."""
    a, b, c, d, e, f, g, h = unpack_words(tl.load(blocks), PTX)
    values = tl.join(tl.join(tl.join(a, b), tl.join(c, d)), tl.join(tl.join(e, f), tl.join(g, h)))
    # w, u, s, q, v, p, i, c → rows w, i, s and columns u, v, c, q, p: for the tensor cores' operand this moves no value
    # to another thread.
    values = values.reshape(ROWS // 16, 2, 8, 4, 4, 2, 2, 2).trans(0, 6, 2, 1, 4, 7, 3, 5)
    return values.reshape(ROWS, 128)


@triton.jit
def load_scales(scales, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Pointers to the words [ROWS] of a group's scale exponents → its scales [ROWS, 4]."""
    exponents = tl.load(scales).to(tl.uint32, bitcast=True)
    first, third = split_halves((exponents << 7) & 0x7F807F80, PTX)
    second, fourth = split_halves((exponents >> 1) & 0x7F807F80, PTX)
    return tl.join(tl.join(first, third), tl.join(second, fourth)).reshape(ROWS, 4)


@triton.jit
def load_weights(blocks, scales, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Pointers to words [ROWS, 16] and to scale exponents [ROWS] of a group → its weights [ROWS, 128]."""
    values = load_values(blocks, ROWS, PTX)
    scale = load_scales(scales, ROWS, PTX)
    return (values.reshape(ROWS, 4, 32) * scale[:, :, None]).reshape(ROWS, 128)


@triton.jit
def multiply(
    x, x_rows, x_stride, valid, columns,
    blocks, scales, expert, first_row, row_tiles, first_group, last_group, groups,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, STAGES: tl.constexpr, PTX: tl.constexpr,
):  # fmt: skip
    """Σ over the columns of groups first_group … last_group − 1: float32 [ROWS, TOKENS].

    The weights are the expert's rows from first_row on, where they exist; token i is x[x_rows[i], :columns], and 0
    where it is not valid.
    """
    row = tl.arange(0, ROWS)
    row_tile = tl.minimum((first_row + row) // 64, row_tiles - 1)
    group_row = ((expert * row_tiles + row_tile).to(tl.int64) * groups + first_group) * 64 + row % 64
    blocks += group_row[:, None] * 16 + tl.arange(0, 16)[None, :]
    scales += group_row
    column = tl.arange(0, 128)
    x += x_rows.to(tl.int64)[:, None] * x_stride + first_group * 128 + column[None, :]
    sums = tl.zeros([ROWS, TOKENS], tl.float32)
    for group in tl.range(first_group, last_group, num_stages=STAGES):
        weights = load_weights(blocks, scales, ROWS, PTX)
        tokens = tl.load(x, mask=valid[:, None] & (column < columns - group * 128)[None, :], other=0.0)
        sums = finished(tl.dot(weights, tokens.to(weights.dtype).trans(), sums), PTX)
        blocks += 64 * 16
        scales += 64
        x += 128
    return sums
