"""Assembles one choice of an answer from its token events."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.errors import GenerationError
from engine.prompt.stop_strings import StopStrings
from engine.request import FinishReason, Request, TokenEvent, TokenLogprob
from server.schemas.answer import Finish
from server.translate.readers import Call, Part, Reader, Reading, Span


@dataclass(frozen=True, slots=True)
class Scored:
    """A token of the content. `offset` is the number of characters of content before it, and `message` the number of
    its message in the turn."""

    token_id: int
    logprob: TokenLogprob | None
    offset: int
    message: int = 0


@dataclass(slots=True)
class Piece:
    """New text of one part, and the content's tokens since the last piece, if they are scored.

    A call's first piece has no text: it announces the call. `message` numbers the turn's messages from 0; `final`
    messages are the answer, others a preamble.
    """

    part: Part
    text: str
    call: Call | None = None
    message: int = 0
    final: bool = True
    scored: list[Scored] = field(default_factory=list)


class Assembler:
    """Token events in, pieces of text out: whole characters, without a stop string that is not `included`.

    `stops` are the stop strings, before any text. `echo` puts the prompt before the content, `show_stop` includes the
    text of a stop token, `keep_tokens` keeps tokens for `take_tokens`. Once `finish_reason` is set, nothing more must
    be fed. If the request is still running then, because a stop string was found or all wanted calls were made, it
    should be aborted.
    """

    def __init__(
        self,
        index: int,
        request: Request,
        reader: Reader,
        stops: StopStrings,
        *,
        echo: bool = False,
        show_stop: bool = False,
        keep_tokens: bool = False,
    ) -> None:
        self.index = index
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self.cached_tokens = 0
        self.finish_reason: Finish | None = None
        self.stop_reason: str | int | None = None
        self._sampling = request.sampling
        self._reader = reader
        self._stops = stops
        self._echo: Sequence[int] = request.prompt_token_ids if echo else ()
        self._show_stop = show_stop
        self._keep_tokens = keep_tokens
        self._tokens: list[int] = []
        self._characters = 0
        self._scored: list[Scored] = []
        self._undecided: list[tuple[int, TokenLogprob]] = []
        self._message = 0
        """The message that was read last; text held back by `_stops` belongs to it."""
        self._logprob_sum = 0.0
        self._calls = False

    @property
    def recoveries(self) -> int:
        """How often the model left its format."""
        return self._reader.recoveries

    @property
    def mean_logprob(self) -> float:
        """The mean log-probability per token, if the tokens are scored."""
        return self._logprob_sum / max(1, self.completion_tokens)

    def feed(self, event: TokenEvent) -> list[Piece]:
        """The new pieces of text. Raises GenerationError if the engine aborted the request."""
        if event.finish_reason in (FinishReason.ABORT, FinishReason.ERROR):
            raise GenerationError(event.error or "the request was aborted")
        self.cached_tokens += event.cached_tokens
        spans = self._read_prompt(event)
        for at, token_id in enumerate(event.token_ids):
            stops = event.stop_token_id is not None and at == len(event.token_ids) - 1
            shown = self._show_stop or not stops
            reading = self._reader.feed(token_id, shown=shown)
            self.completion_tokens += 1
            if self._keep_tokens:
                self._tokens.append(token_id)
            self.reasoning_tokens += reading.part == "reasoning"
            if event.logprobs:
                self._logprob_sum += event.logprobs[at].logprob
                self._score_if_content(reading, token_id, event.logprobs[at], shown=shown)
            spans += self._before_stop(reading.spans)
            if self._stops.matched is not None:
                self.finish_reason, self.stop_reason = "stop", self._stops.matched
                return self._pieces(spans)
            if reading.ends:
                self.finish_reason = "tool_calls"
                return self._pieces(spans)
        if event.finish_reason is not None:
            spans += self._finish(event)
        return self._pieces(spans)

    def take_tokens(self) -> list[int]:
        """The tokens generated since the last call."""
        taken, self._tokens = self._tokens, []
        return taken

    def _read_prompt(self, event: TokenEvent) -> list[Span]:
        """The echo of the prompt, which comes with the first event. It is not searched for stop strings."""
        spans: list[Span] = []
        for at, token_id in enumerate(self._echo):
            reading = self._reader.feed(token_id)
            if event.prompt_logprobs is not None:
                self._score(token_id, event.prompt_logprobs[at], reading.message)
            self._characters += sum(len(span.text) for span in reading.spans)
            spans += reading.spans
        self._echo = ()
        return spans

    def _score_if_content(self, reading: Reading, token_id: int, logprob: TokenLogprob, *, shown: bool) -> None:
        """Scores a token of the content. A header's tokens wait: they are content if the header turns out to be a body
        whose beginning is missing."""
        if reading.undecided:
            if shown:
                self._undecided.append((token_id, logprob))
            return
        self._score_undecided(reading)
        if reading.part == "content":
            self._score(token_id, logprob, reading.message)

    def _score_undecided(self, reading: Reading) -> None:
        for token_id, logprob in self._undecided[len(self._undecided) - reading.decided :]:
            self._score(token_id, logprob, reading.message)
        self._undecided.clear()

    def _score(self, token_id: int, logprob: TokenLogprob | None, message: int) -> None:
        self._scored.append(Scored(token_id, logprob, self._characters, message))

    def _before_stop(self, spans: Sequence[Span]) -> list[Span]:
        """The spans, after those that are stoppable were searched for stop strings. A stop string does not reach across
        other spans or across messages."""
        shown = []
        for span in spans:
            if span.message != self._message:
                shown.append(self._held_back())
                self._message = span.message
            if span.stoppable:
                self._characters += len(span.text)
                shown.append(replace(span, text=self._stops.feed(span.text)))
            else:
                self._calls = self._calls or span.call is not None
                shown += [self._held_back(), span]
        return shown

    def _held_back(self) -> Span:
        """The text that could have begun a stop string, but did not."""
        return Span("content", self._stops.flush(), stoppable=True, message=self._message)

    def _finish(self, event: TokenEvent) -> list[Span]:
        rest = self._reader.flush()
        self._score_undecided(rest)
        spans = self._before_stop(rest.spans)
        if self._stops.matched is not None:
            self.finish_reason, self.stop_reason = "stop", self._stops.matched
            return spans
        if event.finish_reason is FinishReason.LENGTH:
            self.finish_reason = "length"
        else:
            self.finish_reason = "tool_calls" if self._calls else "stop"
        if event.stop_token_id in self._sampling.stop_token_ids:
            self.stop_reason = event.stop_token_id
        return [*spans, self._held_back()]

    def _pieces(self, spans: Sequence[Span]) -> list[Piece]:
        """The spans as pieces, with neighbours of a part joined. Scores go with the next content of their message, or
        with the end."""
        pieces: list[Piece] = []
        for span in spans:
            if not span.text and span.call is None:
                continue
            last = pieces[-1] if pieces else None
            place = (span.part, span.call, span.message)
            if last and last.text and span.text and (last.part, last.call, last.message) == place:
                last.text += span.text
            else:
                pieces.append(Piece(span.part, span.text, span.call, span.message, span.stoppable))
        for piece in pieces:
            if piece.part == "content":
                piece.scored = [each for each in self._scored if each.message <= piece.message]
                self._scored = self._scored[len(piece.scored) :]
        if self._scored and self.finish_reason is not None:
            pieces.append(Piece("content", "", message=self._scored[-1].message, scored=self._scored))
        return pieces
