"""What the answers of all endpoints share: choices of one stream of events, chunks, usage."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TypedDict, TypeVar

from engine.prompt.tokenizer import Tokenizer
from engine.request import Request
from engine.streams import EventStream
from server.frames import frame
from server.schemas.chat_answer import ChatChunk
from server.schemas.completions import Completion
from server.schemas.sampling import StreamOptions
from server.schemas.usage import CompletionTokensDetails, PromptTokensDetails, Usage
from server.translate.assembler import Assembler, Piece

LOWEST_LOGPROB = -9999.0
"""Replaces minus infinity, which JSON cannot express."""

Chunk = TypeVar("Chunk", Completion, ChatChunk)


class Identity(TypedDict):
    """The fields that every chunk of an answer repeats. `created` is in Unix seconds."""

    id: str
    created: int
    model: str
    system_fingerprint: str


async def read_pieces(
    events: EventStream, choices: dict[str, Assembler]
) -> AsyncGenerator[tuple[Assembler, list[Piece]], None]:
    """For each event, its choice and the new pieces of that choice. `choices` is keyed by request id.

    Raises GenerationError.
    """
    async for event in events:
        choice = choices[event.request_id]
        pieces = choice.feed(event)
        if choice.finish_reason is not None:
            events.abort(event.request_id)  # The answer ended here; the engine does not know.
        yield choice, pieces


async def stream_chunks(
    chunks: AsyncGenerator[Chunk, None], last: Callable[[], Chunk], options: StreamOptions | None
) -> AsyncGenerator[bytes, None]:
    """The chunks as events. `last` makes the chunk that reports usage, which is sent if `options` ask for it."""
    include_usage = options is not None and options.include_usage
    continuous = include_usage and options is not None and options.continuous_usage_stats
    async with aclosing(chunks):
        async for chunk in chunks:
            if include_usage:
                chunk.usage = last().usage if continuous else None
            yield frame(chunk.model_dump_json(exclude_unset=True))
    if include_usage:
        yield frame(last().model_dump_json(exclude_unset=True))


def count_usage(requests: Sequence[Request], per_prompt: int, choices: Iterable[Assembler]) -> Usage:
    """The usage of all requests. `requests` has the choices of each prompt next to each other."""
    choices = list(choices)
    prompt_tokens = sum(len(request.prompt_token_ids) for request in requests[::per_prompt])
    completion_tokens = sum(choice.completion_tokens for choice in choices)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=sum(choice.cached_tokens for choice in choices[::per_prompt])
        ),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=sum(choice.reasoning_tokens for choice in choices)
        ),
    )


def token_name(token_id: int, tokenizer: Tokenizer, *, as_id: bool) -> str:
    """The name of a token in reports of log-probabilities: its text, or `token_id:ID`."""
    return f"token_id:{token_id}" if as_id else tokenizer.token_text(token_id)


def finite(logprob: float) -> float:
    return max(logprob, LOWEST_LOGPROB)
