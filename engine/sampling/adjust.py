"""What changes the logits before a token is chosen: penalties, bias, banned tokens, grammars.

All but the grammars is sparse, so it is applied to (row, token) pairs of the whole batch at once.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.grammar import GrammarState
from engine.sampling.rows import SamplingRow
from engine.transfer import numbers_to_device, to_device

BANNED = -1e30
"""The logit of a banned token: finite, so that a row whose grammar allows nothing else still has a choice."""

MASK_BITS = 32
"""Tokens a word of a grammar's mask."""


def adjust(logits: Tensor, rows: Sequence[SamplingRow], before: Tensor | None = None) -> Tensor:
    """Float32 [rows, vocab] → the same, adjusted: the argument itself if no row adjusts anything, else a copy. `before`
    is int64 [rows], the token before each row where that is `coming`, else −1; it is asked for if such a row has
    penalties.

    repetition_penalty r (arXiv 1909.05858): a seen token's logit is divided by r if positive, else multiplied;
    frequency_penalty f and presence_penalty p (OpenAI): minus f · count + p for a generated token.
    """
    if not any(row.adjusts for row in rows):
        return logits
    logits = logits.clone()
    penalise(logits, rows, before)
    add_bias(logits, rows)
    ban(logits, rows)
    follow_grammars(logits, rows)
    return logits


def penalise(logits: Tensor, rows: Sequence[SamplingRow], before: Tensor | None) -> None:
    penalised = {r: row.occurrences for r, row in enumerate(rows) if row.occurrences is not None}
    if not penalised:
        return
    seen = list(penalised.values())
    of = np.repeat(np.array(list(penalised)), [len(each.tokens) for each in seen])
    row_ids = to_device(torch.from_numpy(of), logits.device)
    tokens = to_device(torch.from_numpy(np.concatenate([each.tokens for each in seen])), logits.device)
    count = to_device(torch.from_numpy(np.concatenate([each.counts for each in seen])), logits.device)
    if coming := [r for r in penalised if rows[r].coming]:
        assert before is not None
        at = index(coming, logits)
        again = tokens == before[row_ids]
        count = count + again
        known = count.new_zeros(len(rows)).index_add_(0, row_ids, count * again)
        row_ids, tokens = torch.cat((row_ids, at)), torch.cat((tokens, before[at]))
        count = torch.cat((count, known[at].clamp(min=1)))
    repetition, frequency, presence = (
        values([getattr(row.sampling, name) for row in rows], logits)[row_ids]
        for name in ("repetition_penalty", "frequency_penalty", "presence_penalty")
    )
    said = logits[row_ids, tokens]
    said = torch.where(said > 0, said / repetition, said * repetition)
    logits[row_ids, tokens] = said - frequency * count - presence * (count > 0)


def add_bias(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    entries = [(r, token, bias) for r, row in enumerate(rows) for token, bias in row.sampling.logit_bias.items()]
    if entries:
        row_ids, tokens, biases = zip(*entries, strict=True)
        logits[index(row_ids, logits), index(tokens, logits)] += values(biases, logits)


def ban(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    entries = [(r, token) for r, row in enumerate(rows) for token in row.banned]
    if entries:
        row_ids, tokens = zip(*entries, strict=True)
        logits[index(row_ids, logits), index(tokens, logits)] = BANNED


def follow_grammars(logits: Tensor, rows: Sequence[SamplingRow]) -> None:
    """−inf for every token that a row's grammar does not allow next."""
    governed = {r: row.grammar for r, row in enumerate(rows) if row.grammar is not None}
    if governed:
        allowed = allowed_tokens(list(governed.values()), logits.shape[1], logits.device)
        at = index(list(governed), logits)
        logits[at] = logits[at].masked_fill(~allowed, -torch.inf)


def allowed_tokens(states: Sequence[GrammarState], vocab_size: int, device: torch.device) -> Tensor:
    """Bool [states, vocab_size]."""
    words = np.zeros((len(states), -(-vocab_size // MASK_BITS)), dtype=np.int32)
    for state, row in zip(states, words, strict=True):
        state.fill(row)
    packed = to_device(torch.from_numpy(words), device)
    bits = packed[:, :, None] >> torch.arange(MASK_BITS, dtype=torch.int32, device=device) & 1
    return bits.flatten(1)[:, :vocab_size].bool()


def index(numbers: Sequence[int], like: Tensor) -> Tensor:
    return numbers_to_device(numbers, torch.int64, like.device)


def values(numbers: Sequence[float], like: Tensor) -> Tensor:
    return numbers_to_device(numbers, like.dtype, like.device)
