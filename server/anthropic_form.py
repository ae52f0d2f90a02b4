"""Errors in the form that Anthropic's clients read, and the paths that use it."""

from typing import Any

PATH = "/v1/messages"
TYPES = {
    "service_unavailable_error": "overloaded_error",
    "server_error": "api_error",
    "body_too_large": "request_too_large",
}
"""Anthropic's types by the server's types or codes; all other types have the same name."""


def is_anthropic(path: str) -> bool:
    """Whether a path is one of Anthropic's API."""
    return path == PATH or path.startswith(f"{PATH}/")


def in_form_of(path: str, content: dict[str, Any]) -> dict[str, Any]:
    """An error's body in the form that the clients of the path read."""
    return anthropic_body(content) if is_anthropic(path) else content


def anthropic_body(content: dict[str, Any]) -> dict[str, Any]:
    """An error's body in Anthropic's form.

    >>> anthropic_body({"error": {"type": "server_error", "code": None}})
    {'type': 'error', 'error': {'type': 'api_error', 'code': None}}
    """
    details = content["error"]
    kind = details["code"] if details["code"] in TYPES else details["type"]
    return {"type": "error", "error": details | {"type": TYPES.get(kind, kind)}}
