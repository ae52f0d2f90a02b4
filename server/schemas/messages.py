"""The messages of a conversation in requests."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, only

MAX_MESSAGES = 16_384
"""An average of eight tokens each in a context of 131,072 tokens."""
Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextParts:
    """For content that is a string, or a list of text parts of these types or refusals, which are joined as lines."""

    kinds: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.joined, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        parts = [_part(kind, "text") for kind in self.kinds] + [_part("refusal", "refusal")]
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": parts}}]}

    def joined(self, content: Any) -> Any:
        if not isinstance(content, list):
            return content
        texts = []
        for at, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            text = part.get("refusal" if kind == "refusal" else "text") if kind in (*self.kinds, "refusal") else None
            if not isinstance(text, str):
                raise PydanticCustomError(
                    "content_part",
                    "part {at} is not supported: only parts of type {kinds} are",
                    {"at": at, "kinds": " or ".join(self.kinds)},
                )
            texts.append(text)
        return "\n".join(texts)


def _part(kind: str, field: str) -> JsonSchemaValue:
    properties = {"type": {"const": kind}, field: {"type": "string"}}
    return {"type": "object", "properties": properties, "required": ["type", field]}


Content = Annotated[str, TextParts(("text",))]


class FunctionCall(RequestModel):
    """A function and its arguments."""

    name: str = Field(examples=["get_weather"])
    """The function's name."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments, as JSON text."""
    parsed_arguments: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """The arguments as OpenAI's helpers parsed them; changes nothing here."""


class PastToolCall(RequestModel):
    """A call that an earlier answer made."""

    id: str = Field(examples=["call_1"])
    """The id that the result refers to."""
    type: Literal["function"] = Field(default="function", examples=["function"])
    """The kind of call."""
    function: FunctionCall
    """The function and its arguments."""
    index: int | None = Field(default=None, examples=[0])
    """The call's number, left there by helpers for streams; changes nothing here."""
    extra_content: Forgotten = Field(default=None, examples=[None])
    """Other fields of a call, kept by Google's clients; changes nothing here."""


class Message(RequestModel):
    """One message of any role."""

    role: Role = Field(examples=["user"])
    """The author of the message."""
    content: Content | None = Field(default=None, examples=["Who are you?", [{"type": "text", "text": "Who are you?"}]])
    """The content: a text, or parts of text. An assistant's or a tool's message may have none."""
    name: str | None = Field(default=None, examples=["Anna"])
    """The author's name. Changes nothing here: the prompts of these models have no names."""
    reasoning: Content | None = Field(default=None, examples=["They greet me."])
    """Reasoning of an earlier answer. The model sees it until a final answer follows."""
    reasoning_content: Content | None = Field(default=None, examples=["They greet me."])
    """Another name of `reasoning`."""
    tool_calls: Many[PastToolCall] | None = Field(
        default=None, examples=[[{"id": "call_1", "function": {"name": "get_weather", "arguments": "{}"}}]]
    )
    """The calls that an earlier answer made."""
    tool_call_id: str | None = Field(default=None, examples=["call_1"])
    """In a tool's message: the id of the call whose result it is."""
    refusal: str | None = Field(default=None, examples=[None])
    """The refusal of an earlier answer; used if there is no content."""
    parsed: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """An earlier answer as OpenAI's helpers parsed it; changes nothing here."""
    id: str | None = Field(default=None, examples=["msg_1"])
    """A client's id for the message; changes nothing here."""
    provider_specific_fields: Forgotten = Field(default=None, examples=[{"refusal": None}])
    """Other fields of an answer, kept by LiteLLM; changes nothing here."""
    type: Literal["message"] | None = Field(default=None, examples=["message"])
    """Changes nothing here."""
    cache_control: CacheControl = None
    reasoning_details: Forgotten = Field(default=None, examples=[[]])
    """Changes nothing here: `reasoning` in the form of other servers."""
    thinking_blocks: Forgotten = Field(default=None, examples=[[]])
    """Changes nothing here: `reasoning` in the form of other servers."""
    images: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""
    annotations: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""

    @model_validator(mode="after")
    def _says_something(self) -> "Message":
        if self.content is None and self.role not in ("assistant", "tool"):
            raise PydanticCustomError("content", "a {role} message needs content", {"role": self.role})
        if self.role == "tool" and self.tool_call_id is None:
            raise PydanticCustomError("tool_call_id", "a tool message needs a tool_call_id")
        return self


Messages = Annotated[Many[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
