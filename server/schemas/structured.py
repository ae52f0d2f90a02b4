"""What an answer must look like: OpenAI's `response_format`, and the extension `structured_outputs`."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from engine.prompt.grammar import ANY_OBJECT
from server.schemas.request import RequestModel
from server.schemas.tools import Name


def parsed(schema: Any) -> Any:
    """A JSON schema may also come as text."""
    try:
        return json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("json", "must be a JSON schema") from error


class JsonSchema(RequestModel):
    """Unless `strict`, keywords that no grammar can express are overlooked, not refused."""

    name: Name
    description: str | None = None
    body: dict[str, Any] = Field(default_factory=lambda: dict(ANY_OBJECT), alias="schema")
    strict: bool = False


class ResponseFormat(RequestModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise PydanticCustomError("json_schema", "json_schema goes with type json_schema")
        return self


class StructuredOutputs(RequestModel):
    """Exactly one of them. `regex` is in the syntax of Rust's `regex` crate, `grammar` in llguidance's Lark."""

    json_schema: Annotated[dict[str, Any], BeforeValidator(parsed)] | None = Field(None, alias="json")
    json_object: Literal[True] | None = None
    regex: str | None = None
    choice: list[str] | None = Field(None, min_length=1)
    grammar: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "StructuredOutputs":
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("structured_outputs", "give one of json, json_object, regex, choice, grammar")
        return self
