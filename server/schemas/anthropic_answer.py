"""The answer of `/v1/messages`."""

from typing import Any, Literal

from pydantic import Field

from server.schemas.answer import AnswerModel, ErrorDetails

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]


class AnsweredText(AnswerModel):
    """Text of the answer."""

    type: Literal["text"] = Field(examples=["text"])
    """The kind of block."""
    text: str = Field(examples=["I am a small model."])
    """The text."""


class AnsweredThinking(AnswerModel):
    """Reasoning."""

    type: Literal["thinking"] = Field(examples=["thinking"])
    """The kind of block."""
    thinking: str = Field(examples=["They ask who I am."])
    """The reasoning; empty if the request omits it."""
    signature: str = Field(examples=["carousel:"])
    """Send it back unchanged: it carries reasoning that was omitted."""


class AnsweredToolUse(AnswerModel):
    """A call for the client to make."""

    type: Literal["tool_use"] = Field(examples=["tool_use"])
    """The kind of block."""
    id: str = Field(examples=["toolu_1"])
    """The call's id, for the result to refer to."""
    name: str = Field(examples=["get_weather"])
    """The tool's name."""
    input: dict[str, Any] = Field(examples=[{"city": "Paris"}])
    """The arguments. If the model did not write a JSON object, its text is the field `arguments` of one."""


AnsweredBlock = AnsweredText | AnsweredThinking | AnsweredToolUse


class ThinkingTokens(AnswerModel):
    """The answer's tokens by kind."""

    thinking_tokens: int = Field(examples=[12])
    """Tokens of the reasoning."""


class AnthropicUsage(AnswerModel):
    """Token counts, named as in `/v1/messages`: the prompt has `input_tokens` plus those read from the cache."""

    input_tokens: int = Field(examples=[68])
    """Prompt tokens that were computed."""
    cache_creation_input_tokens: int = Field(examples=[0])
    """Always 0: prompts are cached automatically."""
    cache_read_input_tokens: int = Field(examples=[0])
    """Prompt tokens that were read from the cache."""
    output_tokens: int = Field(examples=[25])
    """Tokens of the answer, reasoning and markup included."""
    output_tokens_details: ThinkingTokens
    """Details of the output tokens."""


class AnthropicMessage(AnswerModel):
    """An answer."""

    id: str = Field(examples=["msg_1"])
    """The answer's id."""
    type: Literal["message"] = Field(examples=["message"])
    """The kind of this object."""
    role: Literal["assistant"] = Field(examples=["assistant"])
    """The author of the message."""
    model: str = Field(examples=["embedded"])
    """The model's name in the request."""
    content: list[AnsweredBlock]
    """The blocks of the answer."""
    stop_reason: StopReason | None = Field(examples=["end_turn"])
    """Why the answer ended; null at the start of a stream."""
    stop_sequence: str | None = Field(examples=[None])
    """The stop sequence that ended the answer, if one did."""
    usage: AnthropicUsage
    """Token counts."""


class CountedTokens(AnswerModel):
    """The length of a prompt."""

    input_tokens: int = Field(examples=[68])
    """Tokens of the prompt."""


class AnthropicError(AnswerModel):
    """The body of every error on these paths, and the event that ends a stream early."""

    type: Literal["error"] = Field(examples=["error"])
    """The kind of this object."""
    error: ErrorDetails
    """The error."""
