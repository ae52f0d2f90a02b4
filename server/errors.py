"""Every error as an HTTP answer: the only place with status codes.

The body is always `{"error": {"message", "type", "param", "code"}}`; on Anthropic's paths with `type` beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from engine.errors import (
    CarouselError,
    EngineNotReadyError,
    GenerationError,
    QueueFullError,
    RequestError,
    SlowReaderError,
)
from server.anthropic_form import in_form_of
from server.wrong_urls import hint

NOT_READY_RETRY_SECONDS = 1


class UnknownModelError(RequestError):
    """The request names a model that is not served here."""


class UnknownResponseError(RequestError):
    """The request names an answer that is not kept here, or is another key's."""


class BodyTooLargeError(RequestError):
    """The request's body exceeds the limit."""


class UnsupportedMediaTypeError(RequestError):
    """The request's body is not declared as JSON."""


class MalformedRequestError(RequestError):
    """What came is not HTTP."""


class HeadersTooLargeError(RequestError):
    """The request's line and headers exceed the limit."""


class SlowRequestError(RequestError):
    """The request did not arrive in time."""


class DeadlineError(CarouselError):
    """The request's time is up, and its answer is not complete."""


class TooManyConnectionsError(CarouselError):
    """No room for another connection."""


class KeyRefusedError(CarouselError):
    """The request shows no key, or one that is not known here."""


class HostRefusedError(CarouselError):
    """The request's Host header names none of this server's names."""


class OriginRefusedError(CarouselError):
    """The request was made by another site's page in a browser."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a class of errors is reported. An error's own `code` goes before this one."""

    status: int
    type: str
    code: str | None = None


KINDS: dict[type[BaseException], Kind] = {
    UnknownModelError: Kind(404, "not_found_error", "model_not_found"),
    UnknownResponseError: Kind(404, "not_found_error", "response_not_found"),
    BodyTooLargeError: Kind(413, "invalid_request_error", "body_too_large"),
    UnsupportedMediaTypeError: Kind(415, "invalid_request_error", "unsupported_media_type"),
    MalformedRequestError: Kind(400, "invalid_request_error", "malformed_request"),
    HeadersTooLargeError: Kind(431, "invalid_request_error", "headers_too_large"),
    SlowRequestError: Kind(408, "invalid_request_error", "request_too_slow"),
    SlowReaderError: Kind(408, "invalid_request_error", "reader_too_slow"),
    DeadlineError: Kind(504, "timeout_error", "deadline_exceeded"),
    TooManyConnectionsError: Kind(503, "service_unavailable_error", "too_many_connections"),
    KeyRefusedError: Kind(401, "authentication_error", "invalid_api_key"),
    HostRefusedError: Kind(403, "permission_error", "host_not_allowed"),
    OriginRefusedError: Kind(403, "permission_error", "origin_not_allowed"),
    RequestError: Kind(400, "invalid_request_error"),
    QueueFullError: Kind(429, "rate_limit_error", "queue_full"),
    EngineNotReadyError: Kind(503, "service_unavailable_error", "engine_not_ready"),
    GenerationError: Kind(500, "server_error", "generation_failed"),
    CarouselError: Kind(500, "server_error"),
    BaseException: Kind(500, "server_error", "internal_error"),
}

HTTP_KINDS = {
    404: Kind(404, "not_found_error", "unknown_url"),
    405: Kind(405, "invalid_request_error", "method_not_allowed"),
}


def kind_of(error: BaseException) -> Kind:
    return next(KINDS[base] for base in type(error).__mro__ if base in KINDS)


def error_kind(error: BaseException) -> str:
    """An error in one word, of which there are few: for counting."""
    if isinstance(error, HTTPException):
        kind = http_kind(error.status_code)
        return kind.code or kind.type
    kind = kind_of(error)
    return (error.code if isinstance(error, RequestError) else None) or kind.code or kind.type


def error_body(error: BaseException) -> dict[str, Any]:
    """The body of an error answer, or an error event's data. Unforeseen errors keep their details."""
    kind = kind_of(error)
    message = str(error) if isinstance(error, CarouselError) else "the server failed to answer this request"
    param = error.param if isinstance(error, RequestError) else None
    code = (error.code if isinstance(error, RequestError) else None) or kind.code
    return body(message, kind.type, param, code)


def body(message: str, error_type: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": error_type, "param": param, "code": code}}


def error_response(error: BaseException, path: str) -> Response:
    kind = kind_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, EngineNotReadyError | TooManyConnectionsError):
        headers["retry-after"] = str(NOT_READY_RETRY_SECONDS)
    elif isinstance(error, DeadlineError):
        headers["x-should-retry"] = "false"  # OpenAI's clients would ask the same again.
    elif isinstance(error, KeyRefusedError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, BodyTooLargeError | KeyRefusedError | HostRefusedError | OriginRefusedError):
        headers["connection"] = "close"  # The rest of the body is not read.
    return JSONResponse(in_form_of(path, error_body(error)), kind.status, headers)


async def refuse(error: CarouselError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for a middleware."""
    scope["state"]["meter"].failed(error)
    await error_response(error, scope["path"])(scope, receive, send)


def http_kind(status: int) -> Kind:
    return HTTP_KINDS.get(status, Kind(status, "invalid_request_error"))


def http_error_response(status: int, message: str, path: str, headers: Mapping[str, str] | None) -> Response:
    """The answer to an error the routing found: an unknown path, a wrong method."""
    kind = http_kind(status)
    return JSONResponse(in_form_of(path, body(message, kind.type, None, kind.code)), status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Answers the errors that are foreseen; what is not, the outermost middleware answers."""

    @app.exception_handler(CarouselError)
    async def carousel_error(request: Request, error: Exception) -> Response:
        request.state.meter.failed(error)
        response = error_response(error, request.url.path)
        if isinstance(error, QueueFullError):
            response.headers["retry-after"] = str(request.app.state.server.engine.retry_seconds)
        return response

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        request.state.meter.failed(error)
        message = f"{error.detail}: {request.method} {request.url.path}"
        if (instead := hint(request.url.path)) is not None:
            message += f": {instead}"
        return http_error_response(error.status_code, message, request.url.path, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def client_disconnected(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # Nginx's "client closed request"; nobody reads it.
