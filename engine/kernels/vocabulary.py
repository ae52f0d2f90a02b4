"""From token ids to the model's first numbers, and from its last ones to logits and to tokens."""

import torch
from torch import Tensor
from torch.nn import functional

NO_TOKEN = -1


def embed(token_ids: Tensor, table: Tensor) -> Tensor:
    """int32 [tokens], [vocab, hidden] → [tokens, hidden]."""
    return functional.embedding(token_ids, table)


def widen(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Any shape → the same in float32, in `out` if that is given."""
    return x.to(torch.float32) if out is None else out.copy_(x)


def choose(logits: Tensor, temperatures: Tensor, numbers: Tensor, out: Tensor | None = None) -> Tensor:
    """One token a row: float32 [rows, vocab], float64 [rows] twice → int64 [rows], in `out` if that is given.

    At temperature 0 it is the first of the largest logits, else the first token at which the cumulated softmax of
    logits / temperature, in vocabulary order, exceeds the row's number in [0, 1). `NO_TOKEN` where the largest logit is
    infinite or not a number.
    """
    best = logits.max(dim=-1)
    drawing = temperatures > 0
    divided = logits / temperatures.float().masked_fill(~drawing, 1)[:, None]
    cumulated = divided.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    drawn = torch.searchsorted(cumulated, (numbers * cumulated[:, -1])[:, None], right=True)[:, 0]
    tokens = torch.where(drawing, drawn, best.indices).masked_fill(best.values - best.values != 0, NO_TOKEN)
    return tokens if out is None else out.copy_(tokens)
