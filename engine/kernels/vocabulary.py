"""From token ids to the model's first numbers, and from its last ones to logits."""

import torch
from torch import Tensor
from torch.nn import functional


def embed(token_ids: Tensor, table: Tensor) -> Tensor:
    """int32 [tokens], [vocab, hidden] → [tokens, hidden]."""
    return functional.embedding(token_ids, table)


def widen(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Any shape → the same in float32, in `out` if that is given."""
    return x.to(torch.float32) if out is None else out.copy_(x)
