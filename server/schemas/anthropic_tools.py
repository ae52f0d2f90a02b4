"""The functions that a model may call, in the form of `/v1/messages`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from server.hosted_tools import hosted, without_left_out
from server.schemas.request import CacheControl, Many, RequestModel, known_kinds, only
from server.schemas.tools import MAX_TOOLS, ObjectSchema

HOSTED = ("web_search", "web_fetch", "code_execution", "tool_search_tool")
"""Tools that Anthropic's server runs."""


class ClientTool(RequestModel):
    """A function."""

    type: Literal["custom"] = Field(default="custom", examples=["custom"])
    """The kind of tool; this is the default."""
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$", examples=["get_weather"])
    """The function's name."""
    description: str | None = Field(default=None, examples=["The weather in a city, now."])
    """What the function does, and when to call it."""
    input_schema: ObjectSchema = Field(
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}]
    )
    """The JSON schema of the input, an object."""
    strict: bool = Field(default=False, examples=[True])
    """Constrains calls to the schema."""
    cache_control: CacheControl = None
    eager_input_streaming: bool | None = Field(default=None, examples=[False])
    """Changes nothing here: an input is sent once it is complete, and empty pieces before that."""
    defer_loading: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    allowed_callers: Annotated[Any, only(["direct"])] = Field(default=None, examples=[["direct"]])
    """Not supported: refused unless only the model may call it."""
    input_examples: Many[dict[str, Any]] = Field(default_factory=list, examples=[[{"city": "Paris"}]])
    """Examples of inputs, which the model sees after the description."""


AnthropicTool = Annotated[ClientTool, known_kinds("custom", default="custom"), hosted(*HOSTED)]
AnthropicTools = Annotated[Many[AnthropicTool], Field(max_length=MAX_TOOLS), AfterValidator(without_left_out)]
"""Tools of other types are refused: no model here knows one by heart; hosted ones unless they are ignored."""


class AnthropicToolChoice(RequestModel):
    """Whether the model must call a tool."""

    type: Literal["auto", "any", "tool", "none"] = Field(examples=["auto"])
    """none hides the tools, any requires a call, tool requires a call of the named tool."""
    name: str | None = Field(default=None, examples=["get_weather"])
    """The tool's name, for type tool."""
    disable_parallel_tool_use: bool = Field(default=False, examples=[False])
    """Ends the answer after its first call."""

    @model_validator(mode="after")
    def _names_a_tool(self) -> "AnthropicToolChoice":
        if (self.name is not None) != (self.type == "tool"):
            raise PydanticCustomError("tool_choice", "name is for type tool, which needs it")
        return self
