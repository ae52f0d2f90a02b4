"""The answer of `/v1/chat/completions`, whole or in the chunks of a stream."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel, Finish, IdentifiedAnswer
from server.schemas.usage import Usage


class TopLogprob(AnswerModel):
    """A token that might stand in a place."""

    token: str = Field(examples=["Hi"])
    """Its text, with replacement characters for what is no UTF-8, or `token_id:ID`, if asked for."""
    logprob: float = Field(examples=[-0.25])
    """Its log-probability."""
    bytes: list[int] = Field(examples=[[72, 105]])
    """Its bytes."""


class TokenLogprob(TopLogprob):
    """The token that does."""

    top_logprobs: list[TopLogprob]
    """The likeliest tokens in its place."""


class ChatLogprobs(AnswerModel):
    """One entry per token of the answer, none for its reasoning."""

    content: list[TokenLogprob]
    """The tokens of the content."""
    refusal: None = Field(examples=[None])
    """Always null."""


class CalledFunction(AnswerModel):
    """A function and what to call it with."""

    name: str = Field(examples=["get_weather"])
    """Which function."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """What the model wrote, which need not be JSON unless a grammar made it so."""


class ToolCall(AnswerModel):
    """A call for the client to make."""

    id: str = Field(examples=["call_1"])
    """Its name, unique, for the result to refer to."""
    type: Literal["function"] = Field(examples=["function"])
    """What is called."""
    function: CalledFunction
    """The function and its arguments."""


class ChatMessage(AnswerModel):
    """The answer. Only the fields that were set are sent."""

    role: Literal["assistant"] = Field(examples=["assistant"])
    """Whose message it is."""
    content: str | None = Field(examples=["I am a small model."])
    """What it says; null if it says nothing."""
    refusal: None = Field(examples=[None])
    """Always null."""
    reasoning: str | None = Field(default=None, examples=["They ask who I am."])
    """The reasoning before it."""
    reasoning_content: str | None = Field(default=None, examples=["They ask who I am."])
    """`reasoning` by its other name."""
    tool_calls: list[ToolCall] | None = None
    """The calls it makes."""


class ChatChoice(AnswerModel):
    """One answer."""

    index: int = Field(examples=[0])
    """Its number."""
    message: ChatMessage
    """The answer itself."""
    logprobs: ChatLogprobs | None
    """Log-probabilities, if asked for."""
    finish_reason: Finish = Field(examples=["stop"])
    """Why it ended: it was over or a stop was found, there was no more room, or it calls functions."""
    stop_reason: str | int | None = Field(examples=[None])
    """The stop string or token id that ended it, if one did."""
    token_ids: list[int] | None = Field(default=None, examples=[[200005, 17196, 200008, 12194]])
    """All tokens that were generated, if asked for."""


class ChatCompletion(IdentifiedAnswer):
    """The whole answer to a request."""

    object: Literal["chat.completion"] = Field(examples=["chat.completion"])
    """The kind of this object."""
    choices: list[ChatChoice]
    """The answers."""
    usage: Usage
    """Token counts."""
    prompt_token_ids: list[int] | None = Field(default=None, examples=[[200006, 17360, 200008]])
    """The prompt's tokens, if asked for."""


class CalledFunctionDelta(AnswerModel):
    """The next piece of a function's call."""

    name: str | None = Field(default=None, examples=["get_weather"])
    """Which function; in a call's first piece only."""
    arguments: str = Field(examples=['{"city":'])
    """More of the arguments."""


class ToolCallDelta(AnswerModel):
    """A call begins with its id, type and name; pieces of its arguments follow under the same index."""

    index: int = Field(examples=[0])
    """The call's number in the answer."""
    id: str | None = Field(default=None, examples=["call_1"])
    """The call's name, in its first piece only."""
    type: Literal["function"] | None = Field(default=None, examples=["function"])
    """What is called, in its first piece only."""
    function: CalledFunctionDelta
    """The piece."""


class ChatDelta(AnswerModel):
    """The next piece of an answer. Only the fields that were set are sent."""

    role: Literal["assistant"] | None = Field(default=None, examples=["assistant"])
    """Whose message it is; in the first piece only."""
    content: str | None = Field(default=None, examples=["I am"])
    """More of the content."""
    reasoning: str | None = Field(default=None, examples=["They ask"])
    """More of the reasoning."""
    reasoning_content: str | None = Field(default=None, examples=["They ask"])
    """`reasoning` by its other name."""
    tool_calls: list[ToolCallDelta] | None = None
    """More of its calls."""


class ChatChunkChoice(AnswerModel):
    """One answer's next piece."""

    index: int = Field(examples=[0])
    """The answer's number."""
    delta: ChatDelta
    """The piece itself."""
    logprobs: ChatLogprobs | None
    """Log-probabilities of the piece's tokens, if asked for."""
    finish_reason: Finish | None = Field(examples=[None, "stop"])
    """Why it ended; null before that."""
    stop_reason: str | int | None = Field(default=None, examples=[None])
    """The stop string or token id that ended it, if one did."""
    token_ids: list[int] | None = Field(default=None, examples=[[12194]])
    """The tokens that were generated since its last chunk, if asked for."""


class ChatChunk(IdentifiedAnswer):
    """One event of a streamed answer. Only the fields that were set are sent."""

    object: Literal["chat.completion.chunk"] = Field(examples=["chat.completion.chunk"])
    """The kind of this object."""
    choices: list[ChatChunkChoice]
    """The pieces; none in a chunk that reports usage."""
    usage: Usage | None = None
    """Token counts, if asked for."""
    prompt_token_ids: list[int] | None = Field(default=None, examples=[[200006, 17360, 200008]])
    """The prompt's tokens, if asked for; in the first chunk only."""
