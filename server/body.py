"""A request's JSON body, read with a limit and checked against a schema."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from engine.errors import RequestError
from server.body_memory import HeldBody
from server.errors import BodyTooLargeError, UnsupportedMediaTypeError
from server.hosted_tools import HostedTools
from server.schemas.request import TAGS
from server.state import State

Schema = TypeVar("Schema", bound=BaseModel)


def json_body(schema: type[Schema]) -> Callable[[Request, State], AsyncIterator[Schema]]:
    """A FastAPI dependency: the body as `schema`. Raises RequestError and its kin, QueueFullError."""

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
    """At most `limit` bytes; of a longer body no more than that is read. `hold` is told of each piece's size."""
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


def parse(schema: type[Schema], body: bytes, hosted_tools: HostedTools) -> Schema:
    """Raises RequestError: not JSON, or not as the schema wants it (then `param` is the field's path)."""
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(content, dict):
        raise RequestError("the body must be a JSON object", code="invalid_json")
    return validated(schema, content, hosted_tools)


def validated(schema: type[Schema], content: Mapping[str, Any], context: HostedTools | None = None) -> Schema:
    """Raises RequestError for what is not as the schema wants it: `param` is the field's path."""
    try:
        return schema.model_validate(content, context=context)
    except ValidationError as error:
        raise as_request_error(error.errors(include_url=False)[0]) from error


def as_request_error(details: ErrorDetails) -> RequestError:
    param = field_path(details["loc"])
    if not param:
        return RequestError(details["msg"])
    if details["type"] == "extra_forbidden":
        return RequestError(f"{param} is not supported", param=param, code="unsupported_parameter")
    if details["type"] == "missing":
        return RequestError(f"{param} is required", param=param, code="missing_required_parameter")
    return RequestError(f"{param}: {details['msg']}", param=param)


def field_path(location: Sequence[int | str]) -> str:
    """Where in the body an error is, in the notation of OpenAI's errors. What `tag` has made is no step of it.

    >>> from server.schemas.request import tag
    >>> field_path(("messages", 0, "content")), field_path(("input", 1, tag("reasoning"), "id"))
    ('messages[0].content', 'input[1].id')
    """
    path = ""
    for step in location:
        if step in TAGS:
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")
