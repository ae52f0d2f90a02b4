"""Measures each request while it is answered; counts and logs it once at its end."""

import logging
from collections.abc import Iterable
from time import perf_counter, time_ns
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.request import TokenEvent
from engine.streams import EventStream
from server.auth import PROBED
from server.error_answers import error_response
from server.errors import error_kind
from server.logs import log, log_exception
from server.metrics import Metrics
from server.schemas.usage import Usage
from server.tracing import RequestTrace, Tracing

POLLED = PROBED | {"/metrics"}
"""Machines request these every few seconds: logged for debugging only, and not traced."""
OPERATIONS = {"/v1/completions": "text_completion"} | dict.fromkeys(
    ("/v1/chat/completions", "/v1/responses", "/v1/messages"), "chat"
)
"""OpenTelemetry's names of the operations of endpoints that generate."""


class Choice(Protocol):
    """One of the answers to a request. `finish_reason` is None until it ends."""

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def recoveries(self) -> int: ...


class Measured(Protocol):
    """An answer as far as it is measured, during generation and after."""

    @property
    def model(self) -> str: ...

    @property
    def choices(self) -> Iterable[Choice]: ...

    @property
    def usage(self) -> Usage: ...


class RequestMeter:
    """Measures one HTTP request. Code that answers it reports here; `finish` counts and logs the request.

    `began` is its arrival (perf_counter). `status` is the HTTP status, once there is one; `error` is the kind of error
    that ended the request. `goes_on`: the request continues after its HTTP response, and then calls `finish` itself.
    """

    def __init__(self, metrics: Metrics, tracing: Tracing | None, scope: Scope) -> None:
        self.status: int | None = None
        self.error: str | None = None
        self._metrics = metrics
        self._tracing = tracing
        self._scope = scope
        self.began, self._began_ns = perf_counter(), time_ns()
        self._moments: dict[str, float] = {}
        self._first_token: float | None = None
        self._last_tokens: dict[str, float] = {}
        self._answer: Measured | None = None
        self.goes_on = False

    @property
    def endpoint(self) -> str:
        """The path of the route, not of the request: there are few, and none contains a secret."""
        route = self._scope.get("route")
        return "unknown" if route is None else route.path

    def follow(self, answer: Measured, events: EventStream) -> None:
        """Starts to measure the answer that is made from `events`."""
        self._answer = answer
        self._moments["queued"] = perf_counter()
        events.listener = self._note

    def failed(self, error: BaseException) -> None:
        self.error = error_kind(error)

    def finish(self) -> None:
        endpoint, seconds = self.endpoint, perf_counter() - self.began
        status = 500 if self.status is None else self.status
        self._metrics.requests.labels(endpoint, status).inc()
        self._metrics.request_seconds.labels(endpoint).observe(seconds)
        if self.error is not None:
            self._metrics.errors.labels(self.error).inc()
        reasons = None if self._answer is None else self._count(self._answer)
        usage = None if self._answer is None else self._answer.usage
        log(
            logging.DEBUG if endpoint in POLLED else logging.INFO,
            "request",
            request_id=self._scope["state"]["request_id"],
            method=self._scope["method"],
            endpoint=endpoint,
            status=status,
            error=self.error,
            model=None if self._answer is None else self._answer.model,
            finish_reasons=reasons,
            prompt_tokens=None if usage is None else usage.prompt_tokens,
            completion_tokens=None if usage is None else usage.completion_tokens,
            first_token_seconds=None if self._first_token is None else round(self._first_token, 6),
            seconds=round(seconds, 6),
            key=self._scope["state"].get("key"),
            client=None if self._scope.get("client") is None else self._scope["client"][0],
        )
        if self._tracing is not None and endpoint not in POLLED:
            self._tracing.record(self._trace(status, reasons, usage))

    def _trace(self, status: int, reasons: list[str] | None, usage: Usage | None) -> RequestTrace:
        """The request as a span, with the names of OpenTelemetry's conventions."""
        method, endpoint = self._scope["method"], self.endpoint
        return RequestTrace(
            name=f"{method} {endpoint}",
            began=self._began_ns,
            ended=self._nanoseconds(perf_counter()),
            moments={name: self._nanoseconds(at) for name, at in self._moments.items()},
            attributes={
                "http.request.method": method,
                "http.route": endpoint,
                "http.response.status_code": status,
                "error.type": self.error,
                "carousel.request_id": self._scope["state"]["request_id"],
                "gen_ai.provider.name": "carousel",
                "gen_ai.operation.name": OPERATIONS.get(endpoint),
                "gen_ai.request.model": None if self._answer is None else self._answer.model,
                "gen_ai.response.finish_reasons": reasons,
                "gen_ai.usage.input_tokens": None if usage is None else usage.prompt_tokens,
                "gen_ai.usage.output_tokens": None if usage is None else usage.completion_tokens,
            },
            failed=status >= 500 or self.error is not None,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in self._scope["headers"]},
        )

    def _nanoseconds(self, at: float) -> int:
        """A time of `perf_counter` as nanoseconds since the Unix epoch."""
        return self._began_ns + round((at - self.began) * 1e9)

    def _count(self, answer: Measured) -> list[str]:
        """Counts the answer's tokens and choices, and returns why each choice ended."""
        metrics, endpoint, unfinished = self._metrics, self.endpoint, "abort" if self.error is None else "error"
        reasons = [choice.finish_reason or unfinished for choice in answer.choices]
        for reason in reasons:
            metrics.choices.labels(endpoint, reason).inc()
        metrics.prompt_tokens.labels(endpoint).inc(answer.usage.prompt_tokens)
        metrics.cached_prompt_tokens.labels(endpoint).inc(answer.usage.prompt_tokens_details.cached_tokens)
        metrics.harmony_recoveries.inc(sum(choice.recoveries for choice in answer.choices))
        return reasons

    def _note(self, event: TokenEvent) -> None:
        if not event.token_ids:
            return
        now = perf_counter()
        self._metrics.completion_tokens.labels(self.endpoint).inc(len(event.token_ids))
        if event.queue_seconds is not None:
            self._metrics.queue_seconds.labels(self.endpoint).observe(event.queue_seconds)
            self._moments.setdefault("prefill", self._moments["queued"] + event.queue_seconds)
        if self._first_token is None:
            self._moments["decode"] = now
            self._first_token = now - self.began
            self._metrics.first_token_seconds.labels(self.endpoint).observe(self._first_token)
        before = self._last_tokens.get(event.request_id)
        if before is not None:
            self._metrics.inter_token_seconds.labels(self.endpoint).observe((now - before) / len(event.token_ids))
        self._last_tokens[event.request_id] = now


class MeterMiddleware:
    """Plain ASGI: puts a RequestMeter into every HTTP request's `state.meter`; answers unforeseen errors."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meter = scope["state"]["meter"] = RequestMeter(self._metrics, self._tracing, scope)

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                meter.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:
            log_exception(error)
            meter.failed(error)
            if meter.status is None:
                await error_response(error, scope["path"])(scope, receive, send_noting)
        finally:
            if not meter.goes_on:
                meter.finish()
