"""The answer of `/v1/chat/completions`, whole or in the chunks of a stream."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel, Finish, IdentifiedAnswer
from server.schemas.usage import Usage


class TopLogprob(AnswerModel):
    """A candidate token."""

    token: str = Field(examples=["Hi"])
    """The token's text, with replacement characters for invalid UTF-8; or `token_id:ID`, if requested."""
    logprob: float = Field(examples=[-0.25])
    """The token's log-probability."""
    bytes: list[int] = Field(examples=[[72, 105]])
    """The token's bytes."""


class TokenLogprob(TopLogprob):
    """The chosen token."""

    top_logprobs: list[TopLogprob]
    """The likeliest tokens at its position."""


class ChatLogprobs(AnswerModel):
    """One entry per token of the content, none for the reasoning."""

    content: list[TokenLogprob]
    """The tokens of the content."""
    refusal: None = Field(examples=[None])
    """Always null."""


class CalledFunction(AnswerModel):
    """A function and its arguments."""

    name: str = Field(examples=["get_weather"])
    """The function's name."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments as the model wrote them: only a grammar ensures that they are JSON."""


class ToolCall(AnswerModel):
    """A call for the client to make."""

    id: str = Field(examples=["call_1"])
    """The call's unique id, for the result to refer to."""
    type: Literal["function"] = Field(examples=["function"])
    """The kind of call."""
    function: CalledFunction
    """The function and its arguments."""


class ChatMessage(AnswerModel):
    """The answer. Only the fields that were set are sent."""

    role: Literal["assistant"] = Field(examples=["assistant"])
    """The author of the message."""
    content: str | None = Field(examples=["I am a small model."])
    """The content; null if there is none."""
    refusal: None = Field(examples=[None])
    """Always null."""
    reasoning: str | None = Field(default=None, examples=["They ask who I am."])
    """The reasoning before the content."""
    reasoning_content: str | None = Field(default=None, examples=["They ask who I am."])
    """Another name of `reasoning`."""
    tool_calls: list[ToolCall] | None = None
    """The calls that the answer makes."""


class ChatChoice(AnswerModel):
    """One answer."""

    index: int = Field(examples=[0])
    """The answer's number."""
    message: ChatMessage
    """The answer's message."""
    logprobs: ChatLogprobs | None
    """Log-probabilities, if requested."""
    finish_reason: Finish = Field(examples=["stop"])
    """Why the answer ended: its own end or a stop (stop), no more room (length), or function calls (tool_calls)."""
    stop_reason: str | int | None = Field(examples=[None])
    """The stop string or token id that ended the answer, if one did."""
    token_ids: list[int] | None = Field(default=None, examples=[[200005, 17196, 200008, 12194]])
    """All generated tokens, if requested."""


class ChatCompletion(IdentifiedAnswer):
    """The whole answer to a request."""

    object: Literal["chat.completion"] = Field(examples=["chat.completion"])
    """The kind of this object."""
    choices: list[ChatChoice]
    """The answers."""
    usage: Usage
    """Token counts."""
    prompt_token_ids: list[int] | None = Field(default=None, examples=[[200006, 17360, 200008]])
    """The prompt's tokens, if requested."""


class CalledFunctionDelta(AnswerModel):
    """The next piece of a function call."""

    name: str | None = Field(default=None, examples=["get_weather"])
    """The function's name; in a call's first piece only."""
    arguments: str = Field(examples=['{"city":'])
    """The next piece of the arguments."""


class ToolCallDelta(AnswerModel):
    """A call begins with its id, type and name; pieces of its arguments follow under the same index."""

    index: int = Field(examples=[0])
    """The call's number in the answer."""
    id: str | None = Field(default=None, examples=["call_1"])
    """The call's id; in its first piece only."""
    type: Literal["function"] | None = Field(default=None, examples=["function"])
    """The kind of call; in its first piece only."""
    function: CalledFunctionDelta
    """The piece."""


class ChatDelta(AnswerModel):
    """The next piece of an answer. Only the fields that were set are sent."""

    role: Literal["assistant"] | None = Field(default=None, examples=["assistant"])
    """The author of the message; in the first piece only."""
    content: str | None = Field(default=None, examples=["I am"])
    """The next piece of the content."""
    reasoning: str | None = Field(default=None, examples=["They ask"])
    """The next piece of the reasoning."""
    reasoning_content: str | None = Field(default=None, examples=["They ask"])
    """Another name of `reasoning`."""
    tool_calls: list[ToolCallDelta] | None = None
    """The next pieces of the calls."""


class ChatChunkChoice(AnswerModel):
    """The next piece of one answer."""

    index: int = Field(examples=[0])
    """The answer's number."""
    delta: ChatDelta
    """The piece."""
    logprobs: ChatLogprobs | None
    """Log-probabilities of the piece's tokens, if requested."""
    finish_reason: Finish | None = Field(examples=[None, "stop"])
    """Why the answer ended; null before its end."""
    stop_reason: str | int | None = Field(default=None, examples=[None])
    """The stop string or token id that ended the answer, if one did."""
    token_ids: list[int] | None = Field(default=None, examples=[[12194]])
    """The tokens generated since the answer's last chunk, if requested."""


class ChatChunk(IdentifiedAnswer):
    """One event of a streamed answer. Only the fields that were set are sent."""

    object: Literal["chat.completion.chunk"] = Field(examples=["chat.completion.chunk"])
    """The kind of this object."""
    choices: list[ChatChunkChoice]
    """The pieces; none in a chunk that reports usage."""
    usage: Usage | None = None
    """Token counts, if requested."""
    prompt_token_ids: list[int] | None = Field(default=None, examples=[[200006, 17360, 200008]])
    """The prompt's tokens, if requested; in the first chunk only."""
