"""Errors as HTTP answers."""

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from engine.errors import CarouselError, EngineNotReadyError, QueueFullError
from server.anthropic_form import in_form_of
from server.errors import (
    BodyTooLargeError,
    DeadlineError,
    HostRefusedError,
    KeyRefusedError,
    OriginRefusedError,
    TooManyConnectionsError,
    UnknownUrlError,
    WrongMethodError,
    error_body,
    kind_of,
)
from server.wrong_urls import hint

NOT_READY_RETRY_SECONDS = 1


def error_response(error: BaseException, path: str) -> Response:
    """The answer to a request for `path`."""
    headers: dict[str, str] = {}
    if isinstance(error, EngineNotReadyError | TooManyConnectionsError):
        headers["retry-after"] = str(NOT_READY_RETRY_SECONDS)
    elif isinstance(error, DeadlineError):
        headers["x-should-retry"] = "false"  # OpenAI's clients would ask the same again.
    elif isinstance(error, KeyRefusedError):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, BodyTooLargeError | KeyRefusedError | HostRefusedError | OriginRefusedError):
        headers["connection"] = "close"  # The rest of the body is not read.
    return JSONResponse(in_form_of(path, error_body(error)), kind_of(error).status, headers)


async def refuse(error: CarouselError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers in place of the application, for a middleware."""
    scope["state"]["meter"].failed(error)
    await error_response(error, scope["path"])(scope, receive, send)


def install_error_handlers(app: FastAPI) -> None:
    """Answers foreseen errors. Unforeseen ones reach the outermost middleware."""

    @app.exception_handler(CarouselError)
    async def carousel_error(request: Request, error: Exception) -> Response:
        request.state.meter.failed(error)
        response = error_response(error, request.url.path)
        if isinstance(error, QueueFullError):
            response.headers["retry-after"] = str(request.app.state.server.engine.retry_seconds)
        return response

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: Exception) -> Response:
        """What the routing raises: a path or a method that is not served."""
        assert isinstance(error, HTTPException)
        message = f"{error.detail}: {request.method} {request.url.path}"
        if (instead := hint(request.url.path)) is not None:
            message += f": {instead}"
        kind = WrongMethodError if error.status_code == 405 else UnknownUrlError
        response = await carousel_error(request, kind(message))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    async def client_disconnected(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # Nginx's "client closed request"; nobody reads it.
