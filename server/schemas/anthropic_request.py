"""The requests of `/v1/messages` and `/v1/messages/count_tokens`."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from server.schemas.anthropic_blocks import Texts, Turns
from server.schemas.anthropic_tools import AnthropicTool, AnthropicToolChoice
from server.schemas.chat import ToldDate
from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, only
from server.schemas.sampling import MAX_COUNT, SamplingFields
from server.schemas.tools import MAX_TOOLS


class Thinking(RequestModel):
    """Whether the model reasons, and whether its reasoning is sent."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"] = Field(examples=["adaptive"])
    """disabled answers at once; all others are the same here."""
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT, examples=[4096])
    """How long it reasons, where `output_config` has no effort: below 4,096 low, below 16,384 medium, else high."""
    display: Literal["summarized", "updates", "omitted"] = Field(default="summarized", examples=["summarized"])
    """omitted sends the reasoning in the block's signature alone; the others send it as it is."""


class OutputFormat(RequestModel):
    """What the answer must look like."""

    type: Literal["json_schema"] = Field(examples=["json_schema"])
    """An object that follows a schema."""
    body: dict[str, Any] = Field(
        alias="schema",
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}],
    )
    """The JSON schema."""


class OutputConfig(RequestModel):
    """What the answer must be like."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(default=None, examples=["low"])
    """How long the model reasons before it answers; xhigh and max are high."""
    format: OutputFormat | None = None
    """What it must look like."""


class ContextEdit(RequestModel):
    """How an old part of a conversation is shown."""

    type: Literal["clear_thinking_20251015"] = Field(examples=["clear_thinking_20251015"])
    """Of the reasoning. Changes nothing here: it is shown while no final answer has followed it."""
    keep: Forgotten = Field(default=None, examples=["all"])
    """Changes nothing here."""


class ContextManagement(RequestModel):
    """How old parts of a conversation are shown."""

    edits: Many[ContextEdit] = Field(default_factory=list, examples=[[]])
    """What is done."""


class AnthropicPrompt(RequestModel):
    """What the model is shown."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the model served; the first one, if not given."""
    messages: Turns
    """The conversation so far. For an answer its last message, the system's aside, must be the user's: the answer's
    beginning cannot be given."""
    system: Texts = Field(default_factory=list, examples=["Be brief."])
    """What the model is told before it: a text, or blocks of text."""
    tools: Many[AnthropicTool] = Field(default_factory=list, max_length=MAX_TOOLS)
    """The functions that the model may call."""
    tool_choice: AnthropicToolChoice = Field(default=AnthropicToolChoice(type="auto"), examples=[{"type": "auto"}])
    """Whether it must."""
    thinking: Thinking | None = Field(default=None, examples=[{"type": "adaptive"}])
    """Whether it reasons. Without it, it does, and its reasoning is sent only where there are tools."""
    output_config: OutputConfig = Field(default=OutputConfig(), examples=[{"effort": "low"}])
    """How long it reasons, and what its answer must look like."""
    current_date: ToldDate = None

    output_format: OutputFormat | None = None
    """`format` of `output_config` by its old name."""
    cache_control: CacheControl = None
    context_management: ContextManagement | None = Field(default=None, examples=[{"edits": []}])
    """What of the conversation is shown no longer: only edits of the reasoning are supported."""
    speed: Literal["standard", "fast"] | None = Field(default=None, examples=["standard"])
    """Changes nothing here."""
    mcp_servers: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""


class AnthropicRequest(AnthropicPrompt, SamplingFields):
    """Anthropic's way to ask for an answer to a conversation."""

    max_tokens: int = Field(ge=1, le=MAX_COUNT, examples=[256])
    """The longest answer in tokens, reasoning included. It is cut off earlier where the context ends."""
    stop_sequences: Many[str] = Field(default_factory=list, examples=[["END"]])
    """Ends the answer before any of these strings. The reasoning is not searched for them."""
    stop: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: `stop_sequences` has its place."""
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
            raise PydanticCustomError("messages", "the last message must be the user's")
        return value
