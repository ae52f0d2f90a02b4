"""The answer of `/v1/messages`."""

from typing import Any, Literal

from pydantic import Field

from server.schemas.answer import AnswerModel, ErrorDetails

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]


class AnsweredText(AnswerModel):
    """What the model says."""

    type: Literal["text"] = Field(examples=["text"])
    """The kind of block."""
    text: str = Field(examples=["I am a small model."])
    """The text."""


class AnsweredThinking(AnswerModel):
    """What the model thought."""

    type: Literal["thinking"] = Field(examples=["thinking"])
    """The kind of block."""
    thinking: str = Field(examples=["They ask who I am."])
    """The reasoning; empty if it was to be omitted."""
    signature: str = Field(examples=["carousel:"])
    """To be sent back as it is: it has the reasoning that was omitted."""


class AnsweredToolUse(AnswerModel):
    """A call for the client to make."""

    type: Literal["tool_use"] = Field(examples=["tool_use"])
    """The kind of block."""
    id: str = Field(examples=["toolu_1"])
    """The call's name, for the result to refer to."""
    name: str = Field(examples=["get_weather"])
    """Which tool."""
    input: dict[str, Any] = Field(examples=[{"city": "Paris"}])
    """What it is called with. What the model wrote and is no JSON object is the text `arguments` of one."""


AnsweredBlock = AnsweredText | AnsweredThinking | AnsweredToolUse


class ThinkingTokens(AnswerModel):
    """What the answer's tokens were."""

    thinking_tokens: int = Field(examples=[12])
    """Tokens of the reasoning."""


class AnthropicUsage(AnswerModel):
    """Token counts, by the names of `/v1/messages`: the prompt has `input_tokens` and those read from the cache."""

    input_tokens: int = Field(examples=[68])
    """Tokens of the prompt that were computed."""
    cache_creation_input_tokens: int = Field(examples=[0])
    """Always 0: what is kept of a prompt is kept by itself."""
    cache_read_input_tokens: int = Field(examples=[0])
    """Tokens of the prompt that had been computed before."""
    output_tokens: int = Field(examples=[25])
    """Tokens of the answer, reasoning and markup included."""
    output_tokens_details: ThinkingTokens
    """More on them."""


class AnthropicMessage(AnswerModel):
    """An answer."""

    id: str = Field(examples=["msg_1"])
    """Its name."""
    type: Literal["message"] = Field(examples=["message"])
    """The kind of this object."""
    role: Literal["assistant"] = Field(examples=["assistant"])
    """Whose message it is."""
    model: str = Field(examples=["embedded"])
    """The name it was asked under."""
    content: list[AnsweredBlock]
    """The answer itself."""
    stop_reason: StopReason | None = Field(examples=["end_turn"])
    """Why it ended; null where a stream begins."""
    stop_sequence: str | None = Field(examples=[None])
    """The stop sequence that ended it, if one did."""
    usage: AnthropicUsage
    """Token counts."""


class CountedTokens(AnswerModel):
    """How long a prompt is."""

    input_tokens: int = Field(examples=[68])
    """Its tokens."""


class AnthropicError(AnswerModel):
    """The body of every error of these paths, and the event that ends a stream early."""

    type: Literal["error"] = Field(examples=["error"])
    """The kind of this object."""
    error: ErrorDetails
    """The error."""
