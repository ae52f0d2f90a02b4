"""The answer of `/v1/responses`."""

from typing import Any, Literal

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.output_items import OutputItem
from server.schemas.response_request import Summary, Truncation
from server.schemas.usage import CompletionTokensDetails, PromptTokensDetails

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


class InputTokensDetails(PromptTokensDetails):
    """The prompt's tokens by kind."""

    cache_write_tokens: int = Field(examples=[0])
    """Always 0: prompts are cached automatically."""


class ResponseUsage(AnswerModel):
    """Token counts, named as in `/v1/responses`."""

    input_tokens: int = Field(examples=[68])
    """Tokens of the prompt."""
    input_tokens_details: InputTokensDetails
    """Details of the prompt's tokens."""
    output_tokens: int = Field(examples=[25])
    """Tokens of the answer, reasoning and markup included."""
    output_tokens_details: CompletionTokensDetails
    """Details of the answer's tokens."""
    total_tokens: int = Field(examples=[93])
    """The sum of both."""


class ResponseFailure(AnswerModel):
    """Why an answer failed."""

    code: Literal["server_error"] = Field(examples=["server_error"])
    """The class of the error."""
    message: str = Field(examples=["the engine failed"])
    """One line for people."""


class Incompleteness(AnswerModel):
    """Why an answer was cut off."""

    reason: Literal["max_output_tokens"] = Field(examples=["max_output_tokens"])
    """There was no more room."""


class ReasoningSettings(AnswerModel):
    """How the model reasoned."""

    effort: str = Field(examples=["medium"])
    """How much the model reasoned."""
    summary: Summary | None = Field(examples=[None])
    """From the request."""


class TextSettings(AnswerModel):
    """The settings of the final message."""

    format: dict[str, Any] = Field(examples=[{"type": "text"}])
    """The format of the final message."""
    verbosity: Literal["medium"] = Field(examples=["medium"])
    """Always medium."""


class Response(AnswerModel):
    """An answer, perhaps in progress. It repeats fields of the request."""

    id: str = Field(examples=["resp_1"])
    """The answer's id."""
    object: Literal["response"] = Field(examples=["response"])
    """The kind of this object."""
    created_at: int = Field(examples=[1764000000])
    """When the request came, in Unix seconds."""
    completed_at: int | None = Field(examples=[1764000001])
    """When the answer was complete, in Unix seconds; null if it is not complete."""
    status: ResponseStatus = Field(examples=["completed"])
    """Whether the answer is in progress, or how it ended."""
    error: ResponseFailure | None
    """Why the answer failed, if it did."""
    incomplete_details: Incompleteness | None
    """Why the answer was cut off, if it was."""
    model: str = Field(examples=["embedded"])
    """The model's name in the request."""
    system_fingerprint: str = Field(examples=["carousel-0.1.0-3f9a2c71"])
    """Identifies the version of the engine and the weights."""
    output: list[OutputItem]
    """The items of the answer."""
    usage: ResponseUsage | None
    """Token counts, once the answer has ended."""
    instructions: str | None = Field(examples=["Be brief."])
    """From the request."""
    previous_response_id: str | None = Field(examples=[None])
    """From the request."""
    max_output_tokens: int | None = Field(examples=[256])
    """From the request."""
    max_tool_calls: int | None = Field(examples=[None])
    """From the request."""
    temperature: float = Field(examples=[1.0])
    """The value that the answer was sampled with."""
    top_p: float = Field(examples=[1.0])
    """The value that the answer was sampled with."""
    top_logprobs: int = Field(examples=[0])
    """From the request."""
    reasoning: ReasoningSettings
    """From the request."""
    text: TextSettings
    """From the request."""
    tools: list[dict[str, Any]] = Field(examples=[[]])
    """From the request."""
    tool_choice: str | dict[str, Any] = Field(examples=["auto"])
    """From the request."""
    parallel_tool_calls: bool = Field(examples=[True])
    """From the request."""
    truncation: Truncation = Field(examples=["disabled"])
    """From the request."""
    store: bool = Field(examples=[True])
    """From the request."""
    background: bool = Field(examples=[False])
    """From the request."""
    metadata: dict[str, Any] = Field(examples=[{"purpose": "test"}])
    """From the request."""
    user: str | None = Field(examples=[None])
    """From the request."""
    safety_identifier: str | None = Field(examples=[None])
    """From the request."""
    prompt_cache_key: str | None = Field(examples=[None])
    """From the request."""


class DeletedResponse(AnswerModel):
    """Confirms that an answer was deleted."""

    id: str = Field(examples=["resp_1"])
    """The answer's id."""
    object: Literal["response"] = Field(examples=["response"])
    """The kind of object that was deleted."""
    deleted: Literal[True] = Field(examples=[True])
    """Always true."""
