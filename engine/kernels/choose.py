"""One token a row of logits: the best one, or one that a number in [0, 1) chooses among those that filters leave."""

import math

import torch
from torch import Tensor

NO_TOKEN = -1
NEUTRAL = (0.0, 0.0, math.inf, math.inf, 1.0)
"""A column of `draws` that takes the best token."""


def choose(logits: Tensor, draws: Tensor, out: Tensor | None = None) -> Tensor:
    """Float32 [rows, vocab], float64 [5, rows] → int64 [rows], in `out` if that is given.

    `draws` are each row's temperature; its number in [0, 1); and its filters, which leave a token in the race if its
    logit is at most so much under the largest; if less than so many stand above it; and if those above it, of what the
    first two leave, have less than such a share of the probability (min_p, top_k, top_p). Without the last three rows
    there are no filters.

    At temperature 0 it is the first of the largest logits, else the first token at which the cumulated softmax of
    logits / temperature, in vocabulary order, exceeds the number. `NO_TOKEN` where the largest logit is infinite or not
    a number, or becomes so by that division.
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
    """The smallest logit that the filters leave: float32 [rows]. Those equal to it stay, too."""
    ordered = logits.sort(dim=-1, descending=True).values
    kept = ordered >= ordered[:, :1] - reach[:, None]
    kept &= ordered >= ordered.gather(1, top_k.clamp(1, logits.shape[1]).long()[:, None] - 1)
    shares = (ordered / temperature).masked_fill(~kept, -torch.inf).softmax(dim=-1, dtype=torch.float64)
    cumulated = shares.cumsum(dim=-1)
    kept &= cumulated - shares < top_p[:, None] * cumulated[:, -1:]
    return ordered.gather(1, kept.sum(dim=-1, keepdim=True).clamp(min=1) - 1)[:, 0]
