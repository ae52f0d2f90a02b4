"""Server-sent events as bytes."""

import json

from server.errors import error_body

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"


def frame(payload: str, event: str | None = None) -> bytes:
    """One event with a line of data, and a name, if it has one.

    >>> frame("{}", event="a")
    b'event: a\\ndata: {}\\n\\n'
    """
    return ("" if event is None else f"event: {event}\n").encode() + f"data: {payload}\n\n".encode()


def done_or_error(error: Exception | None) -> bytes:
    """The end of a stream of chunks: `[DONE]`, or an event `{"error": {…}}` instead."""
    return DONE if error is None else frame(json.dumps(error_body(error)))
