"""A conversation as `/v1/responses` has it: items, of which an answer's may be sent back as they came."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from server.schemas.messages import MAX_MESSAGES, TextParts
from server.schemas.request import Forgotten, Many, RequestModel, forget, kind_of, known_kinds, tag

Status = Literal["in_progress", "completed", "incomplete"]
Phase = Literal["commentary", "final_answer"]
KINDS = ("message", "reasoning", "function_call", "function_call_output", "item_reference")

ItemText = Annotated[str, TextParts(("input_text", "output_text"))]
ReasoningText = Annotated[str, TextParts(("reasoning_text", "text"))]


class PastItem(RequestModel):
    """What every item may have."""

    id: str | None = Field(default=None, examples=["msg_1"])
    """The item's name, if it has been in an answer."""
    status: Status | None = Field(default=None, examples=["completed"])
    """Changes nothing here: how far the item was when it came."""


class PastMessage(PastItem):
    """A message of any role."""

    type: Literal["message"] = Field(default="message", examples=["message"])
    """The kind of item; this one, if not given."""
    role: Literal["system", "developer", "user", "assistant"] = Field(examples=["user"])
    """Who says it."""
    content: ItemText = Field(examples=["Who are you?", [{"type": "input_text", "text": "Who are you?"}]])
    """What is said: a text, or parts of text."""
    phase: Phase | None = Field(default=None, examples=["final_answer"])
    """Changes nothing here: whether the assistant was on its way or at its end."""


class SummaryPart(RequestModel):
    """A part of a summary."""

    type: Literal["summary_text"] = Field(examples=["summary_text"])
    """The kind of part."""
    text: str = Field(examples=["They greet."])
    """What it says."""


class PastReasoning(PastItem):
    """An earlier answer's reasoning. It is shown to the model while no final answer has followed it."""

    type: Literal["reasoning"] = Field(examples=["reasoning"])
    """The kind of item."""
    summary: Annotated[Many[SummaryPart], AfterValidator(forget)] = Field(default_factory=list, examples=[[]])
    """Changes nothing here: the whole reasoning is used."""
    content: ReasoningText | None = Field(
        default=None, examples=[[{"type": "reasoning_text", "text": "They ask who I am."}]]
    )
    """The reasoning itself."""
    encrypted_content: str | None = Field(default=None, examples=[None])
    """The same, as an answer had it that was asked to include it; read if there is no `content`."""


class PastFunctionCall(PastItem):
    """A call that an earlier answer made."""

    type: Literal["function_call"] = Field(examples=["function_call"])
    """The kind of item."""
    call_id: str = Field(examples=["call_1"])
    """The name that its result refers to."""
    name: str = Field(examples=["get_weather"])
    """Which function."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """The namespace of that function, if it has one."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments, as JSON text."""
    parsed_arguments: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """What OpenAI's helpers made of them; changes nothing here."""


class FunctionResult(PastItem):
    """What a call gave."""

    type: Literal["function_call_output"] = Field(examples=["function_call_output"])
    """The kind of item."""
    call_id: str = Field(examples=["call_1"])
    """The call that it is the result of."""
    output: ItemText = Field(examples=["18 degrees"])
    """The result: a text, or parts of text."""
    name: str | None = Field(default=None, examples=["get_weather"])
    """Changes nothing here: the call says it."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """Changes nothing here: the call says it."""


class ItemReference(RequestModel):
    """An item of an answer that the server keeps."""

    type: Literal["item_reference"] = Field(default="item_reference", examples=["item_reference"])
    """The kind of item; this one, if nothing but an id is given."""
    id: str = Field(examples=["msg_1"])
    """The item's name."""


def as_items(given: Any) -> Any:
    """A text is a user's message."""
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise PydanticCustomError("input", "must be a text, and not empty, or a list of items")
    return given


def untyped(item: dict[str, Any]) -> str:
    """An item without a type is a message, or with nothing but an id a reference."""
    return "item_reference" if item.keys() <= {"id", "type"} else "message"


Item = PastMessage | PastReasoning | PastFunctionCall | FunctionResult
InputItem = Annotated[
    Annotated[PastMessage, Tag(tag("message"))]
    | Annotated[PastReasoning, Tag(tag("reasoning"))]
    | Annotated[PastFunctionCall, Tag(tag("function_call"))]
    | Annotated[FunctionResult, Tag(tag("function_call_output"))]
    | Annotated[ItemReference, Tag(tag("item_reference"))],
    Discriminator(
        kind_of(*KINDS, untyped=untyped), custom_error_type="item_type", custom_error_message="must be an item"
    ),
    known_kinds(*KINDS, default="message"),
]
Text = Annotated[str, Field(min_length=1)]
Items = Annotated[Many[InputItem], Field(max_length=MAX_MESSAGES)]
Input = Annotated[Items, BeforeValidator(as_items, json_schema_input_type=Text | Items)]
