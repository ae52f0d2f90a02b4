"""From logits to tokens, vectorised over the batch, on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from engine.errors import GenerationError
from engine.kernels.choose import NO_TOKEN
from engine.request import TokenLogprob
from engine.sampling.adjust import Adjustments
from engine.sampling.draws import Draws
from engine.sampling.logprobs import Scored, token_logprobs
from engine.sampling.rows import Coming, SamplingRow
from engine.transfer import Arriving, numbers_to_device

NOT_FINITE = GenerationError("the model's numbers are not finite")


class Sampled(Struct, frozen=True):
    """A step's result for one row: the chosen token, its log-probability, and those of the prompt's tokens that were
    scored; each only if it was asked for."""

    token_id: int | None = None
    logprob: TokenLogprob | None = None
    target_logprobs: Sequence[TokenLogprob] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """One token per row: int64 [rows] on the device, `NO_TOKEN` where the logits were not finite, and in flight to the
    host. `scored_rows` are the rows that `scored` describes. `governed` says that a grammar must read a token before
    the next one is chosen."""

    tokens: Tensor
    arriving: Arriving
    scored_rows: Sequence[int]
    scored: Scored | None
    governed: bool

    def read(self) -> list[Sampled | GenerationError]:
        """Each row's token, or `NOT_FINITE` if its logits were not finite. Waits until all have arrived."""
        (tokens,) = self.arriving.read()
        sampled = [NOT_FINITE if token == NO_TOKEN else Sampled(token) for token in tokens]
        if self.scored is not None:
            for r, logprob in zip(self.scored_rows, self.scored.read(), strict=True):
                if tokens[r] != NO_TOKEN:
                    sampled[r] = Sampled(tokens[r], logprob)
        return sampled


class Sampler:
    """Chooses tokens for the same rows at every step: what depends on the rows alone is put on the device once.

    `choose` is the op table's. `draws` makes its parameters for a step; `penalised` are the rows for which `coming`
    tokens matter.
    """

    def __init__(
        self, rows: Sequence[SamplingRow], vocab_size: int, device: torch.device, choose: Callable[..., Tensor]
    ) -> None:
        self.penalised = [r for r, row in enumerate(rows) if row.occurrences is not None]
        self._governed = any(row.grammar is not None for row in rows)
        self._adjust = Adjustments(rows, device)
        self._choose, self._device = choose, device
        self.draws = Draws([row.sampling for row in rows], vocab_size)
        self._scored = [r for r, row in enumerate(rows) if row.sampling.logprobs is not None]
        self._tops = [row.sampling.logprobs for row in rows if row.sampling.logprobs is not None]
        if self._scored:
            self._scored_at = numbers_to_device(self._scored, np.int64, device)

    def __call__(
        self,
        logits: Tensor,
        written: Sequence[int],
        coming: Coming | None = None,
        chosen: Tensor | None = None,
    ) -> Chosen:
        """Float32 [rows, vocab] → one token a row. The host does not wait for the device. `written` and `coming` are as
        for `Adjustments`; `chosen`, if given, are the tokens chosen already, in case nothing adjusts the logits."""
        adjusted = self._adjust(logits, written, coming)
        if chosen is None or adjusted is not logits:
            draws = self.draws(written)
            draws = np.zeros((2, len(written))) if draws is None else draws
            chosen = self._choose(adjusted, numbers_to_device(draws, np.float64, self._device))
        entries = None
        if self._scored:
            at = self._scored_at
            entries = token_logprobs(logits[at], chosen[at].clamp(min=0), self._tops)
        return Chosen(chosen, Arriving(chosen), self._scored, entries, self._governed)
