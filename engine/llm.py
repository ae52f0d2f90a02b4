"""The engine without a server: load a checkpoint, generate, stream."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import cast

from engine.checkpoint.hub import ALL_FILES, TEXT_FILES, resolve_model
from engine.config import EngineConfig
from engine.errors import GenerationError
from engine.prompt.chat import ChatRenderer
from engine.prompt.detokenizer import Detokenizer
from engine.prompt.stop_strings import StopStrings
from engine.prompt.tokenizer import Tokenizer
from engine.request import FinishReason, Request, SamplingParams, TokenEvent, TokenLogprob
from engine.sampling_defaults import read_sampling_defaults
from engine.start import start_engine

Prompt = str | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished answer. `logprobs` has one entry per token if asked for, `prompt_logprobs` one per prompt token;
    `error` says what went wrong where the `finish_reason` is ERROR."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    error: str | None = None


def several(prompts: Prompt | Sequence[Prompt]) -> Sequence[Prompt]:
    """The prompts; a single one, text or token ids, becomes a list of one."""
    is_one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int))
    return cast(Sequence[Prompt], [prompts] if is_one else prompts)


class LLM:
    """A model in this process.

    `model` is a directory, a hub id, or "embedded"; `config` sets the rest. `default_sampling` are the checkpoint's own
    parameters: they apply where none are given, and `dataclasses.replace` changes some of them. Raises CheckpointError,
    ConfigError or MemoryPlanError if the model cannot be served.
    """

    def __init__(self, model: str = "embedded", config: EngineConfig | None = None) -> None:
        random = config is not None and config.load_format == "dummy"
        directory = resolve_model(model, files=TEXT_FILES if random else ALL_FILES)
        config = EngineConfig(model=directory) if config is None else replace(config, model=directory)
        self.default_sampling = SamplingParams(**read_sampling_defaults(directory))  # type: ignore[arg-type]
        self.engine = start_engine(config).engine
        self.tokenizer = Tokenizer.load(directory)
        self.chat = ChatRenderer.load(directory, self.tokenizer)
        self._ids = count()
        self._open: dict[str, Transcript] = {}
        """The answers that a caller is waiting for."""

    def generate(self, prompts: Prompt | Sequence[Prompt], sampling: SamplingParams | None = None) -> list[Generation]:
        """Answers all prompts, or a single one, as a batch, in their order. A prompt is text or token ids. Raises
        RequestError if one of them cannot be answered as asked; then none is."""
        sampling = sampling or self.default_sampling
        request_ids: list[str] = []
        try:
            for prompt in several(prompts):
                request_ids.append(self._add(prompt, sampling))
            answers = [self._open[request_id] for request_id in request_ids]
            while not all(answer.ended for answer in answers):
                self._step()
            return [answer.generation() for answer in answers]
        finally:
            for request_id in request_ids:
                self._close(request_id)

    def stream(self, prompt: Prompt, sampling: SamplingParams | None = None) -> Iterator[str]:
        """The answer's text as it is generated. Closing the iterator ends the request. Between its pieces, other
        streams may be read and `generate` called. Raises RequestError, or GenerationError if the engine fails."""
        request_id = self._add(prompt, sampling or self.default_sampling)
        answer = self._open[request_id]
        try:
            while not answer.ended:
                self._step()
                yield from answer.unread()
            yield from answer.unread()
            if answer.error is not None:
                raise GenerationError(answer.error)
        finally:
            self._close(request_id)

    def _add(self, prompt: Prompt, sampling: SamplingParams) -> str:
        token_ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        request = Request(id=f"llm-{next(self._ids)}", prompt_token_ids=tuple(token_ids), sampling=sampling)
        self.engine.add(request)
        self._open[request.id] = Transcript(self.tokenizer, sampling.stop)
        return request.id

    def _step(self) -> None:
        """Runs a step and hands each event to its own answer, whoever asked for the step."""
        for event in self.engine.step():
            answer = self._open[event.request_id]
            if answer.ended:  # At a stop string, while this event was in flight.
                continue
            answer.take(event)
            if answer.stopped:
                self.engine.abort(event.request_id)

    def _close(self, request_id: str) -> None:
        self.engine.abort(request_id)
        del self._open[request_id]


class Transcript:
    """One answer, put together from its events: its text is whole characters, up to its stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopStrings(stops)
        self._events: list[TokenEvent] = []
        self._pieces: list[str] = []
        self._read = 0
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stops.matched is not None

    @property
    def ended(self) -> bool:
        return self.finish_reason is not None

    def take(self, event: TokenEvent) -> None:
        shown = event.token_ids if event.stop_token_id is None else event.token_ids[:-1]
        text = self._stops.feed(self._detokenizer.feed(shown))
        if event.finish_reason is not None:
            text += self._stops.feed(self._detokenizer.flush()) + self._stops.flush()
        self._events.append(event)
        self._pieces.append(text)
        self.finish_reason = FinishReason.STOP if self.stopped else event.finish_reason
        self.error = event.error

    def unread(self) -> Iterator[str]:
        """The pieces of text not read yet."""
        pieces, self._read = self._pieces[self._read :], len(self._pieces)
        yield from filter(None, pieces)

    def generation(self) -> Generation:
        """The whole answer, once it has ended."""
        assert self.finish_reason is not None
        return Generation(
            text="".join(self._pieces),
            token_ids=tuple(token for event in self._events for token in event.token_ids),
            finish_reason=self.finish_reason,
            logprobs=tuple(entry for event in self._events for entry in event.logprobs),
            prompt_logprobs=next((e.prompt_logprobs for e in self._events if e.prompt_logprobs is not None), None),
            error=self.error,
        )
