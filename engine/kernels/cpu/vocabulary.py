"""Token ids to rows of numbers, positions to turns, and the last rows to float32, as C++ ops: with these,
a step of decoding is nothing but C++ ops (`engine.kernels.cpu.recording`)."""

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library


def embed(library: Library, token_ids: Tensor, table: Tensor) -> Tensor:
    """Takes and gives what the reference does."""
    tokens, columns = token_ids.shape[0], table.shape[1]
    out = table.new_empty(tokens, columns)
    library.embed(token_ids, table, out, tokens, columns)
    return out


def cos_sin(library: Library, positions: Tensor, frequencies: Tensor, concentration: float) -> tuple[Tensor, Tensor]:
    """Takes and gives what the reference does."""
    tokens, half = positions.shape[0], frequencies.shape[0]
    cos, sin = frequencies.new_empty(tokens, half), frequencies.new_empty(tokens, half)
    library.cos_sin(positions, frequencies, concentration, cos, sin, tokens, half)
    return cos, sin


def widen(library: Library, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Takes and gives what the reference does."""
    if out is None:
        out = torch.empty(x.shape, dtype=torch.float32)
    library.widen(x, out, x.numel())
    return out
