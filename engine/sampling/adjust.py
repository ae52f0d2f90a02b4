"""Adjusts the logits before a token is chosen: penalties, bias, banned tokens, grammars.

All but the grammars are sparse, so they are applied to (row, token) pairs of the whole batch at once.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.grammar import GrammarState
from engine.sampling.penalties import Penalties
from engine.sampling.rows import Coming, SamplingRow
from engine.transfer import numbers_to_device, to_device

BANNED = -1e30
"""The logit of a banned token: finite, so that a row whose grammar allows nothing else still has a choice."""

MASK_BITS = 32
"""Tokens per word of a grammar's mask."""


class Adjustments:
    """The adjustments that some rows ask for. What stays the same from step to step is put on the device once."""

    def __init__(self, rows: Sequence[SamplingRow], device: torch.device) -> None:
        self._penalties = Penalties(rows, device) if any(row.occurrences is not None for row in rows) else None
        biases = [(r, token, bias) for r, row in enumerate(rows) for token, bias in row.sampling.logit_bias.items()]
        self._biased = bool(biases)
        if biases:
            at, tokens, values = zip(*biases, strict=True)
            self._at, self._tokens = numbers_to_device((at, tokens), np.int64, device)
            self._biases = numbers_to_device(values, np.float32, device)
        self._begun = {r: row for r, row in enumerate(rows) if row.sampling.min_tokens and row.stop_ids}
        self._governed = {r: row.grammar for r, row in enumerate(rows) if row.grammar is not None}

    def __call__(self, logits: Tensor, written: Sequence[int], coming: Coming | None = None) -> Tensor:
        """Float32 [rows, vocab] → the same, adjusted: the argument itself if no row adjusts anything, else a copy.
        `written` is how many tokens each row's answer has; `coming` are tokens that `occurrences` do not count yet."""
        held_back = {r: row.stop_ids for r, row in self._begun.items() if written[r] < row.sampling.min_tokens}
        if not (self._penalties or self._biased or held_back or self._governed):
            return logits
        logits = logits.clone()
        if self._penalties is not None:
            self._penalties(logits, coming)
        if self._biased:
            logits[self._at, self._tokens] += self._biases
        if held_back:
            ban(logits, held_back)
        if self._governed:
            follow_grammars(logits, self._governed)
        return logits


def ban(logits: Tensor, tokens: Mapping[int, Iterable[int]]) -> None:
    pairs = [(r, token) for r, banned in tokens.items() for token in banned]
    at, banned = numbers_to_device(pairs, np.int64, logits.device).unbind(1)
    logits[at, banned] = BANNED


def follow_grammars(logits: Tensor, governed: Mapping[int, GrammarState]) -> None:
    """−inf for every token that a row's grammar does not allow next."""
    allowed = allowed_tokens(list(governed.values()), logits.shape[1], logits.device)
    at = numbers_to_device(list(governed), np.int64, logits.device)
    logits[at] = logits[at].masked_fill(~allowed, -torch.inf)


def allowed_tokens(states: Sequence[GrammarState], vocab_size: int, device: torch.device) -> Tensor:
    """Bool [states, vocab_size]."""
    words = np.zeros((len(states), -(-vocab_size // MASK_BITS)), dtype=np.int32)
    for state, row in zip(states, words, strict=True):
        state.fill(row)
    packed = to_device(torch.from_numpy(words), device)
    bits = packed[:, :, None] >> torch.arange(MASK_BITS, dtype=torch.int32, device=device) & 1
    return bits.flatten(1)[:, :vocab_size].bool()
