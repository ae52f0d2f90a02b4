"""The events of a streamed answer of `/v1/messages`.

`message_start`, then each block from `content_block_start` to `content_block_stop`, then `message_delta` and
`message_stop`; or `error`, wherever it comes.
"""

from typing import Literal, get_args

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.anthropic_answer import AnsweredBlock, AnthropicMessage, AnthropicUsage, StopReason


class MessageStartEvent(AnswerModel):
    """The answer begins."""

    type: Literal["message_start"] = Field(examples=["message_start"])
    """The kind of event."""
    message: AnthropicMessage
    """It, without content."""


class BlockStartEvent(AnswerModel):
    """A block begins."""

    type: Literal["content_block_start"] = Field(examples=["content_block_start"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""
    content_block: AnsweredBlock
    """It, empty."""


class TextDelta(AnswerModel):
    """More of a text."""

    type: Literal["text_delta"] = Field(examples=["text_delta"])
    """The kind of piece."""
    text: str = Field(examples=["I am"])
    """The piece."""


class ThinkingDelta(AnswerModel):
    """More of a reasoning."""

    type: Literal["thinking_delta"] = Field(examples=["thinking_delta"])
    """The kind of piece."""
    thinking: str = Field(examples=["They ask"])
    """The piece."""


class SignatureDelta(AnswerModel):
    """A reasoning's signature."""

    type: Literal["signature_delta"] = Field(examples=["signature_delta"])
    """The kind of piece."""
    signature: str = Field(examples=["carousel:"])
    """All of it."""


class InputDelta(AnswerModel):
    """A call's input, sent when it is whole; before that, empty pieces."""

    type: Literal["input_json_delta"] = Field(examples=["input_json_delta"])
    """The kind of piece."""
    partial_json: str = Field(examples=['{"city": "Paris"}'])
    """All of it, as JSON text; or nothing, while it is written."""


Delta = TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockDeltaEvent(AnswerModel):
    """More of a block."""

    type: Literal["content_block_delta"] = Field(examples=["content_block_delta"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""
    delta: Delta
    """What is more."""


class BlockStopEvent(AnswerModel):
    """A block is complete."""

    type: Literal["content_block_stop"] = Field(examples=["content_block_stop"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""


class MessageEnd(AnswerModel):
    """How an answer ended."""

    stop_reason: StopReason = Field(examples=["end_turn"])
    """Why."""
    stop_sequence: str | None = Field(examples=[None])
    """The stop sequence that ended it, if one did."""


class MessageDeltaEvent(AnswerModel):
    """The answer is complete."""

    type: Literal["message_delta"] = Field(examples=["message_delta"])
    """The kind of event."""
    delta: MessageEnd
    """How it ended."""
    usage: AnthropicUsage
    """Token counts of all of it."""


class MessageStopEvent(AnswerModel):
    """The stream is over."""

    type: Literal["message_stop"] = Field(examples=["message_stop"])
    """The kind of event."""


BlockEvent = BlockStartEvent | BlockDeltaEvent | BlockStopEvent
MessageEvent = MessageStartEvent | BlockEvent | MessageDeltaEvent | MessageStopEvent
MESSAGE_EVENTS: tuple[type[AnswerModel], ...] = get_args(MessageEvent)
