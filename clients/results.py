"""A server's answers as frozen dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict


class Message(TypedDict, total=False):
    """A message of a conversation, in OpenAI's shape."""

    role: str
    content: str | Sequence[Mapping[str, Any]] | None
    name: str
    reasoning: str | None
    tool_calls: Sequence[Mapping[str, Any]]
    tool_call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts, 0 where the server sends none. Cached tokens are part of the prompt, reasoning tokens part of the
    completion."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Usage":
        prompt = content.get("prompt_tokens_details") or {}
        completion = content.get("completion_tokens_details") or {}
        return cls(
            prompt_tokens=content.get("prompt_tokens") or 0,
            completion_tokens=content.get("completion_tokens") or 0,
            cached_tokens=prompt.get("cached_tokens") or 0,
            reasoning_tokens=completion.get("reasoning_tokens") or 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that the model calls. `arguments` is the model's own text: JSON, unless the model made a mistake."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer. `reasoning` is None for a completion or without reasoning. `logprobs` is as the server sent it."""

    index: int
    text: str
    reasoning: str | None
    finish_reason: str
    stop_reason: str | int | None
    logprobs: Mapping[str, Any] | None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `text`, `reasoning`, `tool_calls` and `message` are the first choice's."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage

    @property
    def text(self) -> str:
        return self.choices[0].text

    @property
    def reasoning(self) -> str | None:
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self.choices[0].tool_calls

    @property
    def message(self) -> Message:
        """The message with which the conversation continues."""
        return assistant_message(self.text, self.reasoning, self.tool_calls)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Answer":
        """Reads a completion or a chat completion."""
        return cls(
            id=content["id"],
            model=content["model"],
            choices=tuple(_choice(choice) for choice in content["choices"]),
            usage=Usage.parse(content.get("usage") or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """What a chunk adds to call `index`: its id and name once, its arguments in fragments."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a chunk of a stream adds to choice `index`. The last chunk may contain only the `usage`."""

    id: str = ""
    model: str = ""
    index: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "list[Delta]":
        """Reads a chunk of a completion or a chat completion."""
        usage = Usage.parse(content["usage"]) if content.get("usage") else None
        whole = cls(id=content.get("id") or "", model=content.get("model") or "", usage=usage)
        return [_delta(choice, whole) for choice in content["choices"]] or [whole]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of the server. `max_model_len` is in tokens, None if the server does not report it."""

    id: str
    max_model_len: int | None = None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Model":
        return cls(id=content["id"], max_model_len=content.get("max_model_len"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`status` is loading, ready, stopping or dead; `progress`, in [0, 1], is the share of the weights loaded."""

    status: str
    progress: float

    @property
    def ready(self) -> bool:
        return self.status == "ready"


def assistant_message(text: str, reasoning: str | None, tool_calls: Sequence[ToolCall]) -> Message:
    """Keeps the reasoning only with tool calls: once there is an answer, no model is shown its reasoning again."""
    message: Message = {"role": "assistant", "content": text if text or not tool_calls else None}
    if tool_calls:
        if reasoning:
            message["reasoning"] = reasoning
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in tool_calls
        ]
    return message


def _choice(content: Mapping[str, Any]) -> Choice:
    message = content.get("message", {})
    return Choice(
        index=content["index"],
        text=content["text"] if "text" in content else message.get("content") or "",
        reasoning=message.get("reasoning") or message.get("reasoning_content"),
        finish_reason=content["finish_reason"],
        stop_reason=content.get("stop_reason"),
        logprobs=content.get("logprobs"),
        tool_calls=tuple(
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ),
    )


def _delta(content: Mapping[str, Any], whole: Delta) -> Delta:
    delta = content.get("delta") or {}
    return replace(
        whole,
        index=content["index"],
        text=content["text"] if "text" in content else delta.get("content") or "",
        reasoning=delta.get("reasoning") or delta.get("reasoning_content") or "",
        tool_calls=tuple(_tool_call_delta(call) for call in delta.get("tool_calls") or ()),
        logprobs=content.get("logprobs"),
        finish_reason=content.get("finish_reason"),
        stop_reason=content.get("stop_reason"),
    )


def _tool_call_delta(content: Mapping[str, Any]) -> ToolCallDelta:
    function = content.get("function") or {}
    return ToolCallDelta(
        index=content["index"],
        id=content.get("id") or "",
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )
