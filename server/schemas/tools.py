"""The functions that a request offers to the model."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.schemas.request import CacheControl, Many, RequestModel, expects

MAX_TOOLS = 1024
"""Agents that use many tool servers send hundreds."""

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type", "object") != "object":
        raise PydanticCustomError("schema", "must be a JSON schema of type object")
    return schema


ObjectSchema = Annotated[dict[str, Any], AfterValidator(of_an_object)]


class FunctionDefinition(RequestModel):
    """A function that the model may call."""

    name: Name = Field(examples=["get_weather"])
    """The function's name."""
    description: str | None = Field(default=None, examples=["The weather in a city, now."])
    """What the function does, and when to call it."""
    parameters: ObjectSchema | None = Field(
        default=None,
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}],
    )
    """The JSON schema of the arguments, an object; by default the function takes none."""
    strict: bool = Field(default=False, examples=[True])
    """Constrains calls to the schema."""


class Tool(RequestModel):
    """A tool that the model may call."""

    type: Literal["function"] = Field(examples=["function"])
    """The kind of tool."""
    function: FunctionDefinition
    """The function."""
    cache_control: CacheControl = None


class NamedFunction(RequestModel):
    """The name of a function."""

    name: Name = Field(examples=["get_weather"])
    """One of the request's functions."""


class NamedTool(RequestModel):
    """One of the request's functions."""

    type: Literal["function"] = Field(examples=["function"])
    """The kind of tool."""
    function: NamedFunction
    """The function."""


class NamedToolChoice(NamedTool):
    """Requires a call of this function."""


class AllowedTools(RequestModel):
    """Some of the request's functions."""

    mode: Literal["auto", "required"] = Field(examples=["auto"])
    """auto allows calls of these functions, required requires one."""
    tools: Many[NamedTool] = Field(min_length=1, max_length=MAX_TOOLS)
    """The functions."""


class AllowedToolsChoice(RequestModel):
    """The model sees every function but may call only these, so that the prompt can stay the same."""

    type: Literal["allowed_tools"] = Field(examples=["allowed_tools"])
    """The kind of choice."""
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
    """The functions named by a choice."""
    if isinstance(choice, AllowedToolsChoice):
        return choice.allowed_tools.tools
    return [choice] if isinstance(choice, NamedToolChoice) else []
