"""From logits to tokens, vectorised over the batch, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from engine.errors import GenerationError
from engine.kernels.vocabulary import NO_TOKEN
from engine.kernels.vocabulary import likeliest as likeliest_of
from engine.request import SamplingParams, TokenLogprob
from engine.sampling.adjust import Adjustments
from engine.sampling.filters import Filters
from engine.sampling.logprobs import Scored, token_logprobs
from engine.sampling.noise import seeds_of, uniform
from engine.sampling.rows import Coming, SamplingRow
from engine.transfer import Arriving, numbers_to_device, to_device

GREEDY_BELOW = 1e-5
"""A temperature under this is greedy: dividing by it would overflow float32."""

NOT_FINITE = GenerationError("the model's numbers are not finite")


class Sampled(Struct, frozen=True):
    """The token chosen for a row, if one was to be, and its log-probability if that was asked for."""

    token_id: int | None = None
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """One token a row: int64 [rows] on the device, `NO_TOKEN` where the logits were not finite, and on its way to the
    host. `scored_rows` are the rows that `scored` is about. `governed` says that a grammar has to know a token before
    the next one is chosen."""

    tokens: Tensor
    arriving: Arriving
    scored_rows: Sequence[int]
    scored: Scored | None
    governed: bool

    def read(self) -> list[Sampled | GenerationError]:
        """`NOT_FINITE` where nothing can be said of the logits. Waits until all is there."""
        (tokens,) = self.arriving.read()
        sampled = [NOT_FINITE if token == NO_TOKEN else Sampled(token) for token in tokens]
        if self.scored is not None:
            for r, logprob in zip(self.scored_rows, self.scored.read(), strict=True):
                if tokens[r] != NO_TOKEN:
                    sampled[r] = Sampled(tokens[r], logprob)
        return sampled


class Sampler:
    """Chooses tokens for the same rows at every step: what depends on nothing else is put on the device once.

    `penalised` are the rows that `coming` may be about.
    """

    def __init__(self, rows: Sequence[SamplingRow], vocab_size: int, device: torch.device) -> None:
        self.penalised = [r for r, row in enumerate(rows) if row.occurrences is not None]
        self._governed = any(row.grammar is not None for row in rows)
        self._adjust = Adjustments(rows, device)
        self._drawn = [r for r, row in enumerate(rows) if row.sampling.temperature >= GREEDY_BELOW]
        self._scored = [r for r, row in enumerate(rows) if row.sampling.logprobs is not None]
        self._tops = [row.sampling.logprobs for row in rows if row.sampling.logprobs is not None]
        if self._drawn:
            self._draw = Draw([rows[r].sampling for r in self._drawn], vocab_size, device)
            self._drawn_at = numbers_to_device(self._drawn, np.int64, device)
        if self._scored:
            self._scored_at = numbers_to_device(self._scored, np.int64, device)

    def __call__(
        self,
        logits: Tensor,
        written: Sequence[int],
        coming: Coming | None = None,
        likeliest: Tensor | None = None,
    ) -> Chosen:
        """Float32 [rows, vocab] → one token a row. The host does not wait for the device. `written` and `coming` are as
        for `Adjustments`; `likeliest` are those of the logits, if they are known."""
        adjusted = self._adjust(logits, written, coming)
        tokens = likeliest_of(adjusted) if likeliest is None or adjusted is not logits else likeliest
        if len(self._drawn) == len(written):
            tokens = self._draw(adjusted, written).masked_fill(tokens == NO_TOKEN, NO_TOKEN)
        elif self._drawn:
            at = self._drawn_at
            drawn = self._draw(adjusted[at], [written[r] for r in self._drawn])
            tokens = tokens.index_copy(0, at, drawn.masked_fill(tokens[at] == NO_TOKEN, NO_TOKEN))
        entries = None
        if self._scored:
            at = self._scored_at
            entries = token_logprobs(logits[at], tokens[at].clamp(min=0), self._tops)
        return Chosen(tokens, Arriving(tokens), self._scored, entries, self._governed)


class Draw:
    """Temperature, filters, then the first token at which the cumulated probability, in vocabulary order, exceeds the
    row's own uniform number."""

    def __init__(self, rows: Sequence[SamplingParams], vocab_size: int, device: torch.device) -> None:
        self._temperature = numbers_to_device([[row.temperature] for row in rows], np.float32, device)
        self._filter = Filters(rows, vocab_size, device)
        self._seeds = seeds_of([row.seed or 0 for row in rows])

    def __call__(self, logits: Tensor, written: Sequence[int]) -> Tensor:
        """Float32 [rows, vocab] → int64 [rows]."""
        cumulated = self._filter(logits / self._temperature).softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
        numbers = to_device(torch.from_numpy(uniform(self._seeds, written)), logits.device)
        return torch.searchsorted(cumulated, (numbers * cumulated[:, -1])[:, None], right=True)[:, 0]
