"""One token per row of logits: the best one, or one that a number in [0, 1) draws from those that filters keep."""

import math

import torch
from torch import Tensor

NO_TOKEN = -1
NEUTRAL = (0.0, 0.0, math.inf, math.inf, 1.0)
"""A column of `draws` that takes the best token."""


def choose(logits: Tensor, draws: Tensor, out: Tensor | None = None) -> Tensor:
    """Float32 [rows, vocab], float64 [5, rows] → int64 [rows], in `out` if that is given.

    `draws` are each row's temperature, its number in [0, 1), and three filters. They keep a token if its logit is at
    most `reach` below the largest (from min_p), if fewer than `top_k` logits are above it, and if those above it, of
    the tokens that the first two filters keep, have less than `top_p` of the probability. Without the last three rows
    there are no filters.

    At temperature 0 it is the first of the largest logits, else the first token at which the cumulative softmax of
    logits / temperature, in vocabulary order, exceeds the number. `NO_TOKEN` where the largest logit is infinite or
    NaN, before or after that division.
    """
    temperatures, numbers, *filters = draws
    best = logits.max(dim=-1)
    drawing = temperatures > 0
    temperature = temperatures.float().masked_fill(~drawing, 1)[:, None]
    if filters:
        logits = logits.masked_fill(logits < least_kept(logits, temperature, *filters)[:, None], -torch.inf)
    cumulated = (logits / temperature).softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    drawn = torch.searchsorted(cumulated, (numbers * cumulated[:, -1])[:, None], right=True)[:, 0]
    largest = best.values / temperature[:, 0]
    tokens = torch.where(drawing, drawn, best.indices).masked_fill(largest - largest != 0, NO_TOKEN)
    return tokens if out is None else out.copy_(tokens)


def least_kept(logits: Tensor, temperature: Tensor, reach: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """The smallest logit that the filters keep: float32 [rows]. Those equal to it are kept, too."""
    ordered = logits.sort(dim=-1, descending=True).values
    kept = ordered >= ordered[:, :1] - reach[:, None]
    kept &= ordered >= ordered.gather(1, top_k.clamp(1, logits.shape[1]).long()[:, None] - 1)
    shares = (ordered / temperature).masked_fill(~kept, -torch.inf).softmax(dim=-1, dtype=torch.float64)
    cumulated = shares.cumsum(dim=-1)
    kept &= cumulated - shares < top_p[:, None] * cumulated[:, -1:]
    return ordered.gather(1, kept.sum(dim=-1, keepdim=True).clamp(min=1) - 1)[:, 0]
