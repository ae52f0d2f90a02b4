"""What a model may call, as `/v1/messages` offers it."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.request import CacheControl, Many, RequestModel, known_kinds, only
from server.schemas.tools import ObjectSchema


class ClientTool(RequestModel):
    """A function. With `strict` a call's input always follows the schema."""

    type: Literal["custom"] = Field(default="custom", examples=["custom"])
    """What it is; this, if not given."""
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$", examples=["get_weather"])
    """What the model calls it."""
    description: str | None = Field(default=None, examples=["The weather in a city, now."])
    """What it does, and when to call it."""
    input_schema: ObjectSchema = Field(
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}]
    )
    """The JSON schema of its input, an object."""
    strict: bool = Field(default=False, examples=[True])
    """Calls follow the schema, whatever the model would write."""
    cache_control: CacheControl = None
    eager_input_streaming: bool | None = Field(default=None, examples=[False])
    """Changes nothing here: an input is sent when it is whole, and empty pieces while it is written."""
    defer_loading: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    allowed_callers: Annotated[Any, only(["direct"])] = Field(default=None, examples=[["direct"]])
    """Not supported: refused unless it is the model alone."""
    input_examples: Many[dict[str, Any]] = Field(default_factory=list, examples=[[{"city": "Paris"}]])
    """Inputs that the model is shown behind the description."""


AnthropicTool = Annotated[ClientTool, known_kinds("custom", default="custom")]
"""Tools of other types are refused: this server runs none, and knows none by heart."""


class AnthropicToolChoice(RequestModel):
    """Whether the model must call a tool."""

    type: Literal["auto", "any", "tool", "none"] = Field(examples=["auto"])
    """none shows it no tool, any makes it call one, tool makes it call the one that is named."""
    name: str | None = Field(default=None, examples=["get_weather"])
    """Of type tool: which one."""
    disable_parallel_tool_use: bool = Field(default=False, examples=[False])
    """Whether the answer ends with its first call."""

    @model_validator(mode="after")
    def _names_a_tool(self) -> "AnthropicToolChoice":
        if (self.name is not None) != (self.type == "tool"):
            raise PydanticCustomError("tool_choice", "name goes with type tool")
        return self
