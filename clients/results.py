"""What a server answers, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict


class Message(TypedDict, total=False):
    """A message of a conversation, in OpenAI's shape."""

    role: str
    content: str | None
    reasoning: str | None
    tool_call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts; reasoning is part of the completion."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Usage":
        details = content.get("completion_tokens_details") or {}
        return cls(
            prompt_tokens=content["prompt_tokens"],
            completion_tokens=content["completion_tokens"],
            reasoning_tokens=details.get("reasoning_tokens", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer. `reasoning` is None for a completion and where there was none.

    `logprobs` is as the server sent it.
    """

    index: int
    text: str
    reasoning: str | None
    finish_reason: str
    stop_reason: str | int | None
    logprobs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `text` and `reasoning` are the first choice's."""

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

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Answer":
        """Of a completion or a chat completion."""
        return cls(
            id=content["id"],
            model=content["model"],
            choices=tuple(_choice(choice) for choice in content["choices"]),
            usage=Usage.parse(content["usage"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a chunk of a stream adds to choice `index`. A stream's last one may bring the `usage` alone."""

    index: int = 0
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "list[Delta]":
        """Of a chunk of a completion or a chat completion."""
        usage = Usage.parse(content["usage"]) if content.get("usage") else None
        if not content["choices"]:
            return [cls(usage=usage)]
        return [_delta(choice, usage) for choice in content["choices"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model the server has; `max_model_len` is in tokens, None where the server does not say."""

    id: str
    max_model_len: int | None = None


def _choice(content: Mapping[str, Any]) -> Choice:
    message = content.get("message", {})
    return Choice(
        index=content["index"],
        text=content["text"] if "text" in content else message.get("content") or "",
        reasoning=message.get("reasoning") or message.get("reasoning_content"),
        finish_reason=content["finish_reason"],
        stop_reason=content.get("stop_reason"),
        logprobs=content.get("logprobs"),
    )


def _delta(content: Mapping[str, Any], usage: Usage | None) -> Delta:
    delta = content.get("delta", {})
    return Delta(
        index=content["index"],
        text=content["text"] if "text" in content else delta.get("content") or "",
        reasoning=delta.get("reasoning") or delta.get("reasoning_content") or "",
        finish_reason=content.get("finish_reason"),
        stop_reason=content.get("stop_reason"),
        usage=usage,
    )
