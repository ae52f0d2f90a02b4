"""The server's own errors, and the status, type and code of each class of errors.

The body is always `{"error": {"message", "type", "param", "code"}}`; on Anthropic's paths with `type` beside it.
"""

from dataclasses import dataclass, replace
from typing import Any

from engine.errors import (
    CarouselError,
    EngineNotReadyError,
    GenerationError,
    QueueFullError,
    RequestError,
    SlowReaderError,
)


class UnknownUrlError(RequestError):
    """Nothing is served at the request's path."""


class WrongMethodError(RequestError):
    """The request's path is served, but not with its method."""


class UnknownModelError(RequestError):
    """The request names a model that is not served here."""


class UnknownResponseError(RequestError):
    """The request names an answer that is not kept here, or that belongs to another key."""


class BodyTooLargeError(RequestError):
    """The request's body exceeds the limit."""


class UnsupportedMediaTypeError(RequestError):
    """The content type of the request's body is not JSON."""


class MalformedRequestError(RequestError):
    """The data received is not HTTP."""


class HeadersTooLargeError(RequestError):
    """The request's line and headers exceed the limit."""


class SlowRequestError(RequestError):
    """The request did not arrive in time."""


class DeadlineError(CarouselError):
    """The request's time is up before its answer is complete."""


class TooManyConnectionsError(CarouselError):
    """No room for another connection."""


class KeyRefusedError(CarouselError):
    """The request has no key, or an unknown one."""


class HostRefusedError(CarouselError):
    """The request's Host header does not match this server."""


class OriginRefusedError(CarouselError):
    """A page of another site sent the request."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a class of errors is reported."""

    status: int
    type: str
    code: str | None = None


KINDS: dict[type[BaseException], Kind] = {
    UnknownUrlError: Kind(404, "not_found_error", "unknown_url"),
    WrongMethodError: Kind(405, "invalid_request_error", "method_not_allowed"),
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


def kind_of(error: BaseException) -> Kind:
    """How the error is reported; its own `code`, if it has one, replaces that of its class."""
    kind = next(KINDS[base] for base in type(error).__mro__ if base in KINDS)
    own = error.code if isinstance(error, RequestError) else None
    return kind if own is None else replace(kind, code=own)


def error_kind(error: BaseException) -> str:
    """The error as one of few words, for counting."""
    kind = kind_of(error)
    return kind.code or kind.type


def error_body(error: BaseException) -> dict[str, Any]:
    """The body of an error answer, or an error event's data. The details of unforeseen errors are not shown."""
    kind = kind_of(error)
    message = str(error) if isinstance(error, CarouselError) else "the server failed to answer this request"
    param = error.param if isinstance(error, RequestError) else None
    return {"error": {"message": message, "type": kind.type, "param": param, "code": kind.code}}
