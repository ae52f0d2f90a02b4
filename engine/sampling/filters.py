"""Which tokens stay in the race: min_p, then top_k, then top_p.

Every filter becomes a mask in vocabulary order, so a row's outcome never depends on what its neighbours asked for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.request import SamplingParams
from engine.transfer import numbers_to_device


def filter_logits(logits: Tensor, rows: Sequence[SamplingParams]) -> Tensor:
    """Float32 [rows, vocab], already divided by the temperature → the same with −inf for what is out."""
    for active, mask in (
        ([row.min_p > 0 for row in rows], min_p_mask),
        ([0 < row.top_k < logits.shape[1] for row in rows], top_k_mask),
        ([row.top_p < 1 for row in rows], top_p_mask),
    ):
        chosen = [r for r, on in enumerate(active) if on]
        if chosen:
            at = numbers_to_device(chosen, torch.int64, logits.device)
            part = logits[at]
            logits = logits.index_copy(0, at, part.masked_fill(mask(part, [rows[r] for r in chosen]), -torch.inf))
    return logits


def min_p_mask(logits: Tensor, rows: Sequence[SamplingParams]) -> Tensor:
    """Out is what is less likely than min_p times the most likely token."""
    floor = numbers_to_device([row.min_p for row in rows], torch.float32, logits.device).log()
    return logits < logits.amax(dim=-1, keepdim=True) + floor[:, None]


def top_k_mask(logits: Tensor, rows: Sequence[SamplingParams]) -> Tensor:
    """Out is what is less likely than the k-th; tokens equal to the k-th stay."""
    best = logits.topk(max(row.top_k for row in rows), dim=-1).values
    kth = numbers_to_device([row.top_k - 1 for row in rows], torch.int64, logits.device)
    return logits < best.gather(1, kth[:, None])


def top_p_mask(logits: Tensor, rows: Sequence[SamplingParams]) -> Tensor:
    """The smallest set of best tokens whose mass reaches top_p stays, with those equal to its last."""
    ordered = logits.sort(dim=-1, descending=True).values
    before = ordered.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1).roll(1, dims=-1)
    before[:, 0] = 0
    top_p = numbers_to_device([row.top_p for row in rows], torch.float64, logits.device)
    kept = (before < top_p[:, None]).sum(dim=-1)
    return logits < ordered.gather(1, kept[:, None] - 1)
