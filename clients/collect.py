"""Puts a streamed answer together."""

from collections.abc import Iterable, Mapping
from typing import Any

from clients.results import Answer, Choice, Delta, ToolCall, Usage


class Collector:
    """Collects deltas and gives the answer so far. A whole stream gives the answer of a request without streaming."""

    def __init__(self) -> None:
        self._deltas: dict[int, list[Delta]] = {}
        self._last = Delta()
        self._usage: Usage | None = None

    def feed(self, delta: Delta) -> None:
        self._last = delta
        self._usage = delta.usage or self._usage
        if delta.usage is None or delta.finish_reason or delta.text or delta.reasoning or delta.tool_calls:
            self._deltas.setdefault(delta.index, []).append(delta)

    def answer(self) -> Answer:
        """`finish_reason` is empty and token counts are 0 as long as the stream has not sent them."""
        return Answer(
            id=self._last.id,
            model=self._last.model,
            choices=tuple(_choice(index, self._deltas.get(index, [])) for index in sorted(self._deltas) or [0]),
            usage=self._usage or Usage(prompt_tokens=0, completion_tokens=0),
        )


def collect(deltas: Iterable[Delta]) -> Answer:
    """Reads a stream to its end and returns its answer."""
    collector = Collector()
    for delta in deltas:
        collector.feed(delta)
    return collector.answer()


def _choice(index: int, deltas: list[Delta]) -> Choice:
    end = next((delta for delta in reversed(deltas) if delta.finish_reason is not None), Delta())
    return Choice(
        index=index,
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas) or None,
        finish_reason=end.finish_reason or "",
        stop_reason=end.stop_reason,
        logprobs=_logprobs([delta.logprobs for delta in deltas if delta.logprobs is not None]),
        tool_calls=_tool_calls(deltas),
    )


def _tool_calls(deltas: list[Delta]) -> tuple[ToolCall, ...]:
    parts = [part for delta in deltas for part in delta.tool_calls]
    return tuple(
        ToolCall(
            id="".join(part.id for part in parts if part.index == index),
            name="".join(part.name for part in parts if part.index == index),
            arguments="".join(part.arguments for part in parts if part.index == index),
        )
        for index in sorted({part.index for part in parts})
    )


def _logprobs(parts: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The parts' lists concatenated, by name. A name for which every list is empty keeps the first part's value."""
    if not parts:
        return None
    names = {name: None for part in parts for name in part}
    return {name: [entry for part in parts for entry in part.get(name) or ()] or parts[0].get(name) for name in names}
