"""What a model may call, as `/v1/responses` offers it: functions, alone or in namespaces."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from server.hosted_tools import hosted, without_left_out
from server.schemas.request import Forgotten, Many, RequestModel, expects, kind_of, known_kinds, only, tag
from server.schemas.tools import MAX_TOOLS, FunctionDefinition, Name

KINDS = ("function", "namespace")
HOSTED = (
    "web_search", "file_search", "code_interpreter", "image_generation", "mcp", "computer", "tool_search",
    "programmatic_tool_calling",
)  # fmt: skip
"""What OpenAI's server runs; the computer's tool is the client's, but only its models know it."""


class FunctionTool(FunctionDefinition):
    """A function."""

    type: Literal["function"] = Field(examples=["function"])
    """What it is."""
    allowed_callers: Annotated[Any, only(["direct"])] = Field(default=None, examples=[["direct"]])
    """Not supported: refused unless it is the model alone."""
    output_schema: Forgotten = Field(default=None, examples=[{"type": "string"}])
    """Changes nothing here: what the function's results are like."""
    defer_loading: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""


class NamespaceTool(RequestModel):
    """Functions that belong together. The model knows them by both names, with two underscores between."""

    type: Literal["namespace"] = Field(examples=["namespace"])
    """What it is."""
    name: Name = Field(examples=["weather"])
    """The namespace of its functions' calls."""
    description: str | None = Field(default=None, examples=["All about the weather."])
    """What they are for; the model reads it with the first of them."""
    tools: Many[FunctionTool] = Field(min_length=1, max_length=MAX_TOOLS)
    """The functions."""


class NamedFunctionTool(RequestModel):
    """One of the request's functions."""

    type: Literal["function"] = Field(examples=["function"])
    """What it is."""
    name: Name = Field(examples=["get_weather"])
    """Which one."""
    namespace: Name | None = Field(default=None, examples=["weather"])
    """Its namespace, if it has one."""


class FunctionChoice(NamedFunctionTool):
    """This function must be called."""


class AllowedFunctions(RequestModel):
    """The model is shown every function, and calls no other than these: what it is shown can stay the same."""

    type: Literal["allowed_tools"] = Field(examples=["allowed_tools"])
    """What is allowed."""
    mode: Literal["auto", "required"] = Field(examples=["auto"])
    """Whether one of them must be called."""
    tools: Many[NamedFunctionTool] = Field(min_length=1, max_length=MAX_TOOLS)
    """The functions."""


ResponseToolChoice = Annotated[
    Literal["none", "auto", "required"] | FunctionChoice | AllowedFunctions,
    expects(
        '"none", "auto", "required", {"type": "function", "name": …} or '
        '{"type": "allowed_tools", "mode": …, "tools": [{"type": "function", "name": …}, …]}'
    ),
]


ResponseTool = Annotated[
    Annotated[FunctionTool, Tag(tag("function"))] | Annotated[NamespaceTool, Tag(tag("namespace"))],
    Discriminator(
        kind_of(*KINDS, untyped=lambda tool: "function"),
        custom_error_type="tool_type",
        custom_error_message="must be a tool",
    ),
    known_kinds(*KINDS, default="function"),
    hosted(*HOSTED),
]
ResponseTools = Annotated[Many[ResponseTool], Field(max_length=MAX_TOOLS), AfterValidator(without_left_out)]
"""Tools of other types are refused, hosted ones unless they are ignored."""


def qualified(namespace: str | None, name: str) -> str:
    """What the model calls a function.

    >>> qualified(None, "now"), qualified("weather", "now")
    ('now', 'weather__now')
    """
    return name if namespace is None else f"{namespace}__{name}"


def functions(tools: Sequence[ResponseTool]) -> Iterator[tuple[str | None, FunctionDefinition]]:
    """Every function with its namespace, if it has one; by the name that the request has for it."""
    for tool in tools:
        if isinstance(tool, NamespaceTool):
            first, *others = tool.tools
            told = " ".join(text for text in (tool.description, first.description) if text) or None
            yield tool.name, first.model_copy(update={"description": told})
            yield from ((tool.name, each) for each in others)
        else:
            yield None, tool
