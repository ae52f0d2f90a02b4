"""Log-probabilities of given tokens and of the best ones, under the model's own distribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.request import TokenLogprob
from engine.transfer import Arriving


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probabilities in flight to the host: tokens, their values, the best ones' ids and values."""

    found: Arriving
    tops: Sequence[int]

    def read(self) -> list[TokenLogprob]:
        """Waits until they have arrived."""
        return [
            TokenLogprob(token, value, tuple(zip(ids[:top], values[:top], strict=True)))
            for token, value, ids, values, top in zip(*self.found.read(), self.tops, strict=True)
        ]


def token_logprobs(logits: Tensor, token_ids: Tensor, tops: Sequence[int]) -> Scored:
    """Float32 [rows, vocab], int64 [rows] and one count of alternatives per row. A token's value and its entry among
    the best are read from one log-softmax, so they are the same float."""
    logprobs = logits.log_softmax(dim=-1)
    chosen = logprobs.gather(1, token_ids[:, None])[:, 0]
    best = likeliest(logprobs, min(max(tops), logits.shape[1]))
    return Scored(Arriving(token_ids, chosen, best, logprobs.gather(1, best)), tops)


def likeliest(logprobs: Tensor, count: int) -> Tensor:
    """Float32 [rows, vocab] → the ids of the `count` likeliest tokens, int64 [rows, count]; among equally likely tokens
    the lower ids, so that a row's list does not depend on how many its neighbours ask for.

    Log-probabilities are not above 0, so the smaller the bits without the sign, the greater the number.

    >>> likeliest(torch.tensor([[-2.0, -1.0, -1.0, -3.0, -1.0]]), 2).tolist()
    [[1, 2]]
    """
    distance = logprobs.view(torch.int32).long().bitwise_and_(0x7FFFFFFF)
    ids = torch.arange(logprobs.shape[1], device=logprobs.device)
    order = distance.bitwise_left_shift_(32).bitwise_or_(ids)  # In place: for a prompt it is a gigabyte.
    return order.topk(count, dim=-1, largest=False).values & 0xFFFFFFFF
