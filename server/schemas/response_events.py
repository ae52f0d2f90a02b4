"""The events of a streamed answer of `/v1/responses`.

`response.created`, then each item from `output_item.added` to `output_item.done`. Every stream ends with
`response.completed`, `response.incomplete` or `response.failed`.
"""

from typing import Literal, get_args

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.chat_answer import TokenLogprob
from server.schemas.output_items import OutputItem, ReasoningPart, SummaryText, TextPart
from server.schemas.response import Response


class ResponseEvent(AnswerModel):
    """The fields of every event."""

    sequence_number: int = Field(default=0, examples=[0])
    """The event's number in the stream, from 0."""


class ResponseStateEvent(ResponseEvent):
    """The answer so far: without items at the start of the stream, with all of them at the end."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ] = Field(examples=["response.created"])
    """The kind of event."""
    response: Response
    """The answer."""


class ItemEvent(ResponseEvent):
    """An item begins or ends."""

    type: Literal["response.output_item.added", "response.output_item.done"] = Field(
        examples=["response.output_item.added"]
    )
    """The kind of event."""
    output_index: int = Field(examples=[0])
    """The item's number in the answer."""
    item: OutputItem
    """The item so far."""


class WithinItemEvent(ResponseEvent):
    """The fields of an event within an item."""

    item_id: str = Field(examples=["msg_1"])
    """The item's id."""
    output_index: int = Field(examples=[0])
    """The item's number in the answer."""


class PartEvent(WithinItemEvent):
    """A part of an item begins or ends."""

    type: Literal["response.content_part.added", "response.content_part.done"] = Field(
        examples=["response.content_part.added"]
    )
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    part: ReasoningPart | TextPart
    """The part so far."""


class TextDeltaEvent(WithinItemEvent):
    """The next piece of a message."""

    type: Literal["response.output_text.delta"] = Field(examples=["response.output_text.delta"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    delta: str = Field(examples=["I am"])
    """The piece."""
    logprobs: list[TokenLogprob]
    """Log-probabilities of the piece's tokens, if requested."""


class TextDoneEvent(WithinItemEvent):
    """A message's text is complete."""

    type: Literal["response.output_text.done"] = Field(examples=["response.output_text.done"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    text: str = Field(examples=["I am a small model."])
    """The whole text."""
    logprobs: list[TokenLogprob]
    """Log-probabilities of the text's tokens, if requested."""


class ReasoningDeltaEvent(WithinItemEvent):
    """The next piece of reasoning."""

    type: Literal["response.reasoning_text.delta"] = Field(examples=["response.reasoning_text.delta"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    delta: str = Field(examples=["They ask"])
    """The piece."""


class ReasoningDoneEvent(WithinItemEvent):
    """The text of the reasoning is complete."""

    type: Literal["response.reasoning_text.done"] = Field(examples=["response.reasoning_text.done"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    text: str = Field(examples=["They ask who I am."])
    """The whole text."""


class WithinSummaryEvent(WithinItemEvent):
    """The fields of an event within a summary."""

    summary_index: int = Field(examples=[0])
    """The part's number in the summary."""


class SummaryPartEvent(WithinSummaryEvent):
    """A part of a summary begins or ends."""

    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"] = Field(
        examples=["response.reasoning_summary_part.added"]
    )
    """The kind of event."""
    part: SummaryText
    """The part so far."""


class SummaryDeltaEvent(WithinSummaryEvent):
    """The next piece of a summary."""

    type: Literal["response.reasoning_summary_text.delta"] = Field(examples=["response.reasoning_summary_text.delta"])
    """The kind of event."""
    delta: str = Field(examples=["They ask"])
    """The piece."""


class SummaryDoneEvent(WithinSummaryEvent):
    """A summary's text is complete."""

    type: Literal["response.reasoning_summary_text.done"] = Field(examples=["response.reasoning_summary_text.done"])
    """The kind of event."""
    text: str = Field(examples=["They ask who I am."])
    """The whole text."""


class ArgumentsDeltaEvent(WithinItemEvent):
    """The next piece of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"] = Field(examples=["response.function_call_arguments.delta"])
    """The kind of event."""
    delta: str = Field(examples=['{"city":'])
    """The piece."""


class ArgumentsDoneEvent(WithinItemEvent):
    """A call's arguments are complete."""

    type: Literal["response.function_call_arguments.done"] = Field(examples=["response.function_call_arguments.done"])
    """The kind of event."""
    name: str = Field(examples=["get_weather"])
    """The function's name."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The whole arguments."""


AnyEvent = (
    ResponseStateEvent
    | ItemEvent
    | PartEvent
    | TextDeltaEvent
    | TextDoneEvent
    | ReasoningDeltaEvent
    | ReasoningDoneEvent
    | SummaryPartEvent
    | SummaryDeltaEvent
    | SummaryDoneEvent
    | ArgumentsDeltaEvent
    | ArgumentsDoneEvent
)
EVENTS: tuple[type[ResponseEvent], ...] = get_args(AnyEvent)
