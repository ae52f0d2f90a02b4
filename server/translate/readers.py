"""Reads tokens: each is text of the answer, text of the reasoning, part of a call, or markup."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.prompt.detokenizer import Detokenizer
from engine.prompt.harmony_header import is_builtin
from engine.prompt.harmony_stream import Delta, HarmonyStream
from engine.prompt.tokenizer import Tokenizer

Part = Literal["content", "reasoning", "call"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function. `index` numbers an answer's calls from 0."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one part of the answer. `stoppable` text is searched for stop strings. `message` numbers the turn's
    messages from 0.

    A call begins with a span without text; its arguments follow in further spans.
    """

    part: Part
    text: str
    stoppable: bool = False
    call: Call | None = None
    message: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The text that a token completes, and the part that the token itself belongs to (None: markup).

    `ends`: nothing wanted can follow. `undecided`: the token is markup, unless a later one shows that its text was
    content. `decided` is how many of the undecided tokens before this one turn out to be content: the last so many.
    `message` is the number of the token's message in the turn.
    """

    spans: list[Span]
    part: Part | None
    ends: bool = False
    undecided: bool = False
    decided: int = 0
    message: int = 0


class Reader(Protocol):
    """Reads one sequence, token by token. `shown=False` is for a stop token, which counts but has no text."""

    @property
    def recoveries(self) -> int:
        """How often the model left its format."""
        ...

    def feed(self, token_id: int, *, shown: bool = True) -> Reading: ...

    def flush(self) -> Reading:
        """The rest, after the last token."""
        ...


class PlainReader:
    """Reads a completion: every token is content; special ones have no text if `skip_special`."""

    recoveries = 0

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = True) -> None:
        self._detokenizer = Detokenizer(tokenizer, skip_special=skip_special)

    def feed(self, token_id: int, *, shown: bool = True) -> Reading:
        return Reading(self._spans(self._detokenizer.feed([token_id]) if shown else ""), "content")

    def flush(self) -> Reading:
        return Reading(self._spans(self._detokenizer.flush()), None)

    def _spans(self, text: str) -> list[Span]:
        return [Span("content", text, stoppable=True)] if text else []


class ChatReader:
    """Reads a chat's turn in the harmony format.

    If functions are `offered`, a message addressed to a function is a call, under the name as written. The name need
    not be among those offered: the client can handle a wrong one better than the server. Tools that published models
    know from training are not functions. Any other message is reasoning in the channel analysis, and content in other
    channels. Unless `parallel`, the answer ends with its first call.
    """

    def __init__(self, tokenizer: Tokenizer, *, offered: Collection[str] = (), parallel: bool = True) -> None:
        self._tokenizer = tokenizer
        self._stream = HarmonyStream(tokenizer)
        self._offered = offered
        self._parallel = parallel
        self._calls: dict[int, Call] = {}
        self._header: list[int] = []
        """The number of bytes of each undecided token."""

    @property
    def recoveries(self) -> int:
        return self._stream.recoveries

    def feed(self, token_id: int, *, shown: bool = True) -> Reading:
        is_markup = self._tokenizer.is_special(token_id)
        in_body = self._stream.in_body
        if not shown and not is_markup:
            return Reading([], None, undecided=not in_body)
        before = self._part(self._stream.channel, self._stream.recipient) if in_body else None
        spans = [span for delta in self._stream.feed(token_id) for span in self._spans(delta)]
        ends = bool(self._calls) and not self._parallel and not self._stream.in_body
        decided = 0
        if not in_body:
            own = 0 if is_markup else len(self._tokenizer.token_bytes(token_id))
            if not (is_markup or spans):
                self._header.append(own)
                return Reading(spans, None, ends, undecided=True)
            decided = self._decided(spans, own)
        part = None if is_markup else spans[-1].part if spans else before
        return Reading(spans, part, ends, decided=decided, message=self._stream.message)

    def flush(self) -> Reading:
        in_body = self._stream.in_body
        spans = [span for delta in self._stream.flush() for span in self._spans(delta)]
        decided = 0 if in_body else self._decided(spans, 0)
        return Reading(spans, None, decided=decided, message=self._stream.message)

    def _decided(self, spans: Sequence[Span], own: int) -> int:
        """How many undecided tokens are in the text of `spans`; the last token added `own` bytes of it."""
        left = sum(len(span.text.encode()) for span in spans if span.part == "content") - own
        count = 0
        while left > 0 and count < len(self._header):
            count += 1
            left -= self._header[-count]
        self._header.clear()
        return count

    def _spans(self, delta: Delta) -> Iterator[Span]:
        part, call = self._part(delta.channel, delta.recipient), None
        if part == "call":
            call = self._calls.get(delta.message)
            if call is None:
                name = (delta.recipient or "").removeprefix("functions.")
                call = self._calls[delta.message] = Call(len(self._calls), name)
                yield Span(part, "", call=call, message=delta.message)
        if delta.text:
            stoppable = delta.channel == "final" and call is None
            yield Span(part, delta.text, stoppable=stoppable, call=call, message=delta.message)

    def _part(self, channel: str | None, recipient: str | None) -> Part:
        if self._offered and recipient and (recipient in self._offered or not is_builtin(recipient)):
            return "call"
        return "reasoning" if channel == "analysis" else "content"
