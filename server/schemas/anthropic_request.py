"""The requests of `/v1/messages` and `/v1/messages/count_tokens`."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from server.schemas.anthropic_blocks import Texts, Turns
from server.schemas.anthropic_tools import AnthropicToolChoice, AnthropicTools
from server.schemas.chat import ToldDate
from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, only
from server.schemas.sampling import MAX_COUNT, SamplingFields


class Thinking(RequestModel):
    """Whether the model reasons, and whether the answer shows the reasoning."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"] = Field(examples=["adaptive"])
    """disabled answers without reasoning; all others are the same here."""
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT, examples=[4096])
    """Sets the effort if `output_config` has none: below 4,096 low, below 16,384 medium, otherwise high."""
    display: Literal["summarized", "updates", "omitted"] = Field(default="summarized", examples=["summarized"])
    """omitted sends the reasoning only in the block's signature; the others send it as it is."""


class OutputFormat(RequestModel):
    """The format of the answer."""

    type: Literal["json_schema"] = Field(examples=["json_schema"])
    """The answer is a JSON object that follows the schema."""
    body: dict[str, Any] = Field(
        alias="schema",
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}],
    )
    """The JSON schema."""


class OutputConfig(RequestModel):
    """The model's effort and the answer's format."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(default=None, examples=["low"])
    """How much the model reasons before it answers; xhigh and max are the same as high."""
    format: OutputFormat | None = None
    """The format of the answer."""


class ContextEdit(RequestModel):
    """An edit of old parts of the conversation."""

    type: Literal["clear_thinking_20251015"] = Field(examples=["clear_thinking_20251015"])
    """Clears old reasoning. Changes nothing here: the model sees reasoning until a final answer follows."""
    keep: Forgotten = Field(default=None, examples=["all"])
    """Changes nothing here."""


class ContextManagement(RequestModel):
    """Edits of old parts of the conversation."""

    edits: Many[ContextEdit] = Field(default_factory=list, examples=[[]])
    """The edits."""


class AnthropicPrompt(RequestModel):
    """The prompt of an answer."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the served model; by default the first."""
    messages: Turns
    """The conversation so far. To be answered, its last message, apart from the system's, must be the user's: the
    beginning of the answer cannot be given."""
    system: Texts = Field(default_factory=list, examples=["Be brief."])
    """Instructions before the conversation: a text, or blocks of text."""
    tools: AnthropicTools = Field(default_factory=list)
    """The functions that the model may call."""
    tool_choice: AnthropicToolChoice = Field(default=AnthropicToolChoice(type="auto"), examples=[{"type": "auto"}])
    """Whether the model must call a function."""
    thinking: Thinking | None = Field(default=None, examples=[{"type": "adaptive"}])
    """Whether the model reasons. By default it does, and the answer shows the reasoning only if there are tools."""
    output_config: OutputConfig = Field(default=OutputConfig(), examples=[{"effort": "low"}])
    """How much the model reasons, and the format of the answer."""
    current_date: ToldDate = None

    output_format: OutputFormat | None = None
    """The old name of `output_config.format`."""
    cache_control: CacheControl = None
    context_management: ContextManagement | None = Field(default=None, examples=[{"edits": []}])
    """Edits of old parts of the conversation: only edits of the reasoning are supported."""
    speed: Literal["standard", "fast"] | None = Field(default=None, examples=["standard"])
    """Changes nothing here."""
    mcp_servers: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""


class AnthropicRequest(AnthropicPrompt, SamplingFields):
    """A conversation to answer, in Anthropic's form."""

    max_tokens: int = Field(ge=1, le=MAX_COUNT, examples=[256])
    """The longest answer in tokens, reasoning included. The end of the context cuts it off earlier."""
    stop_sequences: Many[str] = Field(default_factory=list, examples=[["END"]])
    """Strings that end the answer; the answer does not include them. Reasoning is not searched for them."""
    stop: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: use `stop_sequences`."""
    diagnostics: Forgotten = Field(default=None, examples=[{}])
    """Changes nothing here."""
    inference_geo: str | None = Field(default=None, examples=["eu"])
    """Changes nothing here."""
    container: Annotated[Any, only()] = Field(default=None, examples=[None])
    """Not supported."""

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(cls, value: Turns) -> Turns:
        said = [turn.role for turn in value if turn.role != "system"]
        if not said or said[-1] == "assistant":
            raise PydanticCustomError("messages", "the last message must be from the user")
        return value
