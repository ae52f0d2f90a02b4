"""`/v1/completions`: from its request to the engine's requests, and from token events to its answer."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from engine.errors import RequestError
from engine.prompt.stop_strings import StopStrings
from engine.prompt.tokenizer import Tokenizer
from engine.request import TokenLogprob
from engine.streams import EventStream
from server.frames import done_or_error
from server.schemas.completions import (
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
)
from server.schemas.usage import Usage
from server.translate.answer import Identity, count_usage, finite, read_pieces, stream_chunks, token_name
from server.translate.assembler import Assembler, Scored
from server.translate.joined import JoinedText
from server.translate.readers import PlainReader
from server.translate.requests import engine_requests

MAX_RETURNED_IDS = 2**20
"""The most prompt tokens that an answer returns; every choice returns those of its prompt."""


class CompletionAnswer:
    """One answer: `requests` go to the engine, whose events then become a `stream` or are `collect`ed.

    `prompts` are the body's prompts as token ids; each answer follows `grammar`. Raises RequestError for a value out of
    range.
    """

    def __init__(
        self,
        identity: Identity,
        body: CompletionRequest,
        prompts: Sequence[Sequence[int]],
        tokenizer: Tokenizer,
        grammar: str | None = None,
    ) -> None:
        self._identity = identity
        self._body = body
        self._tokenizer = tokenizer
        self._candidates = body.best_of or body.n
        """Choices per prompt, of which n are returned."""
        logprobs = 0 if self._candidates > body.n and body.logprobs is None else body.logprobs
        self.requests = engine_requests(
            identity["id"],
            prompts,
            body,
            max_tokens=body.longest_answer,
            logprobs=logprobs,
            prompt_logprobs=body.logprobs if body.echo else None,
            grammar=grammar,
            choices=self._candidates,
        )
        stops = StopStrings(self.requests[0].sampling.stop, included=body.include_stop_str_in_output)
        self._choices = {
            request.id: Assembler(
                index,
                request,
                PlainReader(tokenizer, skip_special=body.skip_special_tokens),
                stops.afresh(),
                echo=body.echo,
                show_stop=body.include_stop_str_in_output,
                keep_tokens=body.return_token_ids,
            )
            for index, request in enumerate(self.requests)
        }
        self._prompts: dict[int, list[int]] = {}
        """The prompts still to be returned, by the index of their choice."""
        if body.return_token_ids:
            if sum(len(request.prompt_token_ids) for request in self.requests) > MAX_RETURNED_IDS:
                message = f"return_token_ids: the prompts of all choices have more than {MAX_RETURNED_IDS:,} tokens"
                raise RequestError(message, param="return_token_ids")
            self._prompts = {index: list(request.prompt_token_ids) for index, request in enumerate(self.requests)}

    ending = staticmethod(done_or_error)

    def stream(self, events: EventStream) -> AsyncGenerator[bytes, None]:
        """The chunks of a streamed answer."""
        return stream_chunks(self._chunks(events), self._usage_chunk, self._body.stream_options)

    async def collect(self, events: EventStream) -> Completion:
        """The whole answer, joined from its stream."""
        joined = [JoinedText() for _ in self.requests]
        async with aclosing(self._chunks(events)) as chunks:
            async for chunk in chunks:
                for part in chunk.choices:
                    joined[part.index].add(part)
        logprobs, token_ids = self._body.logprobs is not None, self._body.return_token_ids
        choices = [
            joined[best].choice(index, logprobs=logprobs, token_ids=token_ids)
            for index, best in enumerate(self._best())
        ]
        return self._completion(choices, usage=self.usage)

    def _best(self) -> list[int]:
        """The candidates to return: the n likeliest of each prompt, likeliest first; all, if there are only n."""
        indices = range(len(self.requests))
        if self._candidates == self._body.n:
            return list(indices)
        scores = [choice.mean_logprob for choice in self.choices]
        best = []
        for first in indices[:: self._candidates]:
            ranked = sorted(indices[first : first + self._candidates], key=lambda index: -scores[index])
            best += ranked[: self._body.n]
        return best

    async def _chunks(self, events: EventStream) -> AsyncGenerator[Completion, None]:
        async with aclosing(read_pieces(events, self._choices)) as read:
            async for choice, pieces in read:
                for piece in pieces:
                    yield self._completion([self._part(choice, piece.text, self._logprobs(piece.scored))])
                if choice.finish_reason is not None:
                    yield self._completion([self._part(choice, "", end=True)])

    def _part(
        self, choice: Assembler, text: str, logprobs: CompletionLogprobs | None = None, *, end: bool = False
    ) -> CompletionChoice:
        part = CompletionChoice(index=choice.index, text=text, logprobs=logprobs, finish_reason=None)
        if end:
            part.finish_reason, part.stop_reason = choice.finish_reason, choice.stop_reason
        if choice.index in self._prompts:
            part.prompt_token_ids = self._prompts.pop(choice.index)
        if self._body.return_token_ids:
            part.token_ids = choice.take_tokens()
        return part

    def _completion(self, choices: list[CompletionChoice], **usage: Usage) -> Completion:
        return Completion(**self._identity, object="text_completion", choices=choices, **usage)

    def _usage_chunk(self) -> Completion:
        return self._completion([], usage=self.usage)

    @property
    def model(self) -> str:
        """The model's name in the answer."""
        return self._identity["model"]

    @property
    def choices(self) -> Collection[Assembler]:
        return self._choices.values()

    @property
    def usage(self) -> Usage:
        """The usage so far."""
        return count_usage(self.requests, self._candidates, self._choices.values())

    def _logprobs(self, scored: Sequence[Scored]) -> CompletionLogprobs | None:
        if self._body.logprobs is None:
            return None
        return CompletionLogprobs(
            tokens=[self._name(token.token_id) for token in scored],
            token_logprobs=[None if token.logprob is None else finite(token.logprob.logprob) for token in scored],
            top_logprobs=[None if token.logprob is None else self._top(token.logprob) for token in scored],
            text_offset=[token.offset for token in scored],
        )

    def _top(self, position: TokenLogprob) -> dict[str, float]:
        """The log-probabilities of the likeliest tokens, and of the chosen one if it is not among them, by their text.

        If tokens have the same text (parts of characters), the chosen one is kept, or else the likeliest.
        """
        candidates = [*reversed(position.top), (position.token_id, position.logprob)]
        return {self._name(token_id): finite(logprob) for token_id, logprob in candidates}

    def _name(self, token_id: int) -> str:
        return token_name(token_id, self._tokenizer, as_id=self._body.return_tokens_as_token_ids)
