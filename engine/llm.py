"""The engine without a server: load a checkpoint, generate, stream."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from engine.checkpoint.hub import resolve_model
from engine.config import EngineConfig
from engine.prompt.chat import ChatRenderer
from engine.prompt.detokenizer import Detokenizer
from engine.prompt.stop_strings import StopStrings
from engine.prompt.tokenizer import Tokenizer
from engine.request import FinishReason, Request, SamplingParams, TokenEvent, TokenLogprob
from engine.start import start_engine

Prompt = str | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished answer. `logprobs` has one entry per token if asked for, `prompt_logprobs` one per prompt token."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None


class LLM:
    """A model in this process.

    `model` is a directory, a hub id, or "embedded"; `config` says the rest. Raises CheckpointError, ConfigError or
    MemoryPlanError if it cannot be served.
    """

    def __init__(self, model: str = "embedded", config: EngineConfig | None = None) -> None:
        directory = resolve_model(model)
        config = EngineConfig(model=directory) if config is None else replace(config, model=directory)
        self.engine = start_engine(config).engine
        self.tokenizer = Tokenizer.load(directory)
        self.chat = ChatRenderer.load(directory, self.tokenizer)
        self._ids = count()

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams | None = None) -> list[Generation]:
        """Answers to all prompts, batched, in their order. A prompt is text or token ids."""
        sampling = sampling or SamplingParams()
        events: dict[str, list[TokenEvent]] = {self._add(prompt, sampling): [] for prompt in prompts}
        texts = {request_id: TextStream(self.tokenizer, sampling.stop) for request_id in events}
        pieces: dict[str, list[str]] = {request_id: [] for request_id in events}
        while not self.engine.idle:
            for event in self.engine.step():
                request_id = event.request_id
                pieces[request_id].append(texts[request_id].feed(event))
                events[request_id].append(event)
                if texts[request_id].stopped:
                    self.engine.abort(request_id)
        return [collect("".join(pieces[request_id]), texts[request_id], own) for request_id, own in events.items()]

    def stream(self, prompt: Prompt, sampling: SamplingParams | None = None) -> Iterator[str]:
        """The answer's text as it comes. Closing the iterator ends the request."""
        sampling = sampling or SamplingParams()
        text = TextStream(self.tokenizer, sampling.stop)
        request_id = self._add(prompt, sampling)
        try:
            while not text.ended:
                for event in self.engine.step():
                    if event.request_id == request_id and (piece := text.feed(event)):
                        yield piece
        finally:
            self.engine.abort(request_id)

    def _add(self, prompt: Prompt, sampling: SamplingParams) -> str:
        token_ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        request = Request(id=f"llm-{next(self._ids)}", prompt_token_ids=tuple(token_ids), sampling=sampling)
        self.engine.add(request)
        return request.id


class TextStream:
    """One answer's text from its events: whole characters, up to its stop string."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopStrings(stops)
        self.finish_reason: FinishReason | None = None

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stops.matched is not None

    @property
    def ended(self) -> bool:
        return self.finish_reason is not None or self.stopped

    def feed(self, event: TokenEvent) -> str:
        """The text that an event adds for sure."""
        text = self._stops.feed(self._detokenizer.feed(event.token_ids))
        if event.finish_reason is not None:
            text += self._stops.feed(self._detokenizer.flush()) + self._stops.flush()
        self.finish_reason = FinishReason.STOP if self.stopped else event.finish_reason
        return text


def collect(text: str, stream: TextStream, events: Sequence[TokenEvent]) -> Generation:
    """One answer from all its events."""
    return Generation(
        text=text,
        token_ids=tuple(token for event in events for token in event.token_ids),
        finish_reason=stream.finish_reason or FinishReason.ABORT,
        logprobs=tuple(entry for event in events for entry in event.logprobs),
        prompt_logprobs=next((e.prompt_logprobs for e in events if e.prompt_logprobs is not None), None),
    )
