"""The events of a streamed answer of `/v1/responses`.

`response.created`, then each item from `output_item.added` to `output_item.done`, then `response.completed`,
`response.incomplete` or `response.failed`, whatever happens on the way.
"""

from typing import Literal, get_args

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.chat_answer import TokenLogprob
from server.schemas.output_items import OutputItem, ReasoningPart, SummaryText, TextPart
from server.schemas.response import Response


class ResponseEvent(AnswerModel):
    """What every event has."""

    sequence_number: int = Field(default=0, examples=[0])
    """Its number in the stream, from 0."""


class ResponseStateEvent(ResponseEvent):
    """The answer as it stands: at the beginning without items, at the end with all."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ] = Field(examples=["response.created"])
    """The kind of event."""
    response: Response
    """The answer."""


class ItemEvent(ResponseEvent):
    """An item begins, or is over."""

    type: Literal["response.output_item.added", "response.output_item.done"] = Field(
        examples=["response.output_item.added"]
    )
    """The kind of event."""
    output_index: int = Field(examples=[0])
    """The item's number in the answer."""
    item: OutputItem
    """The item so far."""


class WithinItemEvent(ResponseEvent):
    """Something happens in an item."""

    item_id: str = Field(examples=["msg_1"])
    """The item's name."""
    output_index: int = Field(examples=[0])
    """The item's number in the answer."""


class PartEvent(WithinItemEvent):
    """A part of an item begins, or is over."""

    type: Literal["response.content_part.added", "response.content_part.done"] = Field(
        examples=["response.content_part.added"]
    )
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    part: ReasoningPart | TextPart
    """The part so far."""


class TextDeltaEvent(WithinItemEvent):
    """More of a message."""

    type: Literal["response.output_text.delta"] = Field(examples=["response.output_text.delta"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    delta: str = Field(examples=["I am"])
    """The next piece of its text."""
    logprobs: list[TokenLogprob]
    """Of the piece's tokens, if asked for."""


class TextDoneEvent(WithinItemEvent):
    """A message's text is complete."""

    type: Literal["response.output_text.done"] = Field(examples=["response.output_text.done"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    text: str = Field(examples=["I am a small model."])
    """All of it."""
    logprobs: list[TokenLogprob]
    """Of its tokens, if asked for."""


class ReasoningDeltaEvent(WithinItemEvent):
    """More of a reasoning."""

    type: Literal["response.reasoning_text.delta"] = Field(examples=["response.reasoning_text.delta"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    delta: str = Field(examples=["They ask"])
    """The next piece of its text."""


class ReasoningDoneEvent(WithinItemEvent):
    """A reasoning's text is complete."""

    type: Literal["response.reasoning_text.done"] = Field(examples=["response.reasoning_text.done"])
    """The kind of event."""
    content_index: int = Field(examples=[0])
    """The part's number in the item."""
    text: str = Field(examples=["They ask who I am."])
    """All of it."""


class WithinSummaryEvent(WithinItemEvent):
    """Something happens in a reasoning's summary."""

    summary_index: int = Field(examples=[0])
    """The part's number in the summary."""


class SummaryPartEvent(WithinSummaryEvent):
    """A part of a summary begins, or is over."""

    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"] = Field(
        examples=["response.reasoning_summary_part.added"]
    )
    """The kind of event."""
    part: SummaryText
    """The part so far."""


class SummaryDeltaEvent(WithinSummaryEvent):
    """More of a summary."""

    type: Literal["response.reasoning_summary_text.delta"] = Field(examples=["response.reasoning_summary_text.delta"])
    """The kind of event."""
    delta: str = Field(examples=["They ask"])
    """The next piece of its text."""


class SummaryDoneEvent(WithinSummaryEvent):
    """A summary's text is complete."""

    type: Literal["response.reasoning_summary_text.done"] = Field(examples=["response.reasoning_summary_text.done"])
    """The kind of event."""
    text: str = Field(examples=["They ask who I am."])
    """All of it."""


class ArgumentsDeltaEvent(WithinItemEvent):
    """More of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"] = Field(examples=["response.function_call_arguments.delta"])
    """The kind of event."""
    delta: str = Field(examples=['{"city":'])
    """The next piece of them."""


class ArgumentsDoneEvent(WithinItemEvent):
    """A call's arguments are complete."""

    type: Literal["response.function_call_arguments.done"] = Field(examples=["response.function_call_arguments.done"])
    """The kind of event."""
    name: str = Field(examples=["get_weather"])
    """Which function."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """All of them."""


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
