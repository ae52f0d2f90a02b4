"""The steps of endpoints that generate: submit the requests once, then stream or collect the answer."""

from collections.abc import AsyncGenerator, Sequence
from time import perf_counter, time
from typing import Protocol
from uuid import uuid4

from fastapi import Request, Response
from pydantic import BaseModel

from engine import request as engine_request
from engine.prompt.chat import Conversation
from engine.streams import EventStream
from server.admission import Admitted
from server.disconnect import until_disconnect
from server.metering import Measured, RequestMeter
from server.schemas.chat import ChatRequest
from server.sse import EventSourceResponse
from server.state import ServerState
from server.translate.answer import Identity
from server.translate.chat import ChatAnswer, conversation
from server.translate.constraints import chat_constraint
from server.translate.requests import with_defaults

ANSWER_SHARE = 4
"""Of the context a part of so many is left to the answer where a conversation has to be cut."""
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city, now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
"""A function for examples in the document."""


class Answer(Measured, Protocol):
    """An answer to a request's body, made by `server.translate`."""

    @property
    def requests(self) -> Sequence[engine_request.Request]: ...

    def stream(self, events: EventStream) -> AsyncGenerator[bytes, None]: ...

    def ending(self, error: Exception | None) -> bytes:
        """The last bytes of a stream: for the error that ended it, or for None."""
        ...

    async def collect(self, events: EventStream) -> BaseModel: ...


def identity(prefix: str, model: str, state: ServerState) -> Identity:
    return Identity(
        id=f"{prefix}{uuid4().hex}",
        created=int(time()),
        model=model,
        system_fingerprint=state.system_fingerprint,
    )


async def chat_prompt(body: ChatRequest, state: ServerState) -> list[int]:
    """The prompt of a chat, in tokens. Raises RequestError."""
    return await state.text.render(chat_conversation(body, state))


async def truncated_prompt(body: ChatRequest, state: ServerState) -> list[int]:
    """The same; if it is longer than the context, without the chat's oldest messages: as many are dropped as leave the
    answer its part of the context (ANSWER_SHARE), or the room that it asks for, if that is less."""
    whole, longest = chat_conversation(body, state), state.engine.info.max_model_len
    prompt = await state.text.render(whole)
    if len(prompt) <= longest:
        return prompt
    answer = min(body.max_completion_tokens or longest, longest // ANSWER_SHARE)
    return await state.text.render_shortened(whole, longest - answer)


def chat_conversation(body: ChatRequest, state: ServerState) -> Conversation:
    """Everything that a chat's prompt is rendered from."""
    return conversation(
        body.messages,
        functions=body.offered(),
        response_format=body.response_format,
        reasoning_effort=body.effort,
        current_date=body.current_date or state.settings.current_date,
    )


def as_much_as_fits(asked: ChatRequest, prompt: Sequence[int], state: ServerState) -> ChatRequest:
    """The request; if `max_completion_tokens` exceeds the rest of the context, one that may fill the context. For
    endpoints whose clients give a large limit to mean as much as possible."""
    most = asked.max_completion_tokens
    fits = most is None or len(prompt) + most - 1 <= state.engine.info.max_model_len
    return asked if fits else asked.model_copy(update={"max_completion_tokens": None})


async def chat_answer(body: ChatRequest, prompt: Sequence[int], named: Identity, state: ServerState) -> ChatAnswer:
    """The answer to a chat with this `prompt`, not yet submitted. Raises RequestError."""
    body = with_defaults(body, state.text.sampling_defaults)
    constraint = await chat_constraint(body)
    grammar = None if constraint is None else await constraint.checked(state.text)
    return ChatAnswer(named, body, prompt, state.text.tokenizer, grammar)


def key_of(request: Request) -> int:
    """The number of the request's API key; 0 if none is required."""
    key: int = getattr(request.state, "key", 0)
    return key


def admit(request: Request, state: ServerState, wanted: Answer, *, seconds: float | None) -> Admitted:
    """Submits the requests of an answer to the engine, and measures them. Raises what `Admission.submit` raises."""
    meter: RequestMeter = request.state.meter
    elapsed = perf_counter() - meter.began
    admitted = state.admission.submit(wanted.requests, key=key_of(request), timeout=seconds, elapsed=elapsed)
    meter.follow(wanted, admitted.events)
    return admitted


async def answer(
    request: Request, state: ServerState, wanted: Answer, *, stream: bool, seconds: float | None
) -> Response:
    """Submits the requests and answers with the stream or the whole. Raises errors that come before anything is sent. A
    client that disconnects aborts its requests. `seconds` is the request's own time limit.
    """
    admitted = admit(request, state, wanted, seconds=seconds)
    if stream:
        return EventSourceResponse(
            wanted.stream(admitted.events),
            ending=wanted.ending,
            on_error=request.state.meter.failed,
            on_close=admitted.close,
            ping_seconds=state.settings.ping_seconds,
        )
    with admitted:
        whole = await until_disconnect(request.receive, wanted.collect(admitted.events))
    return json_response(whole)


def json_response(content: BaseModel) -> Response:
    """A JSON answer of the fields that were set."""
    return Response(content.model_dump_json(exclude_unset=True), media_type="application/json")
