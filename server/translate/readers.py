"""What a token says: text of the answer, text of the reasoning, or markup."""

from dataclasses import dataclass
from typing import Literal, Protocol

from engine.prompt.detokenizer import Detokenizer
from engine.prompt.harmony_stream import Delta, HarmonyStream
from engine.prompt.tokenizer import Tokenizer

Part = Literal["content", "reasoning"]


@dataclass(frozen=True, slots=True)
class Span:
    """Text that belongs to one part of the answer."""

    part: Part
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The text that a token completes, and the part that the token itself belongs to (None: markup)."""

    spans: list[Span]
    part: Part | None


class Reader(Protocol):
    """Reads one sequence, token by token. `shown=False` is for a stop token: it counts but has no text."""

    def feed(self, token_id: int, *, shown: bool = True) -> Reading: ...

    def flush(self) -> list[Span]:
        """What is left when no more tokens come."""
        ...


class PlainReader:
    """A completion: every token is content."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._detokenizer = Detokenizer(tokenizer)

    def feed(self, token_id: int, *, shown: bool = True) -> Reading:
        text = self._detokenizer.feed([token_id]) if shown else ""
        return Reading([Span("content", text)] if text else [], "content")

    def flush(self) -> list[Span]:
        text = self._detokenizer.flush()
        return [Span("content", text)] if text else []


class ChatReader:
    """A chat's turn in the harmony format: analysis is reasoning, the other channels are content."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._stream = HarmonyStream(tokenizer)

    def feed(self, token_id: int, *, shown: bool = True) -> Reading:
        if not shown:
            return Reading([], None)
        before = self._stream.channel
        spans = [_span(delta) for delta in self._stream.feed(token_id) if delta.text]
        if spans:
            return Reading(spans, spans[-1].part)
        inside = before is not None and self._stream.in_body  # An incomplete character, or markup.
        return Reading([], _part(before) if inside else None)

    def flush(self) -> list[Span]:
        return [_span(delta) for delta in self._stream.flush() if delta.text]


def _span(delta: Delta) -> Span:
    return Span(_part(delta.channel), delta.text)


def _part(channel: str | None) -> Part:
    return "reasoning" if channel == "analysis" else "content"
