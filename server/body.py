"""A request's JSON body, read up to a limit and validated."""

from collections.abc import AsyncIterator, Callable

from fastapi import Request
from pydantic_core import from_json

from engine.errors import RequestError
from server.body_memory import HeldBody
from server.errors import BodyTooLargeError, UnsupportedMediaTypeError
from server.hosted_tools import HostedTools
from server.schemas.validation import Schema, validated
from server.state import State


def json_body(schema: type[Schema]) -> Callable[[Request, State], AsyncIterator[Schema]]:
    """A FastAPI dependency: the body as `schema`. Raises RequestError and its subclasses, and QueueFullError."""

    async def read(request: Request, state: State) -> AsyncIterator[Schema]:
        held = request.state.body = HeldBody(state.bodies)
        try:
            body = await read_body(request, state.settings.max_body_bytes, held.take)
            yield parse(schema, body, state.hosted_tools)
        finally:
            if not held.goes_on:
                held.give_back()

    return read


async def read_body(request: Request, limit: int, hold: Callable[[int], None]) -> bytes:
    """The body, of at most `limit` bytes; a longer one is not read to its end. `hold` is called with the size of each
    piece. Raises UnsupportedMediaTypeError, BodyTooLargeError, and what `hold` does."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaTypeError(f"content-type must be application/json, got {media_type or 'none'}")
    too_large = BodyTooLargeError(f"the body is larger than {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        hold(len(chunk))
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def parse(schema: type[Schema], body: bytes, hosted_tools: HostedTools | None = None) -> Schema:
    """The body as `schema`. Raises RequestError for a body that is not JSON or does not match the schema (then `param`
    is the field's path)."""
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(content, dict):
        raise RequestError("the body must be a JSON object", code="invalid_json")
    return validated(schema, content, hosted_tools)
