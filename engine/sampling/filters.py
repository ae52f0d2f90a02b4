"""Which tokens stay in the race: min_p, then top_k, then top_p.

Every filter becomes a mask in vocabulary order, so a row's outcome never depends on what its neighbours asked for.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine.request import SamplingParams
from engine.sampling.rows import draws
from engine.transfer import numbers_to_device

Mask = Callable[[Tensor], Tensor]


class Filters:
    """The filters that some rows ask for, if they draw: their numbers are on the device from the beginning."""

    def __init__(self, rows: Sequence[SamplingParams], vocab_size: int, device: torch.device) -> None:
        numbers = partial(numbers_to_device, device=device)
        self._masks: list[tuple[Tensor, Mask]] = []
        if at := [r for r, row in enumerate(rows) if draws(row) and row.min_p > 0]:
            floor = numbers([rows[r].min_p for r in at], np.float32).log()
            self._masks.append((numbers(at, np.int64), partial(min_p_mask, floor=floor)))
        if at := [r for r, row in enumerate(rows) if draws(row) and 0 < row.top_k < vocab_size]:
            top_k = [rows[r].top_k for r in at]
            last = numbers([k - 1 for k in top_k], np.int64)
            self._masks.append((numbers(at, np.int64), partial(top_k_mask, last=last, most=max(top_k))))
        if at := [r for r, row in enumerate(rows) if draws(row) and row.top_p < 1]:
            top_p = numbers([rows[r].top_p for r in at], np.float64)
            self._masks.append((numbers(at, np.int64), partial(top_p_mask, top_p=top_p)))

    def __bool__(self) -> bool:
        return bool(self._masks)

    def __call__(self, logits: Tensor) -> Tensor:
        """Float32 [rows, vocab], already divided by the temperature → the same with −inf for what is out."""
        for at, mask in self._masks:
            part = logits[at]
            logits = logits.index_copy(0, at, part.masked_fill(mask(part), -torch.inf))
        return logits


def min_p_mask(logits: Tensor, floor: Tensor) -> Tensor:
    """Out is what is less likely than min_p times the most likely token; `floor` is the logarithm of min_p."""
    return logits < logits.amax(dim=-1, keepdim=True) + floor[:, None]


def top_k_mask(logits: Tensor, last: Tensor, most: int) -> Tensor:
    """Out is what is less likely than the k-th; tokens equal to the k-th stay. `last` is k − 1, `most` the largest."""
    best = logits.topk(most, dim=-1).values
    return logits < best.gather(1, last[:, None])


def top_p_mask(logits: Tensor, top_p: Tensor) -> Tensor:
    """The smallest set of best tokens whose mass reaches top_p stays, with those equal to its last."""
    ordered = logits.sort(dim=-1, descending=True).values
    before = ordered.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1).roll(1, dims=-1)
    before[:, 0] = 0
    kept = (before < top_p[:, None]).sum(dim=-1)
    return logits < ordered.gather(1, kept[:, None] - 1)
