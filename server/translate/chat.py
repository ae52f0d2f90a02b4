"""`/v1/chat/completions`: from its request to the engine's requests, and from token events to its answer."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from engine.errors import RequestError
from engine.prompt.chat import Conversation, instructions_length
from engine.prompt.stop_strings import StopStrings
from engine.prompt.tokenizer import Tokenizer
from engine.streams import EventStream
from server.frames import done_or_error
from server.schemas.chat import ChatRequest
from server.schemas.chat_answer import (
    CalledFunctionDelta,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatLogprobs,
    TokenLogprob,
    ToolCallDelta,
    TopLogprob,
)
from server.schemas.messages import Message
from server.schemas.structured import ResponseFormat
from server.schemas.tools import FunctionDefinition
from server.schemas.usage import Usage
from server.translate.answer import Identity, count_usage, finite, read_pieces, stream_chunks, token_name
from server.translate.assembler import Assembler, Piece, Scored
from server.translate.constraints import response_format_text
from server.translate.joined import JoinedChat
from server.translate.readers import Call, ChatReader
from server.translate.requests import engine_requests

PARTING = "\n\n"
"""Separates the messages of a turn when they are joined to one text."""


def conversation(
    messages: Sequence[Message],
    *,
    functions: Sequence[FunctionDefinition] = (),
    response_format: ResponseFormat | None = None,
    reasoning_effort: str = "medium",
    current_date: str | None = None,
) -> Conversation:
    """The messages, and everything else that the model is told, as input of the renderer."""
    plain = [_as_said(message) for message in messages]
    if (instructions := response_format_text(response_format)) is not None:
        roles = (message.role for message in messages)
        beginning = next((at for at, role in enumerate(roles) if role not in ("system", "developer")), len(plain))
        plain.insert(beginning, {"role": "developer", "content": instructions})
    tools = tuple({"type": "function", "function": each.model_dump(exclude_unset=True)} for each in functions)
    return Conversation(tuple(plain), tools, reasoning_effort=reasoning_effort, current_date=current_date)


def _as_said(message: Message) -> dict[str, Any]:
    """The message; its refusal becomes the content, if it has no other."""
    fields = message.model_dump(exclude_none=True)
    if (refusal := fields.pop("refusal", None)) is not None:
        fields.setdefault("content", refusal)
    return fields


def assistant_message(said: Sequence[str], thought: Sequence[str], calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An assistant's reasoning, texts and calls as one message of a chat."""
    return {
        "role": "assistant",
        "content": PARTING.join(said) if said else None,
        "reasoning": PARTING.join(filter(None, thought)),
        "tool_calls": list(calls),
    }


