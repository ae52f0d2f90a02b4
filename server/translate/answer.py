"""What the answers of all endpoints have in common: choices that share a stream of events."""

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
"""In the place of minus infinity, which JSON cannot say."""

Chunk = TypeVar("Chunk", Completion, ChatChunk)


class Identity(TypedDict):
    """What every chunk of an answer repeats. `created` is in Unix seconds."""

    id: str
    created: int
    model: str
    system_fingerprint: str


async def read_pieces(
    events: EventStream, choices: dict[str, Assembler]
) -> AsyncGenerator[tuple[Assembler, list[Piece]], None]:
    """What each event brings for its choice. `choices` is keyed by request id.

    Raises GenerationError.
    """
    async for event in events:
        choice = choices[event.request_id]
        pieces = choice.feed(event)
        if choice.finish_reason is not None:
            events.abort(event.request_id)  # It was ended here, and the engine does not know.
        yield choice, pieces


async def stream_chunks(
    chunks: AsyncGenerator[Chunk, None], last: Callable[[], Chunk], options: StreamOptions | None
) -> AsyncGenerator[bytes, None]:
    """The chunks as events. `last` makes the chunk that reports usage, sent if `options` want it."""
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
    """`requests` has the choices of each prompt side by side."""
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
    """What a token is called where log-probabilities are reported: by its text, or `as_id`."""
    return f"token_id:{token_id}" if as_id else tokenizer.token_text(token_id)


def finite(logprob: float) -> float:
    return max(logprob, LOWEST_LOGPROB)
