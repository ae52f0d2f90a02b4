"""MXFP4 in the order in which the C++ ops read it: one shift of a word of four nibbles brings forward neighbours, which
share a scale."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library
from engine.kernels.mxfp4 import Mxfp4, unpack

TOGETHER = 128
"""Columns whose nibbles make words."""


@dataclass(frozen=True, slots=True)
class OrderedMxfp4(Mxfp4):
    """The same bytes, ordered: bits 4 j to 4 j + 3 of word w of 128 columns are column 32 j + w. What is left of a row,
    n words, is column n j + w."""

    def unpack(self, expert: int, dtype: torch.dtype) -> Tensor:
        return unpack(published(self.blocks[expert]), self.scales[expert], dtype)


def order(library: Library, matrix: Mxfp4) -> OrderedMxfp4:
    """Orders its blocks where they lie: `matrix` is not to be used any more. Raises ValueError if they lie in no one
    piece of the CPU's memory."""
    experts, rows, blocks, _ = matrix.blocks.shape
    if not matrix.blocks.is_contiguous() or not matrix.blocks.is_cpu:
        raise ValueError("blocks that are ordered must be contiguous, on the CPU")
    library.order_mxfp4(matrix.blocks, experts * rows, 32 * blocks)
    return OrderedMxfp4(matrix.blocks, matrix.scales)


def published(blocks: Tensor) -> Tensor:
    """Ordered blocks [..., columns / 32, 16] as they were.

    Two blocks are 16 words; word 1 holds the columns 1, 17, 33 and 49, lowest bits first.

    >>> ordered = torch.zeros(2, 16, dtype=torch.uint8)
    >>> ordered[0, 2], ordered[0, 3] = 0x21, 0x43
    >>> published(ordered).nonzero().tolist()
    [[0, 0], [0, 8], [1, 0], [1, 8]]
    >>> published(ordered)[0, 8].item() == 0x20
    True
    """
    rows = blocks.flatten(-2)
    whole = rows.shape[-1] // (TOGETHER // 2) * (TOGETHER // 2)
    groups = [rows[..., :whole].unflatten(-1, (-1, TOGETHER // 2))] if whole else []
    if whole < rows.shape[-1]:
        groups.append(rows[..., None, whole:])
    shifts = torch.arange(0, 16, 4, dtype=torch.int16)[:, None]
    nibbles = [(group.contiguous().view(torch.int16)[..., None, :] >> shifts & 15).flatten(-3) for group in groups]
    low, high = torch.cat(nibbles, dim=-1).to(torch.uint8).unflatten(-1, (-1, 2)).unbind(-1)
    joined: Tensor = low | high << 4
    return joined.view(blocks.shape)
