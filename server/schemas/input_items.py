"""A conversation in the form of `/v1/responses`: items. An answer's items can be sent back unchanged."""

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
    """The fields that every item may have."""

    id: str | None = Field(default=None, examples=["msg_1"])
    """The item's id, if it comes from an answer."""
    status: Status | None = Field(default=None, examples=["completed"])
    """The item's state when it was received; changes nothing here."""


class PastMessage(PastItem):
    """A message of any role."""

    type: Literal["message"] = Field(default="message", examples=["message"])
    """The kind of item; this is the default."""
    role: Literal["system", "developer", "user", "assistant"] = Field(examples=["user"])
    """The author of the message."""
    content: ItemText = Field(examples=["Who are you?", [{"type": "input_text", "text": "Who are you?"}]])
    """The content: a text, or parts of text."""
    phase: Phase | None = Field(default=None, examples=["final_answer"])
    """Whether the message is a preamble or the answer; changes nothing here."""


class SummaryPart(RequestModel):
    """A part of a summary of reasoning."""

    type: Literal["summary_text"] = Field(examples=["summary_text"])
    """The kind of part."""
    text: str = Field(examples=["They greet."])
    """The text."""


class PastReasoning(PastItem):
    """Reasoning of an earlier answer. The model sees it until a final answer follows."""

    type: Literal["reasoning"] = Field(examples=["reasoning"])
    """The kind of item."""
    summary: Annotated[Many[SummaryPart], AfterValidator(forget)] = Field(default_factory=list, examples=[[]])
    """Changes nothing here: the whole reasoning is used."""
    content: ReasoningText | None = Field(
        default=None, examples=[[{"type": "reasoning_text", "text": "They ask who I am."}]]
    )
    """The reasoning."""
    encrypted_content: str | None = Field(default=None, examples=[None])
    """The reasoning, as an answer includes it on request; read if there is no `content`."""


class PastFunctionCall(PastItem):
    """A call that an earlier answer made."""

    type: Literal["function_call"] = Field(examples=["function_call"])
    """The kind of item."""
    call_id: str = Field(examples=["call_1"])
    """The id that the result refers to."""
    name: str = Field(examples=["get_weather"])
    """The function's name."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """The function's namespace, if it has one."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments, as JSON text."""
    parsed_arguments: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """The arguments as OpenAI's helpers parsed them; changes nothing here."""


class FunctionResult(PastItem):
    """The result of a call."""

    type: Literal["function_call_output"] = Field(examples=["function_call_output"])
    """The kind of item."""
    call_id: str = Field(examples=["call_1"])
    """The id of the call."""
    output: ItemText = Field(examples=["18 degrees"])
    """The result: a text, or parts of text."""
    name: str | None = Field(default=None, examples=["get_weather"])
    """Changes nothing here: the call has it."""
    namespace: str | None = Field(default=None, examples=["weather"])
    """Changes nothing here: the call has it."""


class ItemReference(RequestModel):
    """A reference to an item of a kept answer."""

    type: Literal["item_reference"] = Field(default="item_reference", examples=["item_reference"])
    """The kind of item; this is the default for an item with nothing but an id."""
    id: str = Field(examples=["msg_1"])
    """The item's id."""


def as_items(given: Any) -> Any:
    """Turns a string into a message of the user."""
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise PydanticCustomError("input", "must be a non-empty string or a list of items")
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
