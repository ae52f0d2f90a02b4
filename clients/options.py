"""The fields a request may carry, by their names on the wire. What is left out is the server's to choose."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high"]
ToolChoice = Literal["none", "auto", "required"] | Mapping[str, Any]


class SamplingOptions(TypedDict, total=False):
    """For completions and for chats. `timeout` is the seconds that the server gives the answer, waiting included."""

    model: str | None
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    n: int
    seed: int
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    min_tokens: int
    logit_bias: Mapping[str, float]
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    timeout: float
    priority: int
    user: str
    metadata: Mapping[str, str]
    cache_salt: str
    structured_outputs: Mapping[str, Any]


class CompletionOptions(SamplingOptions, total=False):
    """For completions alone. `logprobs` is how many alternatives to report, 0 to 20."""

    echo: bool
    best_of: int
    logprobs: int


class TurnOptions(SamplingOptions, total=False):
    """For chats, but for the tools. `current_date`, YYYY-MM-DD, pins the date the model is told."""

    max_completion_tokens: int
    logprobs: bool
    top_logprobs: int
    response_format: Mapping[str, Any]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    reasoning_effort: ReasoningEffort
    include_reasoning: bool
    current_date: str


class ChatOptions(TurnOptions, total=False):
    """For chats alone."""

    tools: Sequence[Mapping[str, Any]]
