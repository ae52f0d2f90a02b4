"""Logits to choose from, with all that may be in them."""

import torch
from torch import Tensor


def choices(vocab: int, rows: int, drawn: float) -> tuple[Tensor, Tensor, Tensor]:
    """What `choose` takes: rows of which about a share `drawn` is not greedy. Among the first eight are rows of equal
    logits, of numbers that are none, and of tokens that may not be taken."""
    generator = torch.Generator().manual_seed(vocab)
    logits = 3 * torch.randn(rows, vocab, generator=generator)
    logits[1:3] = 0.5
    logits[2, 0] = -1
    logits[3, -1] = logits[4, vocab // 2] = torch.nan
    logits[5, vocab // 3] = torch.inf
    logits[6] = -torch.inf
    logits[7, : vocab // 2] = -torch.inf
    logits[8:] = logits[8:].masked_fill(torch.rand(rows - 8, vocab, generator=generator) < 0.3, -torch.inf)
    logits[8:, vocab // 2] = 1.0
    temperatures = 0.05 + 2 * torch.rand(rows, generator=generator, dtype=torch.float64)
    temperatures[torch.rand(rows, generator=generator) >= drawn] = 0
    numbers = torch.rand(rows, generator=generator, dtype=torch.float64)
    return logits, temperatures, numbers
