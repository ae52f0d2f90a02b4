"""The server's end of the engine process: feeds it, hands its events to their streams, replaces it when it ends."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from engine.admission import admit
from engine.config import EngineConfig
from engine.errors import EngineNotReadyError, GenerationError, QueueFullError
from engine.process.child import Child
from engine.process.pace import Pace
from engine.process.supervision import Supervision
from engine.process.wire import Abort, Events, Failed, FromEngine, Loading, Planned, Ready, Running, submits
from engine.request import FinishReason, Request, TokenEvent
from engine.streams import EngineInfo, EngineStats, EngineStatus, EventStream

logger = logging.getLogger("carousel.engine")

STOP_SECONDS = 5.0
MAX_UNSENT_BYTES = 64 * 2**20
"""Of requests that the engine has not read yet, because a step is long; requests aborted meanwhile count as well."""
GONE_SECONDS = 1.0
"""How long a process whose pipe is closed may take to end."""


class EngineProcess:
    """An `EngineClient` whose engine runs in a process of its own. Use it from one event loop.

    When an engine is killed, fails or hangs, every stream ends with an error, and another engine takes its place, as
    `supervision` allows. None follows if an engine cannot be killed, or if one reports why it failed before any was
    ready. `on_plan` is called with the memory plan in words whenever an engine is about to load weights.
    """

    def __init__(
        self,
        config: EngineConfig,
        on_plan: Callable[[str], None] | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        self.config = config
        self.supervision = supervision or Supervision()
        self._on_plan = on_plan
        self._status = EngineStatus("loading", 0.0, "starting")
        self._info: EngineInfo | None = None
        self._stats = EngineStats()
        self._step_listeners: list[Callable[[EngineStats], None]] = []
        self._restart_listeners: list[Callable[[], None]] = []
        self._streams: dict[str, EventStream] = {}
        self._pace = Pace()
        self._child: Child | None = None
        self._stall: asyncio.Timeout | None = None
        self._run_tokens = 0
        self._ready_since: float | None = None
        self._supervising: asyncio.Task[None] | None = None

    @property
    def status(self) -> EngineStatus:
        return self._status

    @property
    def info(self) -> EngineInfo:
        if self._info is None:
            raise EngineNotReadyError("the engine is not ready")
        return self._info

    @property
    def stats(self) -> EngineStats:
        return self._stats

    @property
    def retry_seconds(self) -> int:
        return self._pace.retry_seconds(1 if self._info is None else self._info.max_num_seqs)

    def on_step(self, listener: Callable[[EngineStats], None]) -> None:
        self._step_listeners.append(listener)

    def on_restart(self, listener: Callable[[], None]) -> None:
        self._restart_listeners.append(listener)

    @property
    def pid(self) -> int | None:
        """The engine's process id, while there is one."""
        return None if self._child is None else self._child.pid

    @property
    def in_flight(self) -> int:
        """Requests submitted and not ended."""
        return len(self._streams)

    def submit(self, requests: Sequence[Request]) -> EventStream:
        if self._status.phase != "ready" or self._child is None:
            raise EngineNotReadyError(f"the engine is {self._status.phase}: {self._status.message}")
        room = self.info.max_num_seqs + self.config.max_waiting
        if self.in_flight + len(requests) > room:
            raise QueueFullError(f"{self.in_flight} requests are running or waiting, {room} is the limit")
        if self._child.unsent > MAX_UNSENT_BYTES:
            raise QueueFullError(f"the engine has not taken {self._child.unsent} bytes of requests yet")
        admitted = admit(requests, self.info.vocab_size, self.info.max_model_len)
        stream = EventStream([request.id for request in admitted], self._abort)
        for message in submits(admitted):
            self._child.send(message)
        self._streams |= {request.id: stream for request in admitted}
        for request in admitted:
            self._pace.submit(request.id)
        self._expect_progress()
        return stream

    async def start(self) -> None:
        self._supervising = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._supervising is None:
            return
        if self._status.phase != "dead":
            self._status = EngineStatus("stopping", message="shutting down")
        self._supervising.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._supervising
        self._end_streams("the engine was stopped")
        if self._child is not None:
            await self._child.end(STOP_SECONDS)

    async def _run(self) -> None:
        """Supervises engines. If supervision itself fails, the engine is killed and not restarted."""
        try:
            await self._supervise()
        except Exception as error:
            logger.error("the engine's supervision failed", exc_info=error)
            failure = f"the engine's supervision failed ({type(error).__name__}: {error})"
            self._status, self._stats = EngineStatus("dead", message=failure), EngineStats()
            for stream in list(self._streams.values()):
                stream.fail(GenerationError(failure))
            if self._child is not None:
                self._child.kill()
                await self._child.end(GONE_SECONDS)
                self._child = None

    async def _supervise(self) -> None:
        """Runs one engine after another."""
        restarts = 0
        while True:
            failure, final = await self._live()
            if self._ready_since is not None:
                served = asyncio.get_running_loop().time() - self._ready_since
                restarts = 0 if served >= self.supervision.stable_seconds else restarts
            restarts += 1
            if final or restarts > self.supervision.max_restarts:
                again = "" if final else f"; given up after {self.supervision.max_restarts} restarts"
                self._status = EngineStatus("dead", message=failure + again)
                return
            pause = self.supervision.pause(restarts)
            self._status = EngineStatus("loading", message=f"{failure}; restart {restarts} in {pause:g} s")
            logger.error(self._status.message)
            for listener in self._restart_listeners:
                listener()
            await asyncio.sleep(pause)

    async def _live(self) -> tuple[str, bool]:
        """Runs one engine until it ends. Returns why it ended, and whether starting another one is useless."""
        self._ready_since, self._run_tokens = None, 0
        try:
            self._child = child = await Child.launch(self.config)
        except OSError as error:
            return f"the engine process cannot be started: {error.strerror or error}", False
        try:
            async with asyncio.timeout(self.supervision.silence_seconds) as self._stall:
                while not isinstance(message := await child.receive(), Failed | None):
                    self._receive(message)
                    self._note_progress()
            failure = "the engine process ended" if message is None else message.message
        except TimeoutError:
            message, failure = None, f"the engine made no progress for {self._patience:g} s"
            child.kill()
        self._stall, self._stats = None, EngineStats()
        self._status = EngineStatus("loading", message=failure)
        self._end_streams(failure)
        ending = await child.end(GONE_SECONDS)
        self._child = None
        return f"{failure} ({ending})", not child.ended or (message is not None and self._info is None)

    def _abort(self, request_id: str) -> None:
        if self._streams.pop(request_id, None) is not None and self._child is not None:
            self._pace.end(request_id)
            self._child.send(Abort(request_id))

    @property
    def _patience(self) -> float:
        """How long the engine may be silent, in seconds, if it is not idle."""
        if self._status.phase != "ready":
            return self.supervision.silence_seconds
        return self.supervision.patience(self._run_tokens if self.info.device == "cpu" else 0)

    def _expect_progress(self) -> None:
        """Starts the timeout of an engine that was idle."""
        if self._stall is not None and self._stall.when() is None:
            self._note_progress()

    def _note_progress(self) -> None:
        """Restarts the timeout if the engine loads or has work; stops it if the engine is idle."""
        assert self._stall is not None
        busy = self._streams or self._stats.running or self._stats.waiting or self._run_tokens
        idle = self._status.phase == "ready" and not busy
        self._stall.reschedule(None if idle else asyncio.get_running_loop().time() + self._patience)

    def _receive(self, message: FromEngine) -> None:
        match message:
            case Loading(what, done, total):
                self._status = EngineStatus("loading", done / max(1, total), what)
            case Planned(plan):
                if self._on_plan is not None:
                    self._on_plan(plan)
            case Ready(info):
                self._info = info
                self._status = EngineStatus("ready", 1.0, "ready")
                self._ready_since = asyncio.get_running_loop().time()
            case Running(tokens):
                self._run_tokens = tokens
            case Events(events, stats):
                self._stats, self._run_tokens = stats, 0
                for event in events:
                    self._deliver(event)
                for listener in self._step_listeners:
                    listener(stats)

    def _deliver(self, event: TokenEvent) -> None:
        stream = self._streams.get(event.request_id)
        if stream is None:
            return  # Aborted while the event was in flight.
        if event.queue_seconds is not None:
            self._pace.begin(event.request_id, event.queue_seconds)
        if event.finish_reason is not None:
            del self._streams[event.request_id]
            self._pace.end(event.request_id)
        stream.push(event)

    def _end_streams(self, message: str) -> None:
        for request_id in list(self._streams):
            self._deliver(TokenEvent(request_id=request_id, finish_reason=FinishReason.ERROR, error=message))
