"""The engine's state of one request, beside its sequence, and what each new token means for it."""

from collections.abc import Iterable
from time import monotonic

from engine.grammar import GrammarState
from engine.plan import Chunk
from engine.request import FinishReason, TokenEvent, TokenLogprob
from engine.sampling.occurrences import Occurrences
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Sampled
from engine.scheduler.sequence import Sequence


class Answer:
    """One request's answer. It waits until its first step is launched. Once it has `ended`, events still in flight are
    dropped."""

    def __init__(self, sequence: Sequence, eos: Iterable[int], grammar: GrammarState | None) -> None:
        request = sequence.request
        sampling = request.sampling
        stops = frozenset((*(() if sampling.ignore_eos else eos), *sampling.stop_token_ids))
        occurrences = Occurrences(request.prompt_token_ids) if sampling.penalised else None
        self.sequence = sequence
        self.request_id = request.id
        self.row = SamplingRow(sampling, stops, occurrences, grammar)
        self.ended = False
        self.waits_since: float | None = monotonic()
        self._waited: float | None = None
        self._scores: list[TokenLogprob | None] | None = None if sampling.prompt_logprobs is None else [None]

    def begin(self) -> None:
        """Called when its first step is launched: the wait is over."""
        assert self.waits_since is not None
        self._waited = monotonic() - self.waits_since
        self.waits_since = None

    def score(self, logprobs: Iterable[TokenLogprob]) -> None:
        """Adds the log-probabilities of the prompt's next tokens."""
        assert self._scores is not None
        self._scores += logprobs

    def is_read(self, chunk: Chunk) -> bool:
        """Whether a chunk ends the prompt of a request that generates nothing."""
        return self.row.sampling.max_tokens == 0 and chunk.stop == self.sequence.prompt_length

    def take(self, sampled: Sampled) -> TokenEvent:
        """Records the sampled token, if there is one → the event, with a `finish_reason` if it is the last."""
        row, token = self.row, sampled.token_id
        finish, error, lost, stopped, written = None, None, False, False, 0
        if token is not None:
            written = self.sequence.arrive(token)
            stopped = token in row.stop_ids and written > row.sampling.min_tokens
            if row.occurrences is not None:
                row.occurrences.add(token)
            if row.grammar is not None:
                lost = row.grammar.lost  # Its mask failed, and then allows only an end.
                row.grammar.advance(token)
                error = row.grammar.error
        if stopped and not lost:
            finish, error = FinishReason.STOP, None
        elif error is not None:
            finish, error = FinishReason.ERROR, f"the grammar cannot continue: {error}"
        elif row.grammar is not None and row.grammar.complete:
            finish = FinishReason.STOP
        elif written == row.sampling.max_tokens:
            finish = FinishReason.LENGTH
        scores, waited = self._scores, self._waited
        self._scores = self._waited = None
        return TokenEvent(
            request_id=self.request_id,
            token_ids=() if token is None else (token,),
            logprobs=() if sampled.logprob is None else (sampled.logprob,),
            prompt_logprobs=None if scores is None else tuple(scores),
            finish_reason=finish,
            stop_token_id=token if stopped else None,
            error=error,
            queue_seconds=waited,
            cached_tokens=0 if waited is None else self.sequence.cached or 0,
        )
