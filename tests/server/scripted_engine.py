"""An engine that answers as a test tells it to; all else is real: asyncio, streams, admission."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.admission import admit
from engine.errors import EngineNotReadyError, QueueFullError
from engine.request import FinishReason, Request, TokenEvent, TokenLogprob
from engine.streams import EngineInfo, EngineStats, EngineStatus, EventStream


@dataclass(frozen=True, slots=True)
class Script:
    """What one request gets: an event per entry of `steps`, then its end.

    The end is `error` if there is one; with `hangs` there is no end. `stop_token_id` is added to the last step. The
    first step reports `cached_tokens`.
    """

    steps: Sequence[Sequence[int]] = ()
    finish: FinishReason = FinishReason.STOP
    stop_token_id: int | None = None
    error: str | None = None
    hangs: bool = False
    cached_tokens: int = 0


class ScriptedEngine:
    """`play` writes the script of each request. `gate`, if set, is awaited before every event."""

    def __init__(
        self,
        play: Callable[[Request], Script],
        *,
        vocab_size: int,
        max_model_len: int = 4096,
        room: int = 2**20,
        max_waiting: int = 2**20,
    ) -> None:
        self.play = play
        self.room = room
        self.queue_seconds: float | None = None
        self.retry_seconds = 3
        self.gate: Callable[[], asyncio.Future[None]] | None = None
        self.submitted: list[Request] = []
        self.aborted: list[str] = []
        self.phase = EngineStatus("ready", 1.0)
        self.stats = EngineStats()
        self._step_listeners: list[Callable[[EngineStats], None]] = []
        self._restart_listeners: list[Callable[[], None]] = []
        self._info = EngineInfo(
            max_model_len=max_model_len,
            max_num_seqs=8,
            max_waiting=max_waiting,
            vocab_size=vocab_size,
            device="none",
            weights_bytes=0,
            kv_cache_bytes=0,
            kv_token_bytes=512,
            kv_ring_bytes=65536,
            page_size=16,
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def status(self) -> EngineStatus:
        return self.phase

    @property
    def info(self) -> EngineInfo:
        if self.phase.phase != "ready":
            raise EngineNotReadyError("the engine is not ready")
        return self._info

    def on_step(self, listener: Callable[[EngineStats], None]) -> None:
        self._step_listeners.append(listener)

    def on_restart(self, listener: Callable[[], None]) -> None:
        self._restart_listeners.append(listener)

    def restarted(self) -> None:
        """Notifies all listeners of an engine restart."""
        for listener in self._restart_listeners:
            listener()

    def stepped(self, stats: EngineStats) -> None:
        """Notifies all listeners of a step that a test makes up."""
        self.stats = stats
        for listener in self._step_listeners:
            listener(stats)

    @property
    def running(self) -> int:
        return sum(not task.done() for task in self._tasks.values())

    def submit(self, requests: Sequence[Request]) -> EventStream:
        info = self.info
        if self.running + len(requests) > self.room:
            raise QueueFullError("the queue is full")
        admitted = admit(requests, info.vocab_size, info.max_model_len)
        stream = EventStream([request.id for request in admitted], self._abort)
        self.submitted += admitted
        for request in admitted:
            self._tasks[request.id] = asyncio.create_task(self._run(request, stream))
        return stream

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _abort(self, request_id: str) -> None:
        self.aborted.append(request_id)
        self._tasks[request_id].cancel()

    async def _run(self, request: Request, stream: EventStream) -> None:
        script = self.play(request)
        steps = [tuple(step) for step in script.steps]
        stop = () if script.stop_token_id is None else (script.stop_token_id,)
        for at, step in enumerate([*steps, stop]):
            await (asyncio.sleep(0) if self.gate is None else self.gate())
            ended = at == len(steps) and not script.hangs and script.error is None
            stream.push(
                TokenEvent(
                    request_id=request.id,
                    token_ids=step,
                    logprobs=self._logprobs(step, request.sampling.logprobs),
                    prompt_logprobs=self._prompt_logprobs(request) if at == 0 else None,
                    finish_reason=script.finish if ended else None,
                    stop_token_id=script.stop_token_id if ended else None,
                    queue_seconds=self.queue_seconds if at == 0 else None,
                    cached_tokens=script.cached_tokens if at == 0 else 0,
                )
            )
        if script.error is not None:
            stream.push(TokenEvent(request_id=request.id, finish_reason=FinishReason.ERROR, error=script.error))
        elif script.hangs:
            await asyncio.Event().wait()

    def _logprobs(self, token_ids: Sequence[int], count: int | None) -> tuple[TokenLogprob, ...]:
        """Token t has log-probability -t/1000, and t + 1, t + 2, … follow it."""
        if count is None:
            return ()
        vocab_size = self._info.vocab_size
        return tuple(
            TokenLogprob(
                token,
                -token / 1000,
                tuple(((token + i) % vocab_size, -(token + i) / 1000) for i in range(count)),
            )
            for token in token_ids
        )

    def _prompt_logprobs(self, request: Request) -> tuple[TokenLogprob | None, ...] | None:
        if request.sampling.prompt_logprobs is None:
            return None
        return (None, *self._logprobs(request.prompt_token_ids[1:], request.sampling.prompt_logprobs))