class ChatAnswer:
    """One answer: `requests` go to the engine, whose events then become a `stream` or are `collect`ed.

    `prompt` is the rendered conversation; each answer follows `grammar`. Raises RequestError for a value out of range.
    """

    def __init__(
        self,
        identity: Identity,
        body: ChatRequest,
        prompt: Sequence[int],
        tokenizer: Tokenizer,
        grammar: str | None = None,
    ) -> None:
        max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        if max_tokens == 0:
            raise RequestError("max_tokens must be at least 1", param="max_tokens")
        if body.return_token_ids and not body.shows_reasoning:
            message = "return_token_ids: not allowed without the reasoning, whose tokens are among them"
            raise RequestError(message, param="return_token_ids")
        self._identity = identity
        self._body = body
        self._tokenizer = tokenizer
        self.requests = engine_requests(
            identity["id"],
            [prompt],
            body,
            max_tokens=max_tokens,
            logprobs=body.top_logprobs if body.logprobs else None,
            grammar=grammar,
            instructions=instructions_length(prompt, tokenizer),
        )
        offered = frozenset(function.name for function in body.offered())
        stops = StopStrings(self.requests[0].sampling.stop, included=body.include_stop_str_in_output)
        self._choices = {
            request.id: Assembler(
                index,
                request,
                ChatReader(tokenizer, offered=offered, parallel=body.parallel_tool_calls),
                stops.afresh(),
                show_stop=body.include_stop_str_in_output,
                keep_tokens=body.return_token_ids,
            )
            for index, request in enumerate(self.requests)
        }
        self._messages: dict[tuple[int, str], int] = {}
        """By choice and part: the message of the turn that its last text belongs to."""

    ending = staticmethod(done_or_error)

    def stream(self, events: EventStream) -> AsyncGenerator[bytes, None]:
        """The chunks of a streamed answer."""
        return stream_chunks(self._chunks(events), self._usage_chunk, self._body.stream_options)

    async def collect(self, events: EventStream) -> ChatCompletion:
        """The whole answer, joined from its stream."""
        joined = [JoinedChat() for _ in self.requests]
        async with aclosing(self._chunks(events)) as chunks:
            async for chunk in chunks:
                for part in chunk.choices:
                    joined[part.index].add(part)
        body = self._body
        completion = ChatCompletion(
            **self._identity,
            object="chat.completion",
            choices=[
                choice.choice(reasoning=body.shows_reasoning, logprobs=body.logprobs, token_ids=body.return_token_ids)
                for choice in joined
            ],
            usage=self.usage,
        )
        if body.return_token_ids:
            completion.prompt_token_ids = list(self.requests[0].prompt_token_ids)
        return completion

    def pieces(self, events: EventStream) -> AsyncGenerator[tuple[Assembler, list[Piece]], None]:
        """For each event, its choice and the new pieces of that choice. Raises GenerationError."""
        return read_pieces(events, self._choices)

    async def _chunks(self, events: EventStream) -> AsyncGenerator[ChatChunk, None]:
        for choice in self._choices.values():
            chunk = self._chunk(choice, ChatDelta(role="assistant", content=""))
            if self._body.return_token_ids and choice.index == 0:
                chunk.prompt_token_ids = list(self.requests[0].prompt_token_ids)
            yield chunk
        async with aclosing(self.pieces(events)) as read:
            async for choice, pieces in read:
                for piece in pieces:
                    if piece.part != "reasoning" or self._body.shows_reasoning:
                        text = self._separated(choice, piece)
                        yield self._chunk(choice, _delta(piece, text), self._logprobs(piece.scored))
                if choice.finish_reason is not None:
                    yield self._chunk(choice, ChatDelta(), end=True)

    def _separated(self, choice: Assembler, piece: Piece) -> str:
        """The piece's text, after an empty line if an earlier message, like a preamble, belongs to the same part."""
        if piece.call is not None or not piece.text:
            return piece.text
        place = (choice.index, piece.part)
        last, self._messages[place] = self._messages.get(place, piece.message), piece.message
        return piece.text if last == piece.message else PARTING + piece.text

    def _chunk(
        self, choice: Assembler, delta: ChatDelta, logprobs: ChatLogprobs | None = None, *, end: bool = False
    ) -> ChatChunk:
        part = ChatChunkChoice(index=choice.index, delta=delta, logprobs=logprobs, finish_reason=None)
        if end:
            part.finish_reason, part.stop_reason = choice.finish_reason, choice.stop_reason
        if self._body.return_token_ids:
            part.token_ids = choice.take_tokens()
        return ChatChunk(**self._identity, object="chat.completion.chunk", choices=[part])

    def _usage_chunk(self) -> ChatChunk:
        return ChatChunk(**self._identity, object="chat.completion.chunk", choices=[], usage=self.usage)

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
        return count_usage(self.requests, self._body.n, self._choices.values())

    def _logprobs(self, scored: Sequence[Scored]) -> ChatLogprobs | None:
        if not scored:
            return None
        return ChatLogprobs(content=[self.scored(token) for token in scored], refusal=None)

    def scored(self, token: Scored) -> TokenLogprob:
        """The report of a token of the content."""
        assert token.logprob is not None
        chosen = self._candidate(token.token_id, token.logprob.logprob)
        return TokenLogprob(
            **chosen.model_dump(),
            top_logprobs=[self._candidate(token_id, logprob) for token_id, logprob in token.logprob.top],
        )

    def _candidate(self, token_id: int, logprob: float) -> TopLogprob:
        return TopLogprob(
            token=token_name(token_id, self._tokenizer, as_id=self._body.return_tokens_as_token_ids),
            logprob=finite(logprob),
            bytes=list(self._tokenizer.token_bytes(token_id)),
        )


def _delta(piece: Piece, text: str) -> ChatDelta:
    if piece.call is not None:
        return ChatDelta(tool_calls=[_call_delta(piece.call, text)])
    if piece.part == "content":
        return ChatDelta(content=text)
    return ChatDelta(reasoning=text, reasoning_content=text)


def _call_delta(call: Call, text: str) -> ToolCallDelta:
    if text:
        return ToolCallDelta(index=call.index, function=CalledFunctionDelta(arguments=text))
    function = CalledFunctionDelta(name=call.name, arguments="")
    return ToolCallDelta(index=call.index, id=f"call_{uuid4().hex}", type="function", function=function)
