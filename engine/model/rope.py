"""Rotary frequencies with YaRN (arXiv 2309.00071): long contexts by interpolating only the slow frequencies."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from engine.config import RopeConfig
from engine.kernels.rotary import cos_sin


class RotaryTable:
    """cos and sin for any positions. Frequencies are float32 [head_dim / 2]."""

    def __init__(
        self,
        rope: RopeConfig,
        head_dim: int,
        device: torch.device,
        cos_sin: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]] = cos_sin,
    ) -> None:
        self._cos_sin = cos_sin
        self.frequencies = yarn_frequencies(rope, head_dim).to(device)
        self.concentration = concentration(rope)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """[tokens] → cos and sin, float32 [tokens, head_dim / 2]."""
        return self._cos_sin(positions, self.frequencies, self.concentration)


def concentration(rope: RopeConfig) -> float:
    """The factor that scales cos and sin: 0.1·ln(factor) + 1, unless the config gives it."""
    if rope.attention_factor is not None:
        return rope.attention_factor
    return 0.1 * math.log(rope.factor) + 1.0 if rope.factor > 1 else 1.0


def yarn_frequencies(rope: RopeConfig, head_dim: int) -> Tensor:
    """Float32 [head_dim / 2]: theta^(−2i/head_dim), divided by `factor` for the slow ones.

    A dimension that turns more than beta_fast times within the original context keeps its frequency, one that turns
    fewer than beta_slow times is interpolated, and a linear ramp joins the two.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    periods = rope.theta**exponents
    if rope.factor <= 1:
        return 1.0 / periods
    low, high = correction_range(rope, head_dim)
    if low == high:
        high += 0.001
    ramp = ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    return (1.0 / (rope.factor * periods)) * ramp + (1.0 / periods) * (1 - ramp)


def correction_range(rope: RopeConfig, head_dim: int) -> tuple[float, float]:
    """The dimensions between which the ramp runs: those that turn beta_fast and beta_slow times."""

    def dimension(turns: float) -> float:
        return head_dim * math.log(rope.original_max_position / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0), min(high, head_dim - 1)
