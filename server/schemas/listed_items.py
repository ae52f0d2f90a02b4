"""The query of `/v1/responses/{id}/input_items`, and its answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.schemas.answer import AnswerModel
from server.schemas.input_items import Status
from server.schemas.output_items import FunctionCallItem, ReasoningItem, TextPart
from server.schemas.response_request import ENCRYPTED_REASONING, Included

MAX_LISTED = 100
"""OpenAI's limit."""


class ItemsQuery(BaseModel):
    """The page of items to list, and its form."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    limit: int = Field(default=20, ge=1, le=MAX_LISTED, examples=[20])
    """The most items to list."""
    order: Literal["asc", "desc"] = Field(default="desc", examples=["asc"])
    """asc lists the first item first, desc the last."""
    after: str = Field(default="", examples=["msg_1"])
    """The id of the item after which the list begins: the `last_id` of the list before."""
    include: list[Included] = Field(default=[], examples=[[ENCRYPTED_REASONING]])
    """Additions to the items: reasoning in a form to send back."""


class InputText(AnswerModel):
    """A text that is not the model's."""

    type: Literal["input_text"] = Field(examples=["input_text"])
    """The kind of part."""
    text: str = Field(examples=["Who are you?"])
    """The text itself."""


class ListedMessage(AnswerModel):
    """A message of the conversation."""

    type: Literal["message"] = Field(examples=["message"])
    """The kind of item."""
    id: str = Field(examples=["msg_1"])
    """The item's id: as it was given, or else a new one."""
    status: Status = Field(examples=["completed"])
    """As it was given; by default completed."""
    role: Literal["system", "developer", "user", "assistant"] = Field(examples=["user"])
    """The author of the message."""
    content: list[InputText | TextPart]
    """The text, in one part."""


class ListedResult(AnswerModel):
    """The result of a call."""

    type: Literal["function_call_output"] = Field(examples=["function_call_output"])
    """The kind of item."""
    id: str = Field(examples=["fco_1"])
    """The item's id: as it was given, or else a new one."""
    status: Status = Field(examples=["completed"])
    """As it was given; by default completed."""
    call_id: str = Field(examples=["call_1"])
    """The id of the call."""
    output: str = Field(examples=["18 degrees"])
    """The result."""


ListedItem = ListedMessage | ReasoningItem | FunctionCallItem | ListedResult


class InputItemList(AnswerModel):
    """Items of an answer's input, including those of the turns before it."""

    object: Literal["list"] = Field(examples=["list"])
    """The kind of this object."""
    data: list[ListedItem]
    """The items."""
    first_id: str | None = Field(examples=["msg_1"])
    """The id of the first item; null if there is none."""
    last_id: str | None = Field(examples=["msg_1"])
    """The id of the last item; null if there is none."""
    has_more: bool = Field(examples=[False])
    """Whether more items follow."""
