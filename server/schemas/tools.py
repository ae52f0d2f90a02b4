"""Functions that a model may call, as requests offer them."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from server.schemas.request import RequestModel, expects

MAX_TOOLS = 128

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionDefinition(RequestModel):
    """`parameters` is the JSON schema of an object; without it the function takes none. With `strict` a call's
    arguments always follow it.
    """

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = False

    @field_validator("parameters")
    @classmethod
    def _is_an_object(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type", "object") != "object":
            raise PydanticCustomError("parameters", "must be a JSON schema of type object")
        return value


class Tool(RequestModel):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(RequestModel):
    name: Name


class NamedToolChoice(RequestModel):
    """This function must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Annotated[
    Literal["none", "auto", "required"] | NamedToolChoice,
    expects('"none", "auto", "required" or {"type": "function", "function": {"name": …}}'),
]
