"""Penalties for tokens that have occurred, over (row, token) pairs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.sampling.rows import Coming, SamplingRow
from engine.transfer import numbers_to_device, to_device


class Penalties:
    """repetition_penalty r (arXiv 1909.05858): a seen token's logit is divided by r if positive, else multiplied;
    frequency_penalty f and presence_penalty p (OpenAI): a generated token's logit is lowered by f · count + p.

    At least one row has `occurrences`.
    """

    def __init__(self, rows: Sequence[SamplingRow], device: torch.device) -> None:
        self._seen = {r: row.occurrences for r, row in enumerate(rows) if row.occurrences is not None}
        self._repetition, self._frequency, self._presence = (
            numbers_to_device([getattr(row.sampling, name) for row in rows], np.float32, device)
            for name in ("repetition_penalty", "frequency_penalty", "presence_penalty")
        )

    def __call__(self, logits: Tensor, coming: Coming | None) -> None:
        """Changes `logits`, float32 [rows, vocab], in place."""
        seen = list(self._seen.values())
        of = np.repeat(list(self._seen), [len(each.tokens) for each in seen])
        rows, tokens, count = (
            to_device(torch.from_numpy(numbers), logits.device)
            for numbers in (
                of,
                np.concatenate([each.tokens for each in seen]),
                np.concatenate([each.counts for each in seen]),
            )
        )
        if coming is not None:
            at = numbers_to_device(coming.rows, np.int64, logits.device)
            last = tokens.new_full(logits.shape[:1], -1).index_copy_(0, at, coming.tokens)
            again = tokens == last[rows]
            count = count + again
            known = count.new_zeros(logits.shape[:1]).index_add_(0, rows, count * again)
            rows, tokens = torch.cat((rows, at)), torch.cat((tokens, coming.tokens))
            count = torch.cat((count, known[at].clamp(min=1)))
        repetition, frequency, presence = self._repetition[rows], self._frequency[rows], self._presence[rows]
        said = logits[rows, tokens]
        said = torch.where(said > 0, said / repetition, said * repetition)
        logits[rows, tokens] = said - frequency * count - presence * (count > 0)
