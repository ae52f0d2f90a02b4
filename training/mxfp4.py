"""MXFP4: four-bit values, 32 of which share a power-of-two scale (OCP Microscaling Formats 1.0).

A value is sign · {0, 0.5, 1, 1.5, 2, 3, 4, 6} · 2^(scale − 127). A byte holds two, the low nibble first:

    values   0.5, -6.0, 3.0, 0.0, …   with scale byte 127
    nibbles  0x1,  0xF, 0x5, 0x0, …   (bit 3 is the sign)
    bytes    0xF1, 0x05, …
"""

from typing import Any

import torch
from torch import Tensor

BLOCK = 32
SCALE_BIAS = 127
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
LARGEST = MAGNITUDES[-1]


def block_exponents(blocks: Tensor) -> Tensor:
    """Each block's smallest exponent that clips no value: ceil(log2(max / 6)). [..., 32] → int32 [..., 1]."""
    mantissa, exponent = torch.frexp(blocks.abs().amax(-1, keepdim=True) / LARGEST)
    exponent = exponent - (mantissa == 0.5).to(exponent.dtype)
    return exponent.clamp(-SCALE_BIAS, SCALE_BIAS)


def round_to_fp4(x: Tensor) -> Tensor:
    """The nearest of ±MAGNITUDES, whose step is 0.5 below 2, 1 below 4, then 2. Ties go to even."""
    size = x.abs()
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.round(x / step) * step


def round_to_mxfp4(weight: Tensor) -> Tensor:
    """`weight` as it will be read back, in the same shape and dtype. The last dimension is a multiple of 32."""
    blocks = weight.unflatten(-1, (-1, BLOCK))
    scales = torch.exp2(block_exponents(blocks).to(weight.dtype))
    return (round_to_fp4(blocks / scales) * scales).flatten(-2)


def pack(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[..., columns] → blocks uint8 [..., columns/32, 16], scales uint8 [..., columns/32]."""
    blocks = weight.float().unflatten(-1, (-1, BLOCK))
    exponents = block_exponents(blocks)
    scaled = round_to_fp4(torch.ldexp(blocks, -exponents))
    magnitudes = torch.tensor(MAGNITUDES)
    codes = torch.searchsorted(magnitudes, scaled.abs().contiguous()) | (torch.signbit(scaled).long() << 3)
    packed = codes[..., 0::2] | (codes[..., 1::2] << 4)
    return packed.to(torch.uint8), (exponents.squeeze(-1) + SCALE_BIAS).to(torch.uint8)


def unpack(blocks: Tensor, scales: Tensor) -> Tensor:
    """The inverse of `pack`, in float32."""
    values = torch.tensor([*MAGNITUDES, *(-m for m in MAGNITUDES)])
    codes = torch.stack((blocks & 0x0F, blocks >> 4), -1).flatten(-2).long()
    exponents = scales.to(torch.int32).unsqueeze(-1) - SCALE_BIAS
    return torch.ldexp(values[codes], exponents).flatten(-2)


@torch.compile(dynamic=True)
def rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return round_to_mxfp4(weight).to(dtype)


class StraightThrough(torch.autograd.Function):
    """Rounds to MXFP4 in the forward pass and passes the gradient on unchanged (arXiv 1308.3432)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype) -> Tensor:
        return rounded(weight, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def as_stored(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """`weight` as it will be exported, in `dtype`; differentiable as if it had not been rounded."""
    stored: Tensor = StraightThrough.apply(weight, dtype)  # type: ignore[no-untyped-call]
    return stored
