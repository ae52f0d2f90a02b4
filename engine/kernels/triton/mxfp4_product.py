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


UNPACK_PTX = tl.constexpr(
    """
    {
    .reg .b32 t, a, b;
    prmt.b32 t, $4, 0, 0x1404;
    shr.b32 a, t, 2;  shl.b32 b, t, 4;  and.b32 a, a, 0x01C001C0;  and.b32 b, b, 0x80008000;  or.b32 $0, a, b;
    shr.b32 a, t, 6;                    and.b32 a, a, 0x01C001C0;  and.b32 b, t, 0x80008000;  or.b32 $2, a, b;
    prmt.b32 t, $4, 0, 0x3424;
    shr.b32 a, t, 2;  shl.b32 b, t, 4;  and.b32 a, a, 0x01C001C0;  and.b32 b, b, 0x80008000;  or.b32 $1, a, b;
    shr.b32 a, t, 6;                    and.b32 a, a, 0x01C001C0;  and.b32 b, t, 0x80008000;  or.b32 $3, a, b;
    }
    """
)
"""Four bytes $4 → the bfloat16s of their low nibbles, $0 and $1, and of their high ones, $2 and $3, two a register.

Two bytes go to the upper halves of 16 bits each; then a nibble's magnitude goes to bits 6–8 and its sign to bit 15.
Which four bytes come together is the compiler's choice, so each value may depend on its own byte only.
"""


@triton.jit
def unpack_values(packed, ROWS: tl.constexpr, PTX: tl.constexpr):
    """Bytes [ROWS, 64] of a group → its values [ROWS, 128] times 2^−126, columns in their order."""
    if PTX:
        low, high = tl.inline_asm_elementwise(
            UNPACK_PTX, "=&r,=&r,=&r,=&r,r", [packed], dtype=(tl.bfloat16, tl.bfloat16), is_pure=True, pack=4
        )
        values = tl.join(low, high)
    else:
        nibbles = tl.join(packed & 15, packed >> 4).to(tl.int32)
        values = (((nibbles & 8) << 28) | ((nibbles & 7) << 22)).to(tl.float32, bitcast=True)
    # q, j, p, h → h, j, q, p: for the tensor cores' operand this moves no value to another thread.
    return values.reshape(ROWS, 4, 8, 2, 2).trans(0, 4, 2, 1, 3).reshape(ROWS, 128)


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
    column = tl.arange(0, 128)
    x += x_rows.to(tl.int64)[:, None] * x_stride + first_group * 128 + column[None, :]
    sums = tl.zeros([ROWS, TOKENS], tl.float32)
    for group in tl.range(first_group, last_group, num_stages=STAGES):
        weights = load_weights(blocks, scales, ROWS, PTX)
        tokens = tl.load(x, mask=valid[:, None] & (column < columns - group * 128)[None, :], other=0.0)
        sums = tl.dot(weights, tokens.to(weights.dtype).trans(), sums)
        blocks += 64 * 64
        scales += 64 * 4
        x += 128
    return sums
