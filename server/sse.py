"""Server-sent events, sent as they come, with comments during pauses."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.errors import CarouselError
from server.disconnect import until_disconnect
from server.frames import PING


class EventSourceResponse(Response):
    """Sends `frames`, then the result of `ending`, which takes the error that ended them, or None.

    When the client disconnects, `frames` is closed at once. `on_error` is called with an error; `on_close` is always
    called, even if nothing was sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        ending: Callable[[Exception | None], bytes],
        on_error: Callable[[Exception], None],
        on_close: Callable[[], None],
        ping_seconds: float,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._ending = ending
        self._on_error = on_error
        self._on_close = on_close
        self._ping_seconds = ping_seconds
        self._last_sent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with suppress(ClientDisconnect):
                await until_disconnect(receive, self._stream(send))
        finally:
            self._on_close()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pinging = asyncio.create_task(self._ping(send))
        unforeseen: Exception | None = None
        try:
            await self._send_frames(send)
            last = self._ending(None)
        except CarouselError as error:
            self._on_error(error)
            last = self._ending(error)
        except Exception as error:
            unforeseen, last = error, self._ending(error)
        finally:
            pinging.cancel()
        await send({"type": "http.response.body", "body": last, "more_body": False})
        if unforeseen is not None:
            raise unforeseen

    async def _send_frames(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            async for frame in frames:
                await self._send(send, frame)

    async def _send(self, send: Send, body: bytes) -> None:
        self._last_sent = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _ping(self, send: Send) -> None:
        now = asyncio.get_running_loop().time
        self._last_sent = now()
        while True:
            silent = now() - self._last_sent
            if silent < self._ping_seconds:
                await asyncio.sleep(self._ping_seconds - silent)
            else:
                await self._send(send, PING)
