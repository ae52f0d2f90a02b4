"""Log-probabilities of given tokens and of the best ones, under the model's own distribution."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.request import TokenLogprob


def token_logprobs(logits: Tensor, token_ids: Sequence[int], tops: Sequence[int]) -> list[TokenLogprob]:
    """Float32 [rows, vocab], one token and one count of alternatives a row. Both are read from one log-softmax, so a
    token's value and its entry among the best are the same float."""
    logprobs = logits.log_softmax(dim=-1)
    chosen = logprobs.gather(1, torch.tensor(token_ids, device=logits.device)[:, None])[:, 0].tolist()
    best = logprobs.topk(min(max(tops), logits.shape[1]), dim=-1)
    best_ids, best_values = best.indices.tolist(), best.values.tolist()
    return [
        TokenLogprob(token, value, tuple(zip(ids[:top], values[:top], strict=True)))
        for token, value, top, ids, values in zip(token_ids, chosen, tops, best_ids, best_values, strict=True)
    ]
