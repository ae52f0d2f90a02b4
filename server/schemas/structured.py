"""What an answer must look like: OpenAI's `response_format`, and the extension `structured_outputs`."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from engine.prompt.grammar import ANY_OBJECT
from server.schemas.request import Many, RequestModel
from server.schemas.tools import Name

NAMELESS = "answer"
"""What a schema is called that has no name: the model is told one."""
OBJECT_OR_TEXT = {"anyOf": [{"type": "object"}, {"type": "string"}]}


def parsed(schema: Any) -> Any:
    """A JSON schema may also come as text."""
    try:
        return json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("json", "must be a JSON schema") from error


class JsonSchema(RequestModel):
    """Unless `strict`, keywords that no grammar can express are overlooked, not refused."""

    name: Name = Field(examples=["city"])
    """What the model is told it is called."""
    description: str | None = Field(default=None, examples=["A city and its country."])
    """What the model is told it is for."""
    body: dict[str, Any] = Field(
        default_factory=lambda: dict(ANY_OBJECT),
        alias="schema",
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}],
    )
    """The JSON schema; any object, if not given."""
    strict: bool = Field(default=False, examples=[True])
    """Refuses a schema that cannot be followed to the letter."""


class ResponseFormat(RequestModel):
    """OpenAI's way to ask for JSON."""

    type: Literal["text", "json_object", "json_schema"] = Field(examples=["json_object"])
    """Any text, any JSON object, or what follows `json_schema`."""
    json_schema: JsonSchema | None = None
    """The schema; goes with type json_schema."""
    bare_schema: dict[str, Any] | None = Field(default=None, alias="schema", examples=[{"type": "object"}])
    """The schema alone, as llama.cpp has it, with type json_schema or json_object."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        given = (self.json_schema is not None) + (self.bare_schema is not None)
        if given > (self.type != "text") or (self.type == "json_schema" and not given):
            raise PydanticCustomError("json_schema", "one schema goes with type json_schema")
        if self.json_schema is not None and self.type == "json_object":
            raise PydanticCustomError("json_schema", "json_schema goes with type json_schema")
        return self

    @property
    def schema_told(self) -> JsonSchema | None:
        """The schema, from wherever it is told."""
        if self.bare_schema is None:
            return self.json_schema
        return JsonSchema.model_validate({"name": NAMELESS, "schema": self.bare_schema})


class StructuredOutputs(RequestModel):
    """Exactly one of them. `regex` is in the syntax of Rust's `regex` crate, `grammar` in llguidance's Lark."""

    json_schema: Annotated[dict[str, Any], BeforeValidator(parsed), WithJsonSchema(OBJECT_OR_TEXT)] | None = Field(
        default=None, alias="json", examples=[{"type": "object", "properties": {"name": {"type": "string"}}}]
    )
    """A JSON schema, as an object or as text."""
    json_object: Literal[True] | None = Field(default=None, examples=[True])
    """Any JSON object."""
    regex: str | None = Field(default=None, examples=["[0-9]{4}-[0-9]{2}-[0-9]{2}"])
    """A regular expression for the whole answer."""
    choice: Many[str] | None = Field(default=None, min_length=1, examples=[["yes", "no"]])
    """One of these texts."""
    grammar: str | None = Field(default=None, examples=['start: "yes" | "no"'])
    """A Lark grammar."""

    @model_validator(mode="after")
    def _is_one(self) -> "StructuredOutputs":
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("structured_outputs", "give one of json, json_object, regex, choice, grammar")
        return self
