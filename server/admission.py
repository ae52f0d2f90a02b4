"""Decides which requests reach the engine: by their key, and with a time limit."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from engine.errors import EngineNotReadyError, QueueFullError, RequestError
from engine.request import Request
from engine.streams import EngineClient, EngineStatus, EventStream
from server.errors import DeadlineError


@dataclass(slots=True, eq=False)
class Admitted:
    """Requests that the engine has accepted. `close` aborts those that still run."""

    events: EventStream
    key: int
    admission: "Admission"
    timer: asyncio.TimerHandle

    def close(self) -> None:
        self.timer.cancel()
        self.events.close()
        self.admission.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Admission:
    """Submits requests to the engine, all of an HTTP request together.

    There are as many places as requests can run and wait in the engine. With several keys, the requests of one key may
    hold no more places than are free: a single key gets half of them, two get a third each, and a further one still
    finds some (Choudhury and Hahne, "Dynamic queue length thresholds", 1998).
    """

    def __init__(self, engine: EngineClient, *, request_seconds: float, keys: int) -> None:
        """`request_seconds` is the limit from a request's arrival to its answer's end; requests may ask for less."""
        self._engine = engine
        self._request_seconds = request_seconds
        self._keys = keys
        self._admitted: set[Admitted] = set()
        self._none_left = asyncio.Event()
        self._draining = False

    @property
    def status(self) -> EngineStatus:
        """The engine's status; stopping, if the server accepts no more requests."""
        return EngineStatus("stopping", message="shutting down") if self._draining else self._engine.status

    @property
    def running(self) -> int:
        """The number of HTTP requests whose answers have not ended."""
        return len(self._admitted)

    def submit(self, requests: Sequence[Request], *, key: int, timeout: float | None, elapsed: float) -> Admitted:
        """Accepts all of the requests or none. `timeout` is the request's own limit, `elapsed` its age (both seconds).

        Raises what the engine raises; QueueFullError for too many requests of one key; RequestError for a timeout
        above the server's, or for more requests than there are places; DeadlineError if the time is already up.
        When the time is up later, or the server stops, reading the events raises the error.
        """
        if self._draining:
            raise EngineNotReadyError("the server is stopping")
        limit = self._request_seconds
        if timeout is not None and timeout > limit:
            raise RequestError(f"timeout must be at most {limit:g} seconds, got {timeout:g}", param="timeout")
        seconds = limit if timeout is None else timeout
        late = DeadlineError(f"the answer was not complete after {seconds:g} seconds")
        if elapsed >= seconds:
            raise late
        if self._engine.status.phase == "ready":
            self._check_share(len(requests), key)
        events = self._engine.submit([replace(request, client=key) for request in requests])
        timer = asyncio.get_running_loop().call_later(seconds - elapsed, events.fail, late)
        admitted = Admitted(events, key, self, timer)
        self._admitted.add(admitted)
        return admitted

    def forget(self, admitted: Admitted) -> None:
        """Frees the places of these requests."""
        self._admitted.discard(admitted)
        if not self._admitted:
            self._none_left.set()

    async def drain(self, seconds: float) -> None:
        """Refuses new requests, and returns once all have ended; those that have not after `seconds` get an error."""
        self._draining = True
        if self._admitted:
            self._none_left.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), seconds)
        for admitted in self._admitted:
            admitted.events.fail(EngineNotReadyError("the server has stopped"))

    def _check_share(self, count: int, key: int) -> None:
        info = self._engine.info
        room = info.max_num_seqs + info.max_waiting
        if count > room:
            raise RequestError(f"{count} answers requested at once; the limit is {room}", param="n")
        free = room - sum(admitted.events.open for admitted in self._admitted)
        own = sum(admitted.events.open for admitted in self._admitted if admitted.key == key)
        if self._keys > 1 and own + count > free:
            raise QueueFullError(f"{own} requests of this key are running or waiting; {free} places are free")
