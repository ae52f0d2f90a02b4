"""Functions that a model may call, as requests offer them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.schemas.request import CacheControl, Many, RequestModel, expects

MAX_TOOLS = 1024
"""Agents with many servers of tools send hundreds."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type", "object") != "object":
        raise PydanticCustomError("schema", "must be a JSON schema of type object")
    return schema


ObjectSchema = Annotated[dict[str, Any], AfterValidator(of_an_object)]


class FunctionDefinition(RequestModel):
    """`parameters` is the JSON schema of an object; without it the function takes none. With `strict` a call's
    arguments always follow it.
    """

    name: Name = Field(examples=["get_weather"])
    """What the model calls it."""
    description: str | None = Field(default=None, examples=["The weather in a city, now."])
    """What it does, and when to call it."""
    parameters: ObjectSchema | None = Field(
        default=None,
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}],
    )
    """The JSON schema of its arguments, an object."""
    strict: bool = Field(default=False, examples=[True])
    """Calls follow the schema, whatever the model would write."""


class Tool(RequestModel):
    """Something the model may call."""

    type: Literal["function"] = Field(examples=["function"])
    """What it is."""
    function: FunctionDefinition
    """The function."""
    cache_control: CacheControl = None


class NamedFunction(RequestModel):
    """A function by its name."""

    name: Name = Field(examples=["get_weather"])
    """One of the request's functions."""


class NamedTool(RequestModel):
    """One of the request's functions."""

    type: Literal["function"] = Field(examples=["function"])
    """What it is."""
    function: NamedFunction
    """Which one."""


class NamedToolChoice(NamedTool):
    """This function must be called."""


class AllowedTools(RequestModel):
    """Some of the request's functions."""

    mode: Literal["auto", "required"] = Field(examples=["auto"])
    """Whether one of them must be called."""
    tools: Many[NamedTool] = Field(min_length=1, max_length=MAX_TOOLS)
    """Which ones."""


class AllowedToolsChoice(RequestModel):
    """The model is shown every function, and calls no other than these: what it is shown can stay the same."""

    type: Literal["allowed_tools"] = Field(examples=["allowed_tools"])
    """What is allowed."""
    allowed_tools: AllowedTools
    """The functions."""


ToolChoice = Annotated[
    Literal["none", "auto", "required"] | NamedToolChoice | AllowedToolsChoice,
    expects(
        '"none", "auto", "required", {"type": "function", "function": {"name": …}} or '
        '{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": [{"type": "function", "function": …}, …]}}'
    ),
]


def named_tools(choice: ToolChoice) -> Sequence[NamedTool]:
    """The functions that a choice names."""
    if isinstance(choice, AllowedToolsChoice):
        return choice.allowed_tools.tools
    return [choice] if isinstance(choice, NamedToolChoice) else []
