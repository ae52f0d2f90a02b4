"""From logits to tokens, vectorised over the batch, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from msgspec import Struct
from torch import Tensor

from engine.request import TokenLogprob
from engine.sampling.adjust import adjust, index, values
from engine.sampling.filters import filter_logits
from engine.sampling.logprobs import Scored, token_logprobs
from engine.sampling.noise import uniform
from engine.sampling.rows import SamplingRow
from engine.transfer import Arriving

GREEDY_BELOW = 1e-5
"""A temperature under this is greedy: dividing by it would overflow float32."""

NO_TOKEN = -1


class Sampled(Struct, frozen=True):
    """The token chosen for a row, and its log-probability if that was asked for. No token: the logits were not
    finite, and nothing can be said of them."""

    token_id: int | None
    logprob: TokenLogprob | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """One token a row: int64 [rows] on the device, `NO_TOKEN` where the logits were not finite, and on its way to the
    host. `scored_rows` are the rows that `scored` is about."""

    tokens: Tensor
    arriving: Arriving
    scored_rows: Sequence[int]
    scored: Scored | None

    def read(self) -> list[Sampled]:
        """Waits until all is there."""
        (tokens,) = self.arriving.read()
        logprobs = dict(zip(self.scored_rows, self.scored.read(), strict=True)) if self.scored is not None else {}
        return [
            Sampled(None, None) if token == NO_TOKEN else Sampled(token, logprobs.get(r))
            for r, token in enumerate(tokens)
        ]


def sample(logits: Tensor, rows: Sequence[SamplingRow], before: Tensor | None = None) -> Chosen:
    """Float32 [rows, vocab] → one token a row. The host does not wait for the device. `before` is as for `adjust`."""
    adjusted = adjust(logits, rows, before)
    best = adjusted.max(dim=-1)
    tokens = best.indices
    drawn = [r for r, row in enumerate(rows) if row.sampling.temperature >= GREEDY_BELOW]
    if drawn:
        at = index(drawn, logits)
        tokens = tokens.index_copy(0, at, draw(adjusted[at], [rows[r] for r in drawn]))
    tokens = tokens.where(best.values.isfinite(), NO_TOKEN)

    scored = {r: row.sampling.logprobs for r, row in enumerate(rows) if row.sampling.logprobs is not None}
    entries = None
    if scored:
        at = index(list(scored), logits)
        entries = token_logprobs(logits[at], tokens[at].clamp(min=0), list(scored.values()))
    return Chosen(tokens, Arriving(tokens), list(scored), entries)


def draw(logits: Tensor, rows: Sequence[SamplingRow]) -> Tensor:
    """Float32 [rows, vocab] → int64 [rows]: temperature, filters, then the first token at which the cumulated
    probability, in vocabulary order, exceeds the row's own uniform number."""
    temperature = values([row.sampling.temperature for row in rows], logits)
    filtered = filter_logits(logits / temperature[:, None], [row.sampling for row in rows])
    cumulated = filtered.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    numbers = [uniform(row.sampling.seed or 0, row.written) for row in rows]
    target = values(numbers, cumulated) * cumulated[:, -1]
    return torch.searchsorted(cumulated, target[:, None], right=True)[:, 0]
