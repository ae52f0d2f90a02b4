"""Validates content against a schema: the first error becomes a RequestError that names the field."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.errors import RequestError
from server.hosted_tools import HostedTools
from server.schemas.request import TAGS

Schema = TypeVar("Schema", bound=BaseModel)


def validated(schema: type[Schema], content: Mapping[str, Any], context: HostedTools | None = None) -> Schema:
    """The content as `schema`. Raises RequestError for content that does not match it: `param` is the field's path."""
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
    """Where in the body an error is, in the notation of OpenAI's errors. Tags made by `tag` are left out.

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
