"""What can go wrong between a client and its server, as one tree.

ClientError
├── ConnectionFailedError   no answer came, or it broke off
│   ├── UnreachableError    no connection: nothing was sent
│   └── TimedOutError       the server took longer than the timeout
├── AnswerError             the server answered with an error (`status`, `type`, `param`, `code`)
│   ├── BadRequestError     400, 413, 415, 422
│   ├── AuthenticationError 401, 403
│   ├── NotFoundError       404, 405
│   ├── BusyError           429 and 503: try again after `retry_after` seconds
│   └── ServerFailedError   any other, or an error in the middle of a stream (`status` 200)
├── ToolRoundsError         the model called tools in every round
└── UsageError              the request cannot be made, and was not sent
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from clients.printable import printable


class ClientError(Exception):
    """Base of every error that this package raises on purpose. `str(error)` is one line to show a user."""


class ConnectionFailedError(ClientError):
    """The server could not be reached, or the connection broke off before the answer was whole."""


class UnreachableError(ConnectionFailedError):
    """There was no connection, so the server has not seen the request."""


class TimedOutError(ConnectionFailedError):
    """The server was silent for longer than the timeout."""


class AnswerError(ClientError):
    """An error that the server reported. `type`, `param` and `code` are None if the server did not send them."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = error_type
        self.param = param
        self.code = code
        self.retry_after = retry_after


class BadRequestError(AnswerError):
    """The request cannot be served as asked; `param` names the field at fault."""


class AuthenticationError(AnswerError):
    """The key is missing or wrong."""


class NotFoundError(AnswerError):
    """No such model or address."""


class BusyError(AnswerError):
    """The server has no room now, or is not ready yet."""


class ServerFailedError(AnswerError):
    """The server failed to answer."""


class ToolRoundsError(ClientError):
    """The model still called tools after the last allowed round."""


class UsageError(ClientError):
    """Unusable input: a file, an option, a missing package, a field that JSON cannot hold, a key that cannot be sent in
    a header, a proxy or certificates that cannot be used."""


CLASSES: dict[int, type[AnswerError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    405: NotFoundError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    429: BusyError,
    503: BusyError,
}


def answer_error(status: int, content: Any, retry_after: str | None = None) -> AnswerError:
    """The error for an answer with this status and JSON content."""
    error = content.get("error") if isinstance(content, dict) else None
    details = error if isinstance(error, dict) else {"message": error}
    return CLASSES.get(status, ServerFailedError)(
        printable(str(details.get("message") or f"the server answered with status {status}")),
        status=status,
        error_type=details.get("type"),
        param=details.get("param"),
        code=details.get("code"),
        retry_after=None if retry_after is None else seconds_of(retry_after),
    )


def seconds_of(retry_after: str) -> float | None:
    """A Retry-After header (RFC 9110, section 10.2.3): seconds, or a date. None if it is neither.

    >>> seconds_of("3"), seconds_of("Wed, 21 Oct 2015 07:28:00 GMT"), seconds_of("soon")
    (3.0, 0.0, None)
    """
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
