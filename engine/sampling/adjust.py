"""What changes the logits before a token is chosen: bias, penalties, banned tokens.

All of it is sparse, so it is applied to (row, token) pairs of the whole batch at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.sampling.rows import SamplingRow


def adjust(logits: Tensor, rows: Sequence[SamplingRow]) -> Tensor:
    """Float32 [rows, vocab] → the same, adjusted; the argument is left as it was.

    repetition_penalty r (arXiv 1909.05858): a seen token's logit is divided by r if positive, else multiplied;
    frequency_penalty f and presence_penalty p (OpenAI): minus f · count + p for a generated token.
    """
    logits = logits.clone()
    penalise(logits, rows)
    add_bias(logits, rows)
    ban(logits, rows)
    return logits


def penalise(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    entries = [
        (
            r,
            token,
            count,
            row.sampling.repetition_penalty,
            row.sampling.frequency_penalty,
            row.sampling.presence_penalty,
        )
        for r, row in enumerate(rows)
        if row.penalised
        for token, count in row.counts().items()
    ]
    if not entries:
        return
    row_ids, tokens, counts, repetition, frequency, presence = zip(*entries, strict=True)
    at = (index(row_ids, logits), index(tokens, logits))
    count = values(counts, logits)
    factor = values(repetition, logits)
    seen = logits[at]
    seen = torch.where(seen > 0, seen / factor, seen * factor)
    logits[at] = seen - values(frequency, logits) * count - values(presence, logits) * (count > 0)


def add_bias(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    entries = [(r, token, bias) for r, row in enumerate(rows) for token, bias in row.sampling.logit_bias.items()]
    if entries:
        row_ids, tokens, biases = zip(*entries, strict=True)
        logits[index(row_ids, logits), index(tokens, logits)] += values(biases, logits)


def ban(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    entries = [(r, token) for r, row in enumerate(rows) for token in row.banned]
    if entries:
        row_ids, tokens = zip(*entries, strict=True)
        logits[index(row_ids, logits), index(tokens, logits)] = -torch.inf


def index(numbers: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64, device=like.device)


def values(numbers: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)
