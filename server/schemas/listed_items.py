"""What `/v1/responses/{id}/input_items` is asked, and its answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.schemas.answer import AnswerModel
from server.schemas.input_items import Status
from server.schemas.output_items import FunctionCallItem, ReasoningItem, TextPart
from server.schemas.response_request import ENCRYPTED_REASONING, Included

MAX_LISTED = 100
"""As OpenAI has it."""


class ItemsQuery(BaseModel):
    """Which of the items are listed, and how."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    limit: int = Field(default=20, ge=1, le=MAX_LISTED, examples=[20])
    """So many at most."""
    order: Literal["asc", "desc"] = Field(default="desc", examples=["asc"])
    """asc: as they were given; desc: the last one first."""
    after: str = Field(default="", examples=["msg_1"])
    """The name of the item behind which it begins: the `last_id` of the list before."""
    include: list[Included] = Field(default=[], examples=[[ENCRYPTED_REASONING]])
    """What the items are to have beside themselves: reasoning in a form to send back."""


class InputText(AnswerModel):
    """A text that somebody else than the model says."""

    type: Literal["input_text"] = Field(examples=["input_text"])
    """The kind of part."""
    text: str = Field(examples=["Who are you?"])
    """What is said."""


class ListedMessage(AnswerModel):
    """What somebody says."""

    type: Literal["message"] = Field(examples=["message"])
    """The kind of item."""
    id: str = Field(examples=["msg_1"])
    """Its name: that which it came with, or else a new one."""
    status: Status = Field(examples=["completed"])
    """As it was given; completed, if nothing was said."""
    role: Literal["system", "developer", "user", "assistant"] = Field(examples=["user"])
    """Who says it."""
    content: list[InputText | TextPart]
    """The text, in one part."""


class ListedResult(AnswerModel):
    """What a call gave."""

    type: Literal["function_call_output"] = Field(examples=["function_call_output"])
    """The kind of item."""
    id: str = Field(examples=["fco_1"])
    """Its name: that which it came with, or else a new one."""
    status: Status = Field(examples=["completed"])
    """As it was given; completed, if nothing was said."""
    call_id: str = Field(examples=["call_1"])
    """The call that it is the result of."""
    output: str = Field(examples=["18 degrees"])
    """The result."""


ListedItem = ListedMessage | ReasoningItem | FunctionCallItem | ListedResult


class InputItemList(AnswerModel):
    """Items that an answer was given, those of the turns before it among them."""

    object: Literal["list"] = Field(examples=["list"])
    """The kind of this object."""
    data: list[ListedItem]
    """The items."""
    first_id: str | None = Field(examples=["msg_1"])
    """The name of the first of them; null if there is none."""
    last_id: str | None = Field(examples=["msg_1"])
    """The name of the last of them; null if there is none."""
    has_more: bool = Field(examples=[False])
    """Whether there are more behind it."""
