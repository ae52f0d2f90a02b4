"""The answer of `/v1/responses`."""

from typing import Any, Literal

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.output_items import OutputItem
from server.schemas.response_request import Summary, Truncation
from server.schemas.usage import CompletionTokensDetails, PromptTokensDetails

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


class InputTokensDetails(PromptTokensDetails):
    """What the prompt's tokens were."""

    cache_write_tokens: int = Field(examples=[0])
    """Always 0: what is kept of a prompt is kept by itself."""


class ResponseUsage(AnswerModel):
    """Token counts, by the names of `/v1/responses`."""

    input_tokens: int = Field(examples=[68])
    """Tokens of the prompt."""
    input_tokens_details: InputTokensDetails
    """More on them."""
    output_tokens: int = Field(examples=[25])
    """Tokens of the answer, reasoning and markup included."""
    output_tokens_details: CompletionTokensDetails
    """More on them."""
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
    """How long."""
    summary: Summary | None = Field(examples=[None])
    """As the request had it."""


class TextSettings(AnswerModel):
    """What the final message had to be like."""

    format: dict[str, Any] = Field(examples=[{"type": "text"}])
    """What it had to look like."""
    verbosity: Literal["medium"] = Field(examples=["medium"])
    """Always medium."""


class Response(AnswerModel):
    """An answer, or how far it is. What the request said is repeated in it."""

    id: str = Field(examples=["resp_1"])
    """Its name."""
    object: Literal["response"] = Field(examples=["response"])
    """The kind of this object."""
    created_at: int = Field(examples=[1764000000])
    """When the request came, in Unix seconds."""
    completed_at: int | None = Field(examples=[1764000001])
    """When the answer was complete, in Unix seconds; null if it is not."""
    status: ResponseStatus = Field(examples=["completed"])
    """How far it is, or how it ended."""
    error: ResponseFailure | None
    """Why it failed, if it did."""
    incomplete_details: Incompleteness | None
    """Why it was cut off, if it was."""
    model: str = Field(examples=["embedded"])
    """The name it was asked under."""
    system_fingerprint: str = Field(examples=["carousel-0.1.0-3f9a2c71"])
    """Names the version of the engine and the weights."""
    output: list[OutputItem]
    """The answer itself."""
    usage: ResponseUsage | None
    """Token counts, once it has ended."""
    instructions: str | None = Field(examples=["Be brief."])
    """As the request had it."""
    previous_response_id: str | None = Field(examples=[None])
    """As the request had it."""
    max_output_tokens: int | None = Field(examples=[256])
    """As the request had it."""
    max_tool_calls: int | None = Field(examples=[None])
    """As the request had it."""
    temperature: float = Field(examples=[1.0])
    """What the answer was drawn with."""
    top_p: float = Field(examples=[1.0])
    """What the answer was drawn with."""
    top_logprobs: int = Field(examples=[0])
    """As the request had it."""
    reasoning: ReasoningSettings
    """As the request had it."""
    text: TextSettings
    """As the request had it."""
    tools: list[dict[str, Any]] = Field(examples=[[]])
    """As the request had it."""
    tool_choice: str | dict[str, Any] = Field(examples=["auto"])
    """As the request had it."""
    parallel_tool_calls: bool = Field(examples=[True])
    """As the request had it."""
    truncation: Truncation = Field(examples=["disabled"])
    """As the request had it."""
    store: bool = Field(examples=[True])
    """As the request had it."""
    background: bool = Field(examples=[False])
    """As the request had it."""
    metadata: dict[str, Any] = Field(examples=[{"purpose": "test"}])
    """As the request had it."""
    user: str | None = Field(examples=[None])
    """As the request had it."""
    safety_identifier: str | None = Field(examples=[None])
    """As the request had it."""
    prompt_cache_key: str | None = Field(examples=[None])
    """As the request had it."""


class DeletedResponse(AnswerModel):
    """What deleting an answer leaves."""

    id: str = Field(examples=["resp_1"])
    """The answer's name."""
    object: Literal["response"] = Field(examples=["response"])
    """The kind of what was deleted."""
    deleted: Literal[True] = Field(examples=[True])
    """Always true."""
