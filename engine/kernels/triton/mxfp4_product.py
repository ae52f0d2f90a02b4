"""The main loop of the experts' products: weights of one expert, unpacked in registers, times a tile of tokens.

Functions for other kernels, not kernels of their own. The weights are the tensor cores' left operand, 64 or 128 rows,
and the tokens the right one, so that a batch of one wastes only the padding of tokens to 16. The layout of the weights
is that of `engine.kernels.triton.repack`.
"""

import os

import triton
import triton.language as tl

# The interpreter knows no PTX, and its bfloat16 products are wrong: there the values are unpacked by plain operations
# and multiplied in float32.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@triton.jit
def unpack_values(packed, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Bytes [ROWS, 64] of a group → its values [ROWS, 128] times 2^−126, columns in their order."""
    if PTX:
        # Four bytes at a time, as two pairs of low nibbles and two of high ones: of a pair, the three bits of
        # magnitude go to bits 6–8 of each half and the sign to bit 15.
        low, high = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 a, b;
            shl.b32 a, $4, 6;  shl.b32 b, $4, 12;  and.b32 a, a, 0x01C001C0;
            and.b32 b, b, 0x80008000;  or.b32 $0, a, b;
            shr.b32 a, $4, 2;  shl.b32 b, $4, 4;  and.b32 a, a, 0x01C001C0;
            and.b32 b, b, 0x80008000;  or.b32 $1, a, b;
            shl.b32 a, $4, 2;  shl.b32 b, $4, 8;  and.b32 a, a, 0x01C001C0;
            and.b32 b, b, 0x80008000;  or.b32 $2, a, b;
            shr.b32 a, $4, 6;  and.b32 a, a, 0x01C001C0;
            and.b32 b, $4, 0x80008000;  or.b32 $3, a, b;
            }
            """,
            "=&r,=&r,=&r,=&r,r", [packed], dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=4,
        )  # fmt: skip
        # The assembly has swapped p and j % 2 on the way: dimensions are q, j // 2, j % 2, p, h.
        values = tl.join(low, high).reshape(ROWS, 4, 4, 2, 2, 2).trans(0, 5, 2, 3, 1, 4)
    else:
        nibbles = tl.join(packed & 15, packed >> 4).to(tl.int32)
        bits = ((nibbles & 8) << 28) | ((nibbles & 7) << 22)
        values = bits.to(tl.float32, bitcast=True).reshape(ROWS, 4, 4, 2, 2, 2).trans(0, 5, 2, 4, 1, 3)
    return values.reshape(ROWS, 128)


@triton.jit
def load_weights(blocks, scales, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Pointers to bytes [ROWS, 64] and to scale exponents [ROWS, 4] of a group → its weights [ROWS, 128]."""
    values = unpack_values(tl.load(blocks), ROWS, PTX)
    if PTX:
        scale = (tl.load(scales).to(tl.uint16) << 7).to(tl.bfloat16, bitcast=True)
    else:
        scale = (tl.load(scales).to(tl.int32) << 23).to(tl.float32, bitcast=True)
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
    blocks += group_row[:, None] * 64 + tl.arange(0, 64)[None, :]
    scales += group_row[:, None] * 4 + tl.arange(0, 4)[None, :]
    column = first_group * 128 + tl.arange(0, 128)
    x += x_rows.to(tl.int64)[:, None] * x_stride + column[None, :]
    sums = tl.zeros([ROWS, TOKENS], tl.float32)
    for _ in tl.range(first_group, last_group, num_stages=STAGES):
        weights = load_weights(blocks, scales, ROWS, PTX)
        tokens = tl.load(x, mask=valid[:, None] & (column < columns)[None, :], other=0.0)
        sums = tl.dot(weights, tokens.to(weights.dtype).trans(), sums)
        blocks += 64 * 64
        scales += 64 * 4
        x += 128
        column += 128
    return sums
