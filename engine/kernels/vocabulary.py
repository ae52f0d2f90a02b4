"""From token ids to the model's first numbers, and from its last ones to logits and the likeliest tokens."""

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


def likeliest(logits: Tensor, out: Tensor | None = None) -> Tensor:
    """Float32 [rows, vocab] → int64 [rows], in `out` if that is given: the first of the largest, `NO_TOKEN` where that
    is infinite or not a number."""
    best = logits.max(dim=-1)
    tokens = best.indices.masked_fill(best.values - best.values != 0, NO_TOKEN)
    return tokens if out is None else out.copy_(tokens)
