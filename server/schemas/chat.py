"""The request of `/v1/chat/completions`."""

from collections import Counter
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_TOP_LOGPROBS
from server.schemas.messages import Messages
from server.schemas.request import Forgotten, Many, RequestModel, only
from server.schemas.sampling import MAX_COUNT, ChoiceFields
from server.schemas.structured import ResponseFormat
from server.schemas.tools import (
    MAX_TOOLS,
    AllowedToolsChoice,
    FunctionDefinition,
    NamedToolChoice,
    Tool,
    ToolChoice,
    named_tools,
)

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""xhigh and max are the same as high: models know no higher effort."""


def _as_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise PydanticCustomError("date", "must be YYYY-MM-DD") from error


CurrentDate = Annotated[str, AfterValidator(_as_date), Field(json_schema_extra={"format": "date"})]
ToldDate = Annotated[
    CurrentDate | None,
    Field(
        examples=["2025-06-30"],
        description="The date that the model is told, YYYY-MM-DD; by default the server's --current-date, or today.",
    ),
]


class TemplateOptions(RequestModel):
    """Options of the chat template."""

    reasoning_effort: ReasoningEffort | None = Field(default=None, examples=["low"])
    """The `reasoning_effort`, if the request itself has none."""
    enable_thinking: bool | None = Field(default=None, examples=[True])
    """false sets the `reasoning_effort` none, if no other is given."""
    thinking: bool | None = Field(default=None, examples=[True])
    """Another name of `enable_thinking`."""
    add_generation_prompt: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true."""

    @property
    def effort(self) -> ReasoningEffort | None:
        """The effort that the options ask for, if any."""
        if self.reasoning_effort is None and False in (self.enable_thinking, self.thinking):
            return "none"
        return self.reasoning_effort


class ReasoningOptions(RequestModel):
    """How the model reasons, in OpenRouter's form."""

    effort: ReasoningEffort | None = Field(default=None, examples=["low"])
    """The `reasoning_effort`, if the request itself has none."""
    enabled: bool | None = Field(default=None, examples=[True])
    """false sets the effort none."""
    exclude: bool | None = Field(default=None, examples=[False])
    """true is the same as `include_reasoning: false`."""

    @property
    def told(self) -> ReasoningEffort | None:
        """The effort that the options ask for, if any."""
        return "none" if self.enabled is False else self.effort


class ChatRequest(ChoiceFields):
    """`max_completion_tokens` takes precedence over `max_tokens`; without either, the answer may fill the context."""

    messages: Messages
    """The conversation so far."""
    max_completion_tokens: int | None = Field(
        default=None, examples=[256], json_schema_extra={"minimum": 1, "maximum": MAX_COUNT}
    )
    """The longest answer in tokens, reasoning included."""
    logprobs: bool = Field(default=False, examples=[False])
    """Reports the log-probability of each token of the content."""
    top_logprobs: int = Field(default=0, ge=0, le=MAX_TOP_LOGPROBS, examples=[0])
    """With `logprobs`: also reports so many of the likeliest tokens at each position."""
    reasoning_effort: ReasoningEffort = Field(default="medium", examples=["low"])
    """How much the model reasons before it answers."""
    include_reasoning: bool = Field(default=True, examples=[True])
    """Sends the reasoning along with the answer."""
    current_date: ToldDate = None

    tools: Many[Tool] = Field(default_factory=list, max_length=MAX_TOOLS)
    """The functions that the model may call."""
    tool_choice: ToolChoice = Field(default="auto", examples=["auto"])
    """none hides the functions, required requires a call; or names the function to call, or those allowed."""
    parallel_tool_calls: bool = Field(default=True, examples=[True])
    """Allows several calls in one answer."""
    response_format: ResponseFormat | None = Field(default=None, examples=[{"type": "json_object"}])
    """The format of the final message."""

    chat_template_kwargs: TemplateOptions | None = Field(default=None, examples=[{"reasoning_effort": "low"}])
    """Options of the chat template, in the form of vLLM and llama.cpp."""
    reasoning: ReasoningOptions | None = Field(default=None, examples=[{"effort": "low"}])
    """`reasoning_effort` and `include_reasoning` in OpenRouter's form."""
    skip_special_tokens: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true. `return_token_ids` includes special tokens."""
    echo: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    add_generation_prompt: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true."""
    continue_final_message: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""

    prediction: Forgotten = Field(default=None, examples=[{"type": "content", "content": "I am"}])
    """Changes nothing here: it only makes answers faster elsewhere."""
    best_of: Annotated[Any, only(1)] = Field(default=None, examples=[1])
    """Not supported: refused unless 1."""
    functions: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty; use `tools`."""
    function_call: Annotated[Any, only("none", "auto")] = Field(default=None, examples=["none"])
    """Not supported: refused unless none or auto; use `tool_choice`."""
    modalities: Annotated[Any, only(["text"])] = Field(default=None, examples=[["text"]])
    """Not supported: refused unless text only."""
    verbosity: Annotated[Any, only("medium")] = Field(default=None, examples=["medium"])
    """Not supported: refused unless medium."""

    @field_validator("top_logprobs")
    @classmethod
    def _needs_logprobs(cls, value: int, info: ValidationInfo) -> int:
        if value and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "only allowed when logprobs is true")
        return value

    @field_validator("tools")
    @classmethod
    def _differ_by_name(cls, value: list[Tool]) -> list[Tool]:
        for name, count in Counter(tool.function.name for tool in value).items():
            if count > 1:
                raise PydanticCustomError("tools", "there are two functions named {name}", {"name": name})
        return value

    @field_validator("tool_choice")
    @classmethod
    def _can_be_called(cls, value: ToolChoice, info: ValidationInfo) -> ToolChoice:
        names = [tool.function.name for tool in info.data.get("tools", ())]
        if value == "required" and not names:
            raise PydanticCustomError("tool_choice", "only allowed when there are tools")
        for tool in named_tools(value):
            if tool.function.name not in names:
                raise PydanticCustomError("tool_choice", "there is no function {name}", {"name": tool.function.name})
        return value

    @field_validator("response_format")
    @classmethod
    def _is_the_only_one(cls, value: ResponseFormat, info: ValidationInfo) -> ResponseFormat:
        if value.type != "text" and info.data.get("structured_outputs") is not None:
            raise PydanticCustomError("response_format", "not allowed with structured_outputs")
        return value

    @property
    def effort(self) -> ReasoningEffort:
        """The reasoning effort, from whichever field sets it."""
        if "reasoning_effort" in self.model_fields_set:
            return self.reasoning_effort
        told = (
            None if self.reasoning is None else self.reasoning.told,
            None if self.chat_template_kwargs is None else self.chat_template_kwargs.effort,
        )
        return next((effort for effort in told if effort is not None), self.reasoning_effort)

    @property
    def shows_reasoning(self) -> bool:
        """Whether the answer shows the reasoning."""
        return self.include_reasoning and not (self.reasoning is not None and self.reasoning.exclude)

    def offered(self) -> list[FunctionDefinition]:
        """The functions that the model sees."""
        return [] if self.tool_choice == "none" else [tool.function for tool in self.tools]

    def allowed(self) -> list[FunctionDefinition]:
        """The offered functions that the model may call."""
        names = [tool.function.name for tool in named_tools(self.tool_choice)]
        return [function for function in self.offered() if not names or function.name in names]

    def must_call(self) -> bool:
        """Whether the answer must be a call."""
        choice = self.tool_choice
        required = choice.allowed_tools.mode if isinstance(choice, AllowedToolsChoice) else choice
        return required == "required" or isinstance(choice, NamedToolChoice)
