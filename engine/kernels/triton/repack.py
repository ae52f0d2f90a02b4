"""The layout of MXFP4 matrices that the Triton kernels read, made once at load.

Columns are padded with zeros to groups of 128 and rows to tiles of 64, and a tile's group is 64 lines of 16 words, one
after the other, so that a program streams its weights from one contiguous piece of memory. A word of 32 bits has eight
values, and a line's words 4·q … 4·q + 3 are 16 bytes for one thread:

    line 16·w + 8·u + s, word 4·q + v, value 2·c + i of half p
    holds    row 16·w + 8·i + s, column 64·u + 16·v + 8·c + 2·q + p        (w, q, v < 4, s < 8, u, i, c, p < 2)

These are the rows and columns that a thread holds of the tensor cores' left operand, in its registers' order: two
columns in the two halves of one, then the row eight below. Row 3, column 70 = 64·1 + 2·3 is line 11, word 12, value 0.

Where in its half a value's four bits stand (`VALUE_BITS`) is what makes them cheap to move to their bfloat16's bits 6–8
and 15: of values 0 and 1, magnitude and sign go there by one shift; of value 2 by one rotation, for which its sign
stands in the other half; of value 3 all but the magnitude's lowest bit are there.

>>> nibbles = torch.zeros(64, 128, dtype=torch.uint8)
>>> nibbles[3, 70] = 0b1101
>>> words = pack_words(nibbles)
>>> words.nonzero().tolist(), hex(words[11, 12])
([[11, 12]], '0x205')

A scale byte s, 2^(s − 127), becomes the exponent of a bfloat16 that also makes up for the nibbles' being unpacked as
value · 2^−126: s + 126. That overflows for s > 128, which no trained checkpoint has; then all scales of the matrix are
lowered by `exponent`, and the product is multiplied by 2^exponent.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.mxfp4 import Mxfp4

GROUP = 128
"""Columns of a group: one step of the kernels' main loop."""
TILE_ROWS = 64
"""Rows of a tile: what one Hopper warpgroup multiplies."""
UNPACK_EXPONENT = 126
"""A nibble's bits in a bfloat16's place are its value times 2^−126."""
MAX_SCALE = 254 - UNPACK_EXPONENT
VALUE_BITS = ((0, 1, 2, 9), (4, 5, 6, 13), (10, 11, 12, 16 + 3), (14, 7, 8, 15))
"""The bits of a word for the magnitude's three bits, the lowest first, and the sign of its values 0 … 3 of the lower
half; those of the upper half are 16 further, modulo 32."""


DENSE_GROUP = 64
"""Columns of a step over a bfloat16 matrix: 128 bytes, what the tensor cores' layout of shared memory is made of."""


@dataclass(frozen=True, slots=True)
class DenseProduct:
    """One product of every expert as plain numbers: matrix [experts, rows, columns], and bias [experts, rows]."""

    matrix: Tensor
    bias: Tensor

    @property
    def rows(self) -> int:
        return self.matrix.shape[1]

    @property
    def columns(self) -> int:
        return self.matrix.shape[2]

    @property
    def groups(self) -> int:
        return -(-self.columns // DENSE_GROUP)


@dataclass(frozen=True, slots=True)
class TiledProduct:
    """One product of every expert: matrices [experts, rows, columns] in the kernels' layout, and bias [experts, rows].

    blocks int32 [experts, row tiles, groups, 64, 16], scales int32 [experts, row tiles, groups, 64], a row's four bytes
    in a word; the values they give are to be multiplied by 2^exponent. `resident` is the same product unpacked, for
    steps of many tokens.
    """

    blocks: Tensor
    scales: Tensor
    bias: Tensor
    columns: int
    exponent: int
    resident: DenseProduct | None = None

    @property
    def rows(self) -> int:
        return self.bias.shape[1]

    @property
    def row_tiles(self) -> int:
        return self.blocks.shape[1]

    @property
    def groups(self) -> int:
        return self.blocks.shape[2]


KernelProduct = TiledProduct | DenseProduct


def pack_words(nibbles: Tensor) -> Tensor:
    """uint8 [..., 64, 128], one value each → int32 words [..., 64, 16]."""
    w_i_s_u_v_c_q_p = nibbles.reshape(-1, 4, 2, 8, 2, 4, 2, 4, 2)
    values = w_i_s_u_v_c_q_p.permute(6, 2, 8, 0, 1, 4, 3, 7, 5).reshape(4, 2, *nibbles.shape[:-1], 16)
    tables = word_tables(nibbles.device)
    words = torch.zeros(values.shape[2:], dtype=torch.int32, device=nibbles.device)
    for value in range(4):
        for half in range(2):
            words |= tables[value, half][values[value, half].int()]
    return words


@cache
def word_tables(device: torch.device) -> Tensor:
    """int32 [4, 2, 16]: a nibble's bits of the word, by its value and half."""
    tables = [
        [
            sum(1 << (bit + 16 * half) % 32 for place, bit in enumerate(bits) if nibble >> place & 1)
            for nibble in range(16)
        ]
        for bits in VALUE_BITS
        for half in range(2)
    ]
    return torch.tensor(tables, device=device).view(4, 2, 16).to(torch.int32)


def repack(packed: Mxfp4, bias: Tensor) -> TiledProduct:
    """The published layout in the kernels' one. An expert at a time, so little memory is needed beside the result."""
    experts, rows, column_blocks, _ = packed.blocks.shape
    columns = column_blocks * 32
    tiles, groups = -(-rows // TILE_ROWS), -(-columns // GROUP)
    exponent = max(0, int(packed.scales.max()) - MAX_SCALE)
    blocks = packed.blocks.new_empty(experts, tiles, groups, TILE_ROWS, GROUP // 8, dtype=torch.int32)
    scales = packed.scales.new_empty(experts, tiles, groups, TILE_ROWS, dtype=torch.int32)
    for expert in range(experts):
        source = packed.blocks[expert].flatten(1)
        nibbles = torch.stack((source & 15, source >> 4), dim=-1).flatten(1)
        nibbles = functional.pad(nibbles, (0, groups * GROUP - columns, 0, tiles * TILE_ROWS - rows))
        blocks[expert] = pack_words(nibbles.view(tiles, TILE_ROWS, groups, GROUP).transpose(1, 2))
        fields = (packed.scales[expert].int() + UNPACK_EXPONENT - exponent).clamp(min=0).to(torch.uint8)
        fields = functional.pad(fields, (0, groups * 4 - column_blocks, 0, tiles * TILE_ROWS - rows))
        scales[expert] = fields.view(torch.int32).view(tiles, TILE_ROWS, groups).transpose(1, 2)
    return TiledProduct(blocks, scales, bias, columns, exponent)


def unpack_experts(packed: Mxfp4, bias: Tensor) -> DenseProduct:
    """Every expert's numbers, in the bias' dtype, which keeps them exactly."""
    experts, rows, column_blocks = packed.scales.shape
    matrix = bias.new_empty(experts, rows, column_blocks * 32)
    for expert in range(experts):
        matrix[expert] = packed.unpack(expert, bias.dtype)
    return DenseProduct(matrix, bias)
