"""A conversation's messages, as requests carry them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, only

MAX_MESSAGES = 16_384
"""In a context of 131,072 tokens each would have eight."""
Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextParts:
    """For a content that is a string, or parts of such types (or refusals), which become its lines. Refuses others."""

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
    """A function and what it was called with."""

    name: str = Field(examples=["get_weather"])
    """Which function."""
    arguments: str = Field(examples=['{"city": "Paris"}'])
    """The arguments, as JSON text."""
    parsed_arguments: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """What OpenAI's helpers made of them; changes nothing here."""


class PastToolCall(RequestModel):
    """A call that an earlier answer made."""

    id: str = Field(examples=["call_1"])
    """The name that its result refers to."""
    type: Literal["function"] = Field(default="function", examples=["function"])
    """What is called."""
    function: FunctionCall
    """The function and its arguments."""
    index: int | None = Field(default=None, examples=[0])
    """The call's number, which a stream's helper leaves in it; changes nothing here."""
    extra_content: Forgotten = Field(default=None, examples=[None])
    """Where Google's clients keep what else a call had; changes nothing here."""


class Message(RequestModel):
    """One message of any role."""

    role: Role = Field(examples=["user"])
    """Who says it."""
    content: Content | None = Field(default=None, examples=["Who are you?", [{"type": "text", "text": "Who are you?"}]])
    """What is said: a text, or parts of text. An assistant's message may be without; a tool's is then empty."""
    name: str | None = Field(default=None, examples=["Anna"])
    """Who of that role it is. Changes nothing here: the prompt of these models has no place for it."""
    reasoning: Content | None = Field(default=None, examples=["They greet me."])
    """An earlier answer's reasoning. It is shown to the model while no final answer has followed it."""
    reasoning_content: Content | None = Field(default=None, examples=["They greet me."])
    """`reasoning` by its other name."""
    tool_calls: Many[PastToolCall] | None = Field(
        default=None, examples=[[{"id": "call_1", "function": {"name": "get_weather", "arguments": "{}"}}]]
    )
    """The calls that an earlier answer made."""
    tool_call_id: str | None = Field(default=None, examples=["call_1"])
    """Of a tool's message: the call that it is the result of."""
    refusal: str | None = Field(default=None, examples=[None])
    """An earlier answer's refusal: what was said, where there is no content."""
    parsed: Forgotten = Field(default=None, examples=[{"city": "Paris"}])
    """What OpenAI's helpers made of an earlier answer; changes nothing here."""
    id: str | None = Field(default=None, examples=["msg_1"])
    """A client's name for it; changes nothing here."""
    provider_specific_fields: Forgotten = Field(default=None, examples=[{"refusal": None}])
    """Where LiteLLM keeps what else an answer had; changes nothing here."""
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
