"""The engine as asyncio code sees it: submit requests, read their events, close to abort.

`EngineClient` is what the server is given (`create_app(engine)`); the engine's own process implements it
(`engine.process.supervisor`), and so does a scripted engine in tests.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from msgspec import Struct

from engine.errors import CarouselError, GenerationError, SlowReaderError
from engine.request import FinishReason, Request, TokenEvent

MAX_UNREAD = 1024
"""Unread events allowed per request of a stream."""

COMPILING = "compiling the C++ ops, once"
"""The message of a status that stands for half a minute without progress."""

Phase = Literal["loading", "ready", "stopping", "dead"]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Where the engine stands. `progress` is in [0, 1] while loading; `message` is one line for people."""

    phase: Phase
    progress: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What is known once the weights are loaded.

    `kv_token_bytes` is what a token of context takes in the full layers, in pages of `page_size` tokens, and
    `kv_ring_bytes` what a request takes in the sliding ones, whatever its length.
    """

    max_model_len: int
    max_num_seqs: int
    max_waiting: int
    vocab_size: int
    device: str
    weights_bytes: int
    kv_cache_bytes: int
    kv_token_bytes: int
    kv_ring_bytes: int
    page_size: int


class EngineStats(Struct, frozen=True, kw_only=True):
    """The engine's state after a step, and the step's own numbers.

    Pages and slots are the caches' places: those held by requests, and all; `pages_kept` hold prefixes for later
    prompts. `preemptions`, `step_seconds` and `step_tokens` belong to the step, and are 0 if nothing ran.
    """

    running: int = 0
    waiting: int = 0
    pages_held: int = 0
    pages_kept: int = 0
    pages_total: int = 0
    slots_held: int = 0
    slots_total: int = 0
    preemptions: int = 0
    step_seconds: float = 0.0
    step_tokens: int = 0


class EventStream:
    """The events of one or several requests, as an async iterator that ends when every one has finished.

    Use it as an async context manager: leaving the block aborts whatever is still running. `abort` ends one
    request early (a stop string was found), and drops its further events. `listener`, if set, is called with
    each event when it arrives from the engine.

    Iterating raises GenerationError if the engine fails one of the requests (the others are then aborted),
    SlowReaderError if too many events were left unread, and any error passed to `fail`.
    """

    def __init__(self, request_ids: Sequence[str], on_abort: Callable[[str], None]) -> None:
        self._open = set(request_ids)
        self._on_abort = on_abort
        self._events: asyncio.Queue[TokenEvent | None] = asyncio.Queue()
        self._limit = MAX_UNREAD * len(request_ids)
        self._failure: CarouselError | None = None
        self.listener: Callable[[TokenEvent], None] | None = None

    def push(self, event: TokenEvent) -> None:
        """Called by the engine's side, in the event loop's thread."""
        self._events.put_nowait(event)
        if self.listener is not None:
            self.listener(event)
        if self._events.qsize() > self._limit:
            self.fail(SlowReaderError("the answer was not read"))

    @property
    def open(self) -> int:
        """Requests whose end has not been read."""
        return len(self._open)

    def fail(self, error: CarouselError) -> None:
        """Aborts the requests still running; if there are any, reading raises `error`, even before unread events."""
        if self._open:
            self._failure = error
            self.close()
            self._events.put_nowait(None)

    def abort(self, request_id: str) -> None:
        if request_id in self._open:
            self._open.discard(request_id)
            self._on_abort(request_id)

    def close(self) -> None:
        for request_id in list(self._open):
            self.abort(request_id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TokenEvent:
        while self._open or self._failure is not None:
            if self._failure is not None:
                raise self._failure
            event = await self._events.get()
            if event is None or event.request_id not in self._open:
                continue
            if event.finish_reason is not None:
                self._open.discard(event.request_id)
            if event.finish_reason is FinishReason.ERROR:
                raise GenerationError(event.error or "the engine failed")
            return event
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


class EngineClient(Protocol):
    """An engine to submit requests to, from one event loop."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def info(self) -> EngineInfo:
        """Raises EngineNotReadyError before the engine is ready."""
        ...

    @property
    def stats(self) -> EngineStats:
        """The latest statistics; zeros while no engine runs."""
        ...

    @property
    def retry_seconds(self) -> int:
        """Seconds after which a request refused for lack of room may be retried: an estimate from the queue."""
        ...

    def on_step(self, listener: Callable[[EngineStats], None]) -> None:
        """Calls `listener` with new statistics, in the event loop's thread: after each step, even an empty one."""
        ...

    def on_restart(self, listener: Callable[[], None]) -> None:
        """Calls `listener`, in the event loop's thread, whenever the engine has ended and is about to be restarted."""
        ...

    def submit(self, requests: Sequence[Request]) -> EventStream:
        """Accepts all requests or none; returns at once.

        Raises EngineNotReadyError, QueueFullError, or RequestError (token ids outside the vocabulary, prompt or
        answer beyond the context).
        """
        ...

    async def start(self) -> None:
        """Starts loading in the background and returns; `status` reports the progress."""
        ...

    async def stop(self) -> None:
        """Ends the engine; open streams get an error."""
        ...
