"""The layout of MXFP4 matrices that the Triton kernels read, made once at load.

Columns are padded with zeros to groups of 128 and rows to tiles of 64, and a tile's group is 64 rows of 64 bytes, one
after the other, so that a program streams its weights from one contiguous piece of memory. Within the 64 bytes of a row

    byte 16·q + 2·j + p, nibble h    holds    column 64·h + 8·j + 2·q + p        (q < 4, j < 8, p < 2)

which gives the four threads that hold a row of the tensor cores' left operand, columns 2q and 2q + 1 of every eight,
16 contiguous bytes each. Column 70 is 64·1 + 8·0 + 2·3 + 0: byte 48, the high nibble.

>>> matrix = torch.zeros(1, 128, dtype=torch.uint8)
>>> matrix[0, 70] = 5
>>> permute_nibbles(matrix)[0, 48].item() == 5 << 4
True

A scale byte s, 2^(s − 127), becomes the exponent of a bfloat16 that also makes up for the nibbles' being unpacked as
value · 2^−126: s + 126. That overflows for s > 128, which no trained checkpoint has; then all scales of the matrix are
lowered by `exponent`, and the product is multiplied by 2^exponent.
"""

from dataclasses import dataclass

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

    blocks uint8 [experts, row tiles, groups, 64, 64], scales uint8 [experts, row tiles, groups, 64, 4]; the values they
    give are to be multiplied by 2^exponent. `resident` is the same product unpacked, for steps of many tokens.
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


def permute_nibbles(nibbles: Tensor) -> Tensor:
    """uint8 [..., 128], one value each → bytes [..., 64]."""
    low, high = nibbles.reshape(-1, 2, 8, 4, 2).permute(1, 0, 3, 2, 4)
    packed: Tensor = low | high << 4
    return packed.reshape(*nibbles.shape[:-1], GROUP // 2)


def repack(packed: Mxfp4, bias: Tensor) -> TiledProduct:
    """The published layout in the kernels' one. An expert at a time, so little memory is needed beside the result."""
    experts, rows, column_blocks, _ = packed.blocks.shape
    columns = column_blocks * 32
    tiles, groups = -(-rows // TILE_ROWS), -(-columns // GROUP)
    exponent = max(0, int(packed.scales.max()) - MAX_SCALE)
    blocks = packed.blocks.new_empty(experts, tiles, groups, TILE_ROWS, GROUP // 2)
    scales = packed.scales.new_empty(experts, tiles, groups, TILE_ROWS, GROUP // 32)
    for expert in range(experts):
        source = packed.blocks[expert].flatten(1)
        nibbles = torch.stack((source & 15, source >> 4), dim=-1).flatten(1)
        nibbles = functional.pad(nibbles, (0, groups * GROUP - columns, 0, tiles * TILE_ROWS - rows))
        blocks[expert] = permute_nibbles(nibbles.view(tiles, TILE_ROWS, groups, GROUP)).transpose(1, 2)
        fields = (packed.scales[expert].int() + UNPACK_EXPONENT - exponent).clamp(min=0).to(torch.uint8)
        fields = functional.pad(fields, (0, groups * 4 - column_blocks, 0, tiles * TILE_ROWS - rows))
        scales[expert] = fields.view(tiles, TILE_ROWS, groups, 4).transpose(1, 2)
    return TiledProduct(blocks, scales, bias, columns, exponent)


def unpack_experts(packed: Mxfp4, bias: Tensor) -> DenseProduct:
    """Every expert's numbers, in the bias' dtype, which keeps them exactly."""
    experts, rows, column_blocks = packed.scales.shape
    matrix = bias.new_empty(experts, rows, column_blocks * 32)
    for expert in range(experts):
        matrix[expert] = packed.unpack(expert, bias.dtype)
    return DenseProduct(matrix, bias)
