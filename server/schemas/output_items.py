"""What an answer of `/v1/responses` consists of: reasoning, messages, calls."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel
from server.schemas.chat_answer import TokenLogprob
from server.schemas.input_items import Phase, Status


class ReasoningPart(AnswerModel):
    """The text of a reasoning."""

    type: Literal["reasoning_text"] = Field(examples=["reasoning_text"])
    """The kind of part."""
    text: str = Field(examples=["They ask who I am."])
    """What the model thought."""


class SummaryText(AnswerModel):
    """The text of a reasoning, as its own summary."""

    type: Literal["summary_text"] = Field(examples=["summary_text"])
    """The kind of part."""
    text: str = Field(examples=["They ask who I am."])
    """What the model thought."""


class TextPart(AnswerModel):
    """The text of a message."""

    type: Literal["output_text"] = Field(examples=["output_text"])
    """The kind of part."""
    text: str = Field(examples=["I am a small model."])
    """What the model says."""
    annotations: list[str] = Field(examples=[[]])
    """Always empty: of what hosted tools find."""
    logprobs: list[TokenLogprob]
    """Of the text's tokens, if asked for."""


class ReasoningItem(AnswerModel):
    """What the model thought."""

    type: Literal["reasoning"] = Field(examples=["reasoning"])
    """The kind of item."""
    id: str = Field(examples=["rs_1"])
    """Its name."""
    status: Status = Field(examples=["completed"])
    """Whether it is under way, over, or was cut off."""
    summary: list[SummaryText] = Field(examples=[[]])
    """The same text, if asked for."""
    content: list[ReasoningPart]
    """The text, in one part."""
    encrypted_content: str | None = Field(default=None, examples=[None])
    """The text in a form to send back, if asked for."""


class MessageItem(AnswerModel):
    """What the model says."""

    type: Literal["message"] = Field(examples=["message"])
    """The kind of item."""
    id: str = Field(examples=["msg_1"])
    """Its name."""
    status: Status = Field(examples=["completed"])
    """Whether it is under way, over, or was cut off."""
    role: Literal["assistant"] = Field(examples=["assistant"])
    """Whose message it is."""
    phase: Phase = Field(examples=["final_answer"])
    """Whether it is the answer, or said on the way to it."""
    content: list[TextPart]
    """The text, in one part."""


class FunctionCallItem(AnswerModel):
    """A call for the client to make."""

    type: Literal["function_call"] = Field(examples=["function_call"])
    """The kind of item."""
    id: str = Field(examples=["fc_1"])
    """Its name."""
    status: Status = Field(examples=["completed"])
    """Whether it is under way, over, or was cut off."""
    call_id: str = Field(examples=["call_1"])
    """The call's name, for the result to refer to."""
    name: str = Field(examples=["get_weather"])
    """Which function."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """Its namespace, if it has one."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """What the model wrote, which need not be JSON unless a grammar made it so."""


OutputItem = ReasoningItem | MessageItem | FunctionCallItem
