"""Rotary position embedding on the two halves of a head (not interleaved).

(x1, x2) → (x1·cos − x2·sin, x2·cos + x1·sin)
"""

import torch
from torch import Tensor


def cos_sin(positions: Tensor, frequencies: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """int32 [tokens], float32 [head_dim / 2] → cos and sin of their products, times `concentration`: float32
    [tokens, head_dim / 2]."""
    angles = positions.float()[:, None] * frequencies
    return angles.cos() * concentration, angles.sin() * concentration


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """[tokens, heads, head_dim] → the same; `cos` and `sin` are float32 [tokens, head_dim / 2]."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
