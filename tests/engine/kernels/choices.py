"""Logits to choose from, with every special value, and all the ways to choose."""

import math

import torch
from torch import Tensor


def overflowing() -> tuple[Tensor, Tensor]:
    """Logits whose maximum is finite, but not after division by the temperature of the second row."""
    draws = torch.tensor([[1.0, 0.5, 0.0], [0.9, 0.9, 0.9]], dtype=torch.float64)
    return torch.tensor([[1.0, 3e38, 2.0]]).expand(3, -1).contiguous(), draws


def choices(vocab: int, rows: int, drawn: float, *, filtered: bool = False) -> tuple[Tensor, Tensor]:
    """Arguments of `choose`: rows of which about a share `drawn` is not greedy. Among the first eight are rows with
    equal logits, with NaNs, and with tokens that may not be chosen."""
    generator = torch.Generator().manual_seed(vocab)

    def some(share: float) -> Tensor:
        return torch.rand(rows, generator=generator) < share

    logits = 3 * torch.randn(rows, vocab, generator=generator)
    logits[1:3] = 0.5
    logits[2, 0] = -1
    logits[3, -1] = logits[4, vocab // 2] = torch.nan
    logits[5, vocab // 3] = torch.inf
    logits[6] = -torch.inf
    logits[7, : vocab // 2] = -torch.inf
    logits[8:] = logits[8:].masked_fill(torch.rand(rows - 8, vocab, generator=generator) < 0.3, -torch.inf)
    logits[8:16] = logits[8:16].round()
    logits[8:, vocab // 2] = 1.0
    logits[16:] -= 60
    numbers = torch.rand(2, rows, generator=generator, dtype=torch.float64)
    temperatures = (0.05 + 2 * numbers[1]).masked_fill(~some(drawn), 0)
    draws = [temperatures, numbers[0]]
    if filtered:
        reach, top_k, top_p = torch.rand(3, rows, generator=generator, dtype=torch.float64)
        draws += [
            (8 * reach).masked_fill(some(0.5), math.inf),
            (vocab * top_k**3).ceil().masked_fill(some(0.5), math.inf),
            top_p.masked_fill(some(0.3), 1.0),
        ]
    return logits, torch.stack(draws)
