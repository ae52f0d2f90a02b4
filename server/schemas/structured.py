"""The format of an answer: OpenAI's `response_format`, and the extension `structured_outputs`."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from engine.prompt.grammar import ANY_OBJECT
from server.schemas.request import Many, RequestModel
from server.schemas.tools import Name

NAMELESS = "answer"
"""The name of a schema that has none; the model is told it."""
OBJECT_OR_TEXT = {"anyOf": [{"type": "object"}, {"type": "string"}]}


def parsed(schema: Any) -> Any:
    """Parses a JSON schema that is given as text."""
    try:
        return json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("json", "must be a JSON schema") from error


class JsonSchema(RequestModel):
    """A named schema. Unless `strict`, keywords that no grammar can express are ignored."""

    name: Name = Field(examples=["city"])
    """The schema's name, which the model is told."""
    description: str | None = Field(default=None, examples=["A city and its country."])
    """The schema's purpose, which the model is told."""
    body: dict[str, Any] = Field(
        default_factory=lambda: dict(ANY_OBJECT),
        alias="schema",
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}],
    )
    """The JSON schema; by default any object."""
    strict: bool = Field(default=False, examples=[True])
    """Refuses a schema with keywords that cannot be enforced."""


class ResponseFormat(RequestModel):
    """The format of the answer, in OpenAI's form."""

    type: Literal["text", "json_object", "json_schema"] = Field(examples=["json_object"])
    """Any text, any JSON object, or JSON that follows the schema."""
    json_schema: JsonSchema | None = None
    """The schema, for type json_schema."""
    bare_schema: dict[str, Any] | None = Field(default=None, alias="schema", examples=[{"type": "object"}])
    """The schema alone, in llama.cpp's form, for type json_schema or json_object."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        given = (self.json_schema is not None) + (self.bare_schema is not None)
        if given > (self.type != "text") or (self.type == "json_schema" and not given):
            raise PydanticCustomError("json_schema", "type json_schema needs exactly one schema, type text none")
        if self.json_schema is not None and self.type == "json_object":
            raise PydanticCustomError("json_schema", "json_schema needs type json_schema")
        return self

    @property
    def schema_told(self) -> JsonSchema | None:
        """The schema, from whichever field has it."""
        if self.bare_schema is None:
            return self.json_schema
        return JsonSchema.model_validate({"name": NAMELESS, "schema": self.bare_schema})


class StructuredOutputs(RequestModel):
    """The format of the answer: exactly one of the fields."""

    json_schema: Annotated[dict[str, Any], BeforeValidator(parsed), WithJsonSchema(OBJECT_OR_TEXT)] | None = Field(
        default=None, alias="json", examples=[{"type": "object", "properties": {"name": {"type": "string"}}}]
    )
    """A JSON schema, as an object or as text."""
    json_object: Literal[True] | None = Field(default=None, examples=[True])
    """Any JSON object."""
    regex: str | None = Field(default=None, examples=["[0-9]{4}-[0-9]{2}-[0-9]{2}"])
    """A regular expression for the whole answer, in the syntax of Rust's `regex` crate."""
    choice: Many[str] | None = Field(default=None, min_length=1, examples=[["yes", "no"]])
    """The answer is one of these texts."""
    grammar: str | None = Field(default=None, examples=['start: "yes" | "no"'])
    """A grammar in llguidance's dialect of Lark."""

    @model_validator(mode="after")
    def _is_one(self) -> "StructuredOutputs":
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("structured_outputs", "give one of json, json_object, regex, choice, grammar")
        return self
