"""From logits to tokens, vectorised over the batch, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.request import TokenLogprob
from engine.sampling.adjust import adjust, index, values
from engine.sampling.filters import filter_logits
from engine.sampling.logprobs import token_logprobs
from engine.sampling.noise import uniform
from engine.sampling.rows import SamplingRow

GREEDY_BELOW = 1e-5
"""A temperature under this is greedy: dividing by it would overflow float32."""

NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Sampled:
    """The token chosen for a row, and its log-probability if that was asked for. No token: the logits were not
    finite, and nothing can be said of them."""

    token_id: int | None
    logprob: TokenLogprob | None


def sample(logits: Tensor, rows: Sequence[SamplingRow]) -> list[Sampled]:
    """Float32 [rows, vocab] → one token a row. The host waits for the device once, when all is launched."""
    adjusted = adjust(logits, rows)
    best = adjusted.max(dim=-1)
    tokens = best.indices
    drawn = [r for r, row in enumerate(rows) if row.sampling.temperature >= GREEDY_BELOW]
    if drawn:
        at = index(drawn, logits)
        tokens = tokens.index_copy(0, at, draw(adjusted[at], [rows[r] for r in drawn]))
    tokens = tokens.where(best.values.isfinite(), NO_TOKEN)

    scored = {r: row.sampling.logprobs for r, row in enumerate(rows) if row.sampling.logprobs is not None}
    logprobs: dict[int, TokenLogprob] = {}
    if scored:
        at = index(list(scored), logits)
        entries = token_logprobs(logits[at], tokens[at].clamp(min=0), list(scored.values()))
        logprobs = dict(zip(scored, entries, strict=True))
    return [
        Sampled(None, None) if token == NO_TOKEN else Sampled(token, logprobs.get(r))
        for r, token in enumerate(tokens.tolist())
    ]


def draw(logits: Tensor, rows: Sequence[SamplingRow]) -> Tensor:
    """Float32 [rows, vocab] → int64 [rows]: temperature, filters, then the first token at which the cumulated
    probability, in vocabulary order, exceeds the row's own uniform number."""
    temperature = values([row.sampling.temperature for row in rows], logits)
    filtered = filter_logits(logits / temperature[:, None], [row.sampling for row in rows])
    cumulated = filtered.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    numbers = [uniform(row.sampling.seed or 0, len(row.generated)) for row in rows]
    target = values(numbers, cumulated) * cumulated[:, -1]
    return torch.searchsorted(cumulated, target[:, None], right=True)[:, 0]
