"""The server's end of the engine process: starts it, feeds it, hands its events to their streams, sees it die."""

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence

from engine.admission import admit
from engine.config import EngineConfig
from engine.errors import EngineNotReadyError, QueueFullError
from engine.process.wire import (
    LENGTH,
    Abort,
    Events,
    Failed,
    FromEngine,
    Loading,
    Ready,
    Start,
    Submit,
    ToEngine,
    decode_from_engine,
    frame,
)
from engine.request import FinishReason, Request, TokenEvent
from engine.streams import EngineInfo, EngineStats, EngineStatus, EventStream

STOP_SECONDS = 5.0


class EngineProcess:
    """An `EngineClient` whose engine runs in a process of its own. Use it from one event loop.

    `on_ready` is called with the memory plan in words.
    """

    def __init__(self, config: EngineConfig, on_ready: Callable[[str], None] | None = None) -> None:
        self.config = config
        self._on_ready = on_ready
        self._status = EngineStatus("loading", 0.0, "starting")
        self._info: EngineInfo | None = None
        self._stats = EngineStats()
        self._step_listeners: list[Callable[[EngineStats], None]] = []
        self._failure = "the engine process ended"
        self._streams: dict[str, EventStream] = {}
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

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

    def on_step(self, listener: Callable[[EngineStats], None]) -> None:
        self._step_listeners.append(listener)

    @property
    def pid(self) -> int | None:
        """The engine's process id, once it is started."""
        return None if self._process is None else self._process.pid

    @property
    def in_flight(self) -> int:
        """Requests submitted and not ended."""
        return len(self._streams)

    def submit(self, requests: Sequence[Request]) -> EventStream:
        if self._status.phase != "ready":
            raise EngineNotReadyError(f"the engine is {self._status.phase}: {self._status.message}")
        room = self.info.max_num_seqs + self.config.max_waiting
        if self.in_flight + len(requests) > room:
            raise QueueFullError(f"{self.in_flight} requests are running or waiting, {room} is the limit")
        admitted = [admit(request, self.info.vocab_size, self.info.max_model_len) for request in requests]
        stream = EventStream([request.id for request in admitted], self._abort)
        self._streams |= {request.id: stream for request in admitted}
        self._send(Submit(admitted))
        return stream

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine.process.worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
            )
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._send(Start(self.config))
        self._reading = asyncio.create_task(self._read(reader))

    async def stop(self) -> None:
        if self._process is None or self._writer is None or self._reading is None:
            return
        if self._status.phase != "dead":
            self._failure = "the engine was stopped"
            self._status = EngineStatus("stopping", message="shutting down")
        self._writer.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._end_streams(self._failure)

    def _abort(self, request_id: str) -> None:
        if self._streams.pop(request_id, None) is not None:
            self._send(Abort(request_id))

    def _send(self, message: ToEngine) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(message))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Takes messages until the engine's end of the pipe closes, which means that it is dead."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                self._receive(decode_from_engine(await reader.readexactly(length)))
        self._stats = EngineStats()
        if self._status.phase != "stopping":
            self._status = EngineStatus("dead", message=self._failure)
        self._end_streams(self._failure)

    def _receive(self, message: FromEngine) -> None:
        match message:
            case Loading(done, total):
                self._status = EngineStatus("loading", done / max(1, total), "loading weights")
            case Ready(info, plan):
                self._info = info
                self._status = EngineStatus("ready", 1.0, "ready")
                if self._on_ready is not None:
                    self._on_ready(plan)
            case Failed(failure):
                self._failure = failure
            case Events(events, stats):
                self._stats = stats
                for event in events:
                    self._deliver(event)
                for listener in self._step_listeners:
                    listener(stats)

    def _deliver(self, event: TokenEvent) -> None:
        stream = self._streams.get(event.request_id)
        if stream is None:
            return  # Aborted while the event was on its way.
        if event.finish_reason is not None:
            del self._streams[event.request_id]
        stream.push(event)

    def _end_streams(self, message: str) -> None:
        for request_id in list(self._streams):
            self._deliver(TokenEvent(request_id=request_id, finish_reason=FinishReason.ERROR, error=message))
