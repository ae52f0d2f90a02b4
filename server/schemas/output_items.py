"""The items of an answer of `/v1/responses`: reasoning, messages, calls."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.chat_answer import TokenLogprob
from server.schemas.input_items import Phase, Status


class ReasoningPart(AnswerModel):
    """The text of the reasoning."""

    type: Literal["reasoning_text"] = Field(examples=["reasoning_text"])
    """The kind of part."""
    text: str = Field(examples=["They ask who I am."])
    """The reasoning."""


class SummaryText(AnswerModel):
    """The text of the reasoning, as its own summary."""

    type: Literal["summary_text"] = Field(examples=["summary_text"])
    """The kind of part."""
    text: str = Field(examples=["They ask who I am."])
    """The reasoning."""


class TextPart(AnswerModel):
    """The text of a message."""

    type: Literal["output_text"] = Field(examples=["output_text"])
    """The kind of part."""
    text: str = Field(examples=["I am a small model."])
    """The text."""
    annotations: list[str] = Field(examples=[[]])
    """Always empty: sources that hosted tools find elsewhere."""
    logprobs: list[TokenLogprob]
    """Log-probabilities of the text's tokens, if requested."""


class ReasoningItem(AnswerModel):
    """Reasoning."""

    type: Literal["reasoning"] = Field(examples=["reasoning"])
    """The kind of item."""
    id: str = Field(examples=["rs_1"])
    """The item's id."""
    status: Status = Field(examples=["completed"])
    """Whether the item is in progress, complete or cut off."""
    summary: list[SummaryText] = Field(examples=[[]])
    """The same text, if requested."""
    content: list[ReasoningPart]
    """The text, in one part."""
    encrypted_content: str | None = Field(default=None, examples=[None])
    """The text in a form to send back, if requested."""


class MessageItem(AnswerModel):
    """A message of the model."""

    type: Literal["message"] = Field(examples=["message"])
    """The kind of item."""
    id: str = Field(examples=["msg_1"])
    """The item's id."""
    status: Status = Field(examples=["completed"])
    """Whether the item is in progress, complete or cut off."""
    role: Literal["assistant"] = Field(examples=["assistant"])
    """The author of the message."""
    phase: Phase = Field(examples=["final_answer"])
    """Whether the message is a preamble or the answer."""
    content: list[TextPart]
    """The text, in one part."""


class FunctionCallItem(AnswerModel):
    """A call for the client to make."""

    type: Literal["function_call"] = Field(examples=["function_call"])
    """The kind of item."""
    id: str = Field(examples=["fc_1"])
    """The item's id."""
    status: Status = Field(examples=["completed"])
    """Whether the item is in progress, complete or cut off."""
    call_id: str = Field(examples=["call_1"])
    """The call's id, for the result to refer to."""
    name: str = Field(examples=["get_weather"])
    """The function's name."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """The function's namespace, if it has one."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments as the model wrote them: only a grammar ensures that they are JSON."""


OutputItem = ReasoningItem | MessageItem | FunctionCallItem
