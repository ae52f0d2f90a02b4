"""`/v1/chat/completions`: the request, the whole answer, and the chunks of a streamed one."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_TOP_LOGPROBS
from server.schemas.messages import Message
from server.schemas.request import only
from server.schemas.sampling import SamplingFields
from server.schemas.structured import ResponseFormat
from server.schemas.tools import MAX_TOOLS, FunctionDefinition, NamedToolChoice, Tool, ToolChoice
from server.schemas.usage import Usage

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high"]


class ChatRequest(SamplingFields):
    """`max_completion_tokens` goes before `max_tokens`; with neither, the answer may fill the context."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP_LOGPROBS)
    reasoning_effort: ReasoningEffort = "medium"
    include_reasoning: bool = True
    current_date: str | None = None

    tools: list[Tool] = Field(default_factory=list, max_length=MAX_TOOLS)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None

    best_of: Annotated[Any, only(1)] = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    modalities: Annotated[Any, only(["text"])] = None
    verbosity: Annotated[Any, only("medium")] = None

    @field_validator("current_date")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError as error:
            raise PydanticCustomError("date", "must be YYYY-MM-DD") from error

    @field_validator("top_logprobs")
    @classmethod
    def _needs_logprobs(cls, value: int, info: ValidationInfo) -> int:
        if value and not info.data.get("logprobs"):
            raise PydanticCustomError("top_logprobs", "only allowed when logprobs is true")
        return value

    @field_validator("tools")
    @classmethod
    def _differ_by_name(cls, value: list[Tool]) -> list[Tool]:
        names = [tool.function.name for tool in value]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("tools", "two functions are called {name}", {"name": name})
        return value

    @field_validator("tool_choice")
    @classmethod
    def _can_be_called(cls, value: ToolChoice, info: ValidationInfo) -> ToolChoice:
        names = [tool.function.name for tool in info.data.get("tools", ())]
        if value == "required" and not names:
            raise PydanticCustomError("tool_choice", "only allowed when there are tools")
        if isinstance(value, NamedToolChoice) and value.function.name not in names:
            raise PydanticCustomError("tool_choice", "there is no function {name}", {"name": value.function.name})
        return value

    @field_validator("response_format")
    @classmethod
    def _is_the_only_one(cls, value: ResponseFormat, info: ValidationInfo) -> ResponseFormat:
        if value.type != "text" and info.data.get("structured_outputs") is not None:
            raise PydanticCustomError("response_format", "not allowed with structured_outputs")
        return value

    def offered(self) -> list[FunctionDefinition]:
        """The functions that the model is shown."""
        return [] if self.tool_choice == "none" else [tool.function for tool in self.tools]


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """One entry per token of the answer, none for its reasoning."""

    content: list[TokenLogprob]
    refusal: None


class CalledFunction(BaseModel):
    """`arguments` is what the model wrote, which need not be JSON unless a grammar made it so."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(BaseModel):
    """`reasoning_content` is `reasoning` by its other name. Only the fields that were set are sent."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: str
    stop_reason: str | int | None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class CalledFunctionDelta(BaseModel):
    name: str | None = None
    arguments: str


class ToolCallDelta(BaseModel):
    """A call begins with its id, type and name; pieces of its arguments follow under the same index."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunctionDelta


class ChatDelta(BaseModel):
    """Only the fields that were set are sent."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChatChunkChoice(BaseModel):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: str | None
    stop_reason: str | int | None = None


class ChatChunk(BaseModel):
    """Only the fields that were set are sent."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
