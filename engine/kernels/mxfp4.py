"""MXFP4: 32 values share a power of two (OCP Microscaling Formats v1.0).

A byte holds two values, the low nibble first; a nibble is sign · {0, 0.5, 1, 1.5, 2, 3, 4, 6}; a block's scale byte
s stands for 2^(s − 127).
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


@dataclass(frozen=True, slots=True)
class Mxfp4:
    """A stack of packed matrices [experts, rows, columns]: blocks uint8 [experts, rows, columns / 32, 16] and
    scales uint8 [experts, rows, columns / 32]."""

    blocks: Tensor
    scales: Tensor

    def unpack(self, expert: int, dtype: torch.dtype) -> Tensor:
        """One expert's matrix [rows, columns]."""
        return unpack(self.blocks[expert], self.scales[expert], dtype)


@cache
def byte_values(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[256, 2]: the two values of every byte."""
    nibbles = torch.tensor([*MAGNITUDES, *(-m for m in MAGNITUDES)], dtype=dtype, device=device)
    byte = torch.arange(256, device=device)
    return torch.stack((nibbles[byte & 15], nibbles[byte >> 4]), dim=-1)


def unpack(blocks: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """blocks uint8 [..., columns / 32, 16], scales uint8 [..., columns / 32] → [..., columns].

    The byte 0x2A under the scale 128 is 2·(−1.0, 1.0): low nibble 10 first, then high nibble 2.

    >>> blocks, scales = torch.tensor([[0x2A] * 16], dtype=torch.uint8), torch.tensor([128], dtype=torch.uint8)
    >>> unpack(blocks, scales, torch.float32)[:2]
    tensor([-2.,  2.])
    """
    values = functional.embedding(blocks.int(), byte_values(dtype, blocks.device))
    scale = torch.exp2(scales.float() - 127).to(dtype)
    return (values.flatten(-2) * scale[..., None]).flatten(-2)
