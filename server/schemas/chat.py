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
"""xhigh and max are high: models know no more."""


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
    """What a chat's format can be told."""

    reasoning_effort: ReasoningEffort | None = Field(default=None, examples=["low"])
    """`reasoning_effort`, where the request has none of its own."""
    enable_thinking: bool | None = Field(default=None, examples=[True])
    """false is a `reasoning_effort` of none, where there is no other."""
    thinking: bool | None = Field(default=None, examples=[True])
    """`enable_thinking` by another name."""
    add_generation_prompt: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true."""

    @property
    def effort(self) -> ReasoningEffort | None:
        """What is told of it."""
        if self.reasoning_effort is None and False in (self.enable_thinking, self.thinking):
            return "none"
        return self.reasoning_effort


class ReasoningOptions(RequestModel):
    """How the model reasons, in OpenRouter's words."""

    effort: ReasoningEffort | None = Field(default=None, examples=["low"])
    """`reasoning_effort`, where the request has none of its own."""
    enabled: bool | None = Field(default=None, examples=[True])
    """false is an effort of none."""
    exclude: bool | None = Field(default=None, examples=[False])
    """true is `include_reasoning` of false."""

    @property
    def told(self) -> ReasoningEffort | None:
        """The effort, as far as it is told."""
        return "none" if self.enabled is False else self.effort


class ChatRequest(ChoiceFields):
    """`max_completion_tokens` goes before `max_tokens`; with neither, the answer may fill the context."""

    messages: Messages
    """The conversation so far."""
    max_completion_tokens: int | None = Field(
        default=None, examples=[256], json_schema_extra={"minimum": 1, "maximum": MAX_COUNT}
    )
    """The longest answer in tokens, reasoning included."""
    logprobs: bool = Field(default=False, examples=[False])
    """Reports the log-probability of each token of the content."""
    top_logprobs: int = Field(default=0, ge=0, le=MAX_TOP_LOGPROBS, examples=[0])
    """With `logprobs`: of so many of the likeliest tokens in its place, too."""
    reasoning_effort: ReasoningEffort = Field(default="medium", examples=["low"])
    """How long the model reasons before it answers."""
    include_reasoning: bool = Field(default=True, examples=[True])
    """Sends the reasoning, too."""
    current_date: ToldDate = None

    tools: Many[Tool] = Field(default_factory=list, max_length=MAX_TOOLS)
    """The functions that the model may call."""
    tool_choice: ToolChoice = Field(default="auto", examples=["auto"])
    """Whether it must: none shows it no function, required makes it call one, or name the one, or those allowed."""
    parallel_tool_calls: bool = Field(default=True, examples=[True])
    """Whether one answer may make several calls."""
    response_format: ResponseFormat | None = Field(default=None, examples=[{"type": "json_object"}])
    """What the final message must look like."""

    chat_template_kwargs: TemplateOptions | None = Field(default=None, examples=[{"reasoning_effort": "low"}])
    """vLLM's and llama.cpp's place for what the format is told."""
    reasoning: ReasoningOptions | None = Field(default=None, examples=[{"effort": "low"}])
    """OpenRouter's place for `reasoning_effort` and `include_reasoning`."""
    skip_special_tokens: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true. `return_token_ids` has them, too."""
    echo: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    add_generation_prompt: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true."""
    continue_final_message: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""

    prediction: Forgotten = Field(default=None, examples=[{"type": "content", "content": "I am"}])
    """Changes nothing here: an answer is foretold to have it sooner."""
    best_of: Annotated[Any, only(1)] = Field(default=None, examples=[1])
    """Not supported: refused unless 1."""
    functions: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty; `tools` has its place."""
    function_call: Annotated[Any, only("none", "auto")] = Field(default=None, examples=["none"])
    """Not supported: refused unless it asks for nothing; `tool_choice` has its place."""
    modalities: Annotated[Any, only(["text"])] = Field(default=None, examples=[["text"]])
    """Not supported: refused unless it is text."""
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
                raise PydanticCustomError("tools", "two functions are called {name}", {"name": name})
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
        """`reasoning_effort`, from wherever the request tells it."""
        if "reasoning_effort" in self.model_fields_set:
            return self.reasoning_effort
        told = (
            None if self.reasoning is None else self.reasoning.told,
            None if self.chat_template_kwargs is None else self.chat_template_kwargs.effort,
        )
        return next((effort for effort in told if effort is not None), self.reasoning_effort)

    @property
    def shows_reasoning(self) -> bool:
        """Whether the reasoning is sent, from wherever the request tells it."""
        return self.include_reasoning and not (self.reasoning is not None and self.reasoning.exclude)

    def offered(self) -> list[FunctionDefinition]:
        """The functions that the model is shown."""
        return [] if self.tool_choice == "none" else [tool.function for tool in self.tools]

    def allowed(self) -> list[FunctionDefinition]:
        """Those of them that it may call."""
        names = [tool.function.name for tool in named_tools(self.tool_choice)]
        return [function for function in self.offered() if not names or function.name in names]

    def must_call(self) -> bool:
        """Whether the answer is to be a call."""
        choice = self.tool_choice
        required = choice.allowed_tools.mode if isinstance(choice, AllowedToolsChoice) else choice
        return required == "required" or isinstance(choice, NamedToolChoice)
