"""The choice of tokens in C++ (reference: `engine.kernels.choose`)."""

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library


def choose(library: Library, logits: Tensor, draws: Tensor, out: Tensor | None = None) -> Tensor:
    """Takes and gives what the reference does. Shares of tokens are float32, their sums float64."""
    rows, vocab = logits.shape
    if out is None:
        out = torch.empty(rows, dtype=torch.int64)
    library.choose(logits, draws, len(draws), draws.stride(0), out, rows, vocab)
    return out
