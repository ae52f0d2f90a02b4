"""The events of a streamed answer of `/v1/messages`.

`message_start`, then each block from `content_block_start` to `content_block_stop`, then `message_delta` and
`message_stop`. An `error` can come at any point and ends the stream.
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
    """The message, still empty."""


class BlockStartEvent(AnswerModel):
    """A block begins."""

    type: Literal["content_block_start"] = Field(examples=["content_block_start"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""
    content_block: AnsweredBlock
    """The block, still empty."""


class TextDelta(AnswerModel):
    """The next piece of a text."""

    type: Literal["text_delta"] = Field(examples=["text_delta"])
    """The kind of piece."""
    text: str = Field(examples=["I am"])
    """The piece."""


class ThinkingDelta(AnswerModel):
    """The next piece of reasoning."""

    type: Literal["thinking_delta"] = Field(examples=["thinking_delta"])
    """The kind of piece."""
    thinking: str = Field(examples=["They ask"])
    """The piece."""


class SignatureDelta(AnswerModel):
    """The signature of a thinking block."""

    type: Literal["signature_delta"] = Field(examples=["signature_delta"])
    """The kind of piece."""
    signature: str = Field(examples=["carousel:"])
    """The whole signature."""


class InputDelta(AnswerModel):
    """The input of a call: empty pieces while the model writes it, then all of it."""

    type: Literal["input_json_delta"] = Field(examples=["input_json_delta"])
    """The kind of piece."""
    partial_json: str = Field(examples=['{"city": "Paris"}'])
    """The whole input as JSON text, or an empty string."""


Delta = TextDelta | ThinkingDelta | SignatureDelta | InputDelta


class BlockDeltaEvent(AnswerModel):
    """The next piece of a block."""

    type: Literal["content_block_delta"] = Field(examples=["content_block_delta"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""
    delta: Delta
    """The piece."""


class BlockStopEvent(AnswerModel):
    """A block is complete."""

    type: Literal["content_block_stop"] = Field(examples=["content_block_stop"])
    """The kind of event."""
    index: int = Field(examples=[0])
    """The block's number in the answer."""


class MessageEnd(AnswerModel):
    """The end of an answer."""

    stop_reason: StopReason = Field(examples=["end_turn"])
    """Why the answer ended."""
    stop_sequence: str | None = Field(examples=[None])
    """The stop sequence that ended the answer, if one did."""


class MessageDeltaEvent(AnswerModel):
    """The answer is complete."""

    type: Literal["message_delta"] = Field(examples=["message_delta"])
    """The kind of event."""
    delta: MessageEnd
    """How the answer ended."""
    usage: AnthropicUsage
    """Token counts of the whole answer."""


class MessageStopEvent(AnswerModel):
    """The stream is over."""

    type: Literal["message_stop"] = Field(examples=["message_stop"])
    """The kind of event."""


BlockEvent = BlockStartEvent | BlockDeltaEvent | BlockStopEvent
MessageEvent = MessageStartEvent | BlockEvent | MessageDeltaEvent | MessageStopEvent
MESSAGE_EVENTS: tuple[type[AnswerModel], ...] = get_args(MessageEvent)
