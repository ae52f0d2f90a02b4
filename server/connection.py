"""A bounded HTTP connection: uvicorn's protocol with the limits and deadlines that it leaves to proxies."""

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from engine.errors import CarouselError
from server.auth import Keys
from server.error_answers import error_response
from server.errors import (
    HeadersTooLargeError,
    KeyRefusedError,
    MalformedRequestError,
    SlowRequestError,
    TooManyConnectionsError,
    error_kind,
)
from server.logs import log
from server.request_id import new_request_id
from server.upgrade import head_without_offer

MAX_PIPELINED = 8
"""The most pipelined requests that may wait on a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How much memory and time a client may take.

    `header_bytes` bounds a request's line and headers. A request must arrive completely within `receive_seconds` of its
    first byte. A client that reads nothing of an answer for `send_seconds`, while 64 KiB wait beyond the kernel's
    `send_buffer`, is cut off. After an answer the connection waits `idle_seconds` for the next request: longer than
    clients and proxies keep connections open, since otherwise they may send a request while the server closes.
    """

    header_bytes: int = 64_000
    receive_seconds: float = 30.0
    send_seconds: float = 30.0
    idle_seconds: float = 75.0
    send_buffer: int = 128 * 2**10
    connections: int = 10_000


class BoundedProtocol(HttpToolsProtocol):
    """Refuses bad requests with the JSON body of all errors, and then closes the connection."""

    def __init__(self, *args: Any, limits: ConnectionLimits, keys: Keys, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._keys = keys
        self._header_bytes = 0
        self._in_headers = False
        self._in_body = False
        """Also set in the trailers of a chunked body, which nobody needs."""
        self._goes_on = False
        """Whether the last data received had part of a body, or the beginning of a request."""
        self._heard = False
        self._refused = False
        self._running: RequestResponseCycle | None = None
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        full = len(self.connections) >= self._limits.connections
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_buffer)
        if full:
            self._refuse(TooManyConnectionsError("too many connections are open"))
        else:
            self._start_receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_receiving()
        self.resume_writing()
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # Uvicorn notifies only the last pipelined request.
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._heard = True
        if self.cycle is None or self.cycle.response_complete:
            self._start_receiving()
        in_body, self._goes_on = self._in_body, False
        if self._in_headers:
            self._header_bytes += len(data)
        self._unset_keepalive_if_required()
        refusal: CarouselError | None = None
        try:
            self._parse(data)
        except httptools.HttpParserError:
            refusal = MalformedRequestError("this is not HTTP")
        if in_body and self._in_body:
            self._header_bytes = 0 if self._goes_on else self._header_bytes + len(data)
        if self._header_bytes > self._limits.header_bytes:
            refusal = self._headers_too_large()
        if refusal is not None:
            self._refuse(refusal)

    def on_body(self, body: bytes) -> None:
        self._goes_on = True
        super().on_body(body)

    def _parse(self, data: bytes) -> None:
        """Parses received data. Raises HttpParserError, also for errors raised by callbacks.

        The parser assumes that a request that offers an upgrade ends with its headers, so a new one parses it again
        without the offer.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn's own.
            self._parse(head_without_offer(method, self.url, version, self.headers) + data[upgrade.args[0] :])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._goes_on = True
        self._start_receiving()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignores headers after a body, of which there could be any number."""
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises ValueError for too many headers and for proxy requests; the parser turns it into its own error."""
        self._in_headers = False
        self._header_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._header_bytes > self._limits.header_bytes or len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too large")
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("no proxy")
        if not self.parser.should_upgrade():  # Otherwise it is parsed again.
            self._in_body = True
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        if not self.parser.should_upgrade():
            self._stop_receiving()
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._cut_off_later()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._cut_off_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._sending = self.loop.call_later(self._limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _start_receiving(self) -> None:
        if self._receiving is None:
            self._receiving = self.loop.call_later(self._limits.receive_seconds, self._too_slow)

    def _stop_receiving(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _too_slow(self) -> None:
        self._receiving = None
        if self.pipeline:  # Reading pauses while an earlier request is answered.
            self._start_receiving()
        elif self._heard and not (self._running is not None and self._running.response_started):
            self._refuse(SlowRequestError(f"the request took longer than {self._limits.receive_seconds:g} seconds"))
        else:
            self.transport.abort()

    def _headers_too_large(self) -> CarouselError:
        """The refusal of too many headers. A client without a key learns nothing else."""
        try:
            self._keys.number(self.headers)
        except KeyRefusedError as error:
            return error
        return HeadersTooLargeError(f"the headers are larger than {self._limits.header_bytes} bytes")

    def _refuse(self, error: CarouselError) -> None:
        self._refused = True
        self._stop_receiving()
        response, request_id = error_response(error, path=""), new_request_id()
        headers = {**dict(response.raw_headers), b"x-request-id": request_id.encode(), b"connection": b"close"}
        lines = b"".join(b"%s: %s\r\n" % header for header in headers.items())
        self.transport.write(STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body))
        self.transport.close()
        self._cut_off_later()
        log(
            logging.INFO,
            "refused",
            "refused before a request was read",
            request_id=request_id,
            status=response.status_code,
            error=error_kind(error),
            client=None if self.client is None else self.client[0],
        )

    def _cut_off_later(self) -> None:
        """Aborts the connection later: after it is closed, it still waits for the client to read what was sent."""
        self.loop.call_later(self._limits.send_seconds, self.transport.abort)
