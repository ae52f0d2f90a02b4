"""The fields that a request may have, by their names in JSON. The server chooses the value of a field left out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high"]
ToolChoice = Literal["none", "auto", "required"] | Mapping[str, Any]


class SamplingOptions(TypedDict, total=False):
    """Fields of completions and chats. `timeout` limits the seconds until the answer is complete, waiting included."""

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
    """Fields of completions. `logprobs` is the number of alternatives to report, 0 to 20."""

    echo: bool
    best_of: int
    logprobs: int


class TurnOptions(SamplingOptions, total=False):
    """Fields of chats, without the tools. `current_date`, YYYY-MM-DD, sets the date that the model is told."""

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
    """Fields of chats."""

    tools: Sequence[Mapping[str, Any]]
