"""`/v1/messages`: from token events to the answer, whole or as a stream of events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine.streams import EventStream
from server.anthropic_form import anthropic_body
from server.errors import error_body
from server.frames import frame
from server.schemas.anthropic_answer import AnthropicMessage, AnthropicUsage, StopReason, ThinkingTokens
from server.schemas.anthropic_events import (
    MessageDeltaEvent,
    MessageEnd,
    MessageEvent,
    MessageStartEvent,
    MessageStopEvent,
)
from server.schemas.anthropic_request import AnthropicRequest
from server.schemas.usage import Usage
from server.translate.answer import Identity
from server.translate.anthropic_blocks import Blocks
from server.translate.chat import ChatAnswer
from server.translate.made_by_chat import MadeByChat


class AnthropicAnswer(MadeByChat):
    """One answer, made by `chat`, which is the request as a chat."""

    def __init__(self, identity: Identity, body: AnthropicRequest, chat: ChatAnswer) -> None:
        super().__init__(chat)
        self._identity = identity
        thinking = body.thinking
        self._blocks = Blocks(
            thinking=bool(body.tools) if thinking is None else thinking.type != "disabled",
            omitted=thinking is not None and thinking.display == "omitted",
        )
        self._stop_reason: StopReason | None = None
        self._stop_sequence: str | None = None

    async def stream(self, events: EventStream) -> AsyncGenerator[bytes, None]:
        """The events of a streamed answer."""
        async with aclosing(self._events(events)) as told:
            async for event in told:
                yield frame(event.model_dump_json(exclude_unset=True), event.type)

    def ending(self, error: Exception | None) -> bytes:
        """The end of a stream: an event with the error, if there is one."""
        return b"" if error is None else frame(json.dumps(anthropic_body(error_body(error))), "error")

    async def collect(self, events: EventStream) -> AnthropicMessage:
        """The whole answer."""
        async with aclosing(self._events(events)) as told:
            async for _ in told:
                pass
        return self._message()

    def _message(self) -> AnthropicMessage:
        """The answer so far."""
        return AnthropicMessage(
            id=self._identity["id"],
            type="message",
            role="assistant",
            model=self._identity["model"],
            content=self._blocks.content,
            stop_reason=self._stop_reason,
            stop_sequence=self._stop_sequence,
            usage=anthropic_usage(self.usage),
        )

    async def _events(self, events: EventStream) -> AsyncGenerator[MessageEvent, None]:
        yield MessageStartEvent(type="message_start", message=self._message())
        async with aclosing(self._chat.pieces(events)) as read:
            async for _, pieces in read:
                for piece in pieces:
                    for event in self._blocks.add(piece):
                        yield event
        for event in self._blocks.close():
            yield event
        self._end()
        assert self._stop_reason is not None
        ended = MessageEnd(stop_reason=self._stop_reason, stop_sequence=self._stop_sequence)
        yield MessageDeltaEvent(type="message_delta", delta=ended, usage=anthropic_usage(self.usage))
        yield MessageStopEvent(type="message_stop")

    def _end(self) -> None:
        (choice,) = self.choices
        if choice.finish_reason == "length":
            filled = self.requests[0].sampling.max_tokens is None
            self._stop_reason = "model_context_window_exceeded" if filled else "max_tokens"
        elif isinstance(choice.stop_reason, str):
            self._stop_reason, self._stop_sequence = "stop_sequence", choice.stop_reason
        else:
            self._stop_reason = "tool_use" if choice.finish_reason == "tool_calls" else "end_turn"


def anthropic_usage(usage: Usage) -> AnthropicUsage:
    """The usage with the names of `/v1/messages`."""
    cached = usage.prompt_tokens_details.cached_tokens
    return AnthropicUsage(
        input_tokens=usage.prompt_tokens - cached,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=cached,
        output_tokens=usage.completion_tokens,
        output_tokens_details=ThinkingTokens(thinking_tokens=usage.completion_tokens_details.reasoning_tokens),
    )
