"""What can go wrong between a client and its server, as one tree.

ClientError
├── ConnectionFailedError   no answer came, or it broke off
└── AnswerError             the server answered with an error (`status`, `type`, `param`, `code`)
    ├── BadRequestError     400, 413, 415, 422
    ├── AuthenticationError 401, 403
    ├── NotFoundError       404, 405
    ├── BusyError           429 and 503: try again after `retry_after` seconds
    └── ServerFailedError   any other, or an error in the middle of a stream (`status` 200)
"""

from typing import Any


class ClientError(Exception):
    """Base of every error this package raises on purpose. `str(error)` is one line fit for a user."""


class ConnectionFailedError(ClientError):
    """The server could not be reached, or the connection broke off before the answer was whole."""


class AnswerError(ClientError):
    """The server's own error. `type`, `param` and `code` are None where it did not say."""

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
    """The error that an answer with this status and JSON content stands for."""
    details = content.get("error") if isinstance(content, dict) else None
    if not isinstance(details, dict):
        details = {"message": f"the server answered with status {status}"}
    return CLASSES.get(status, ServerFailedError)(
        str(details.get("message")),
        status=status,
        error_type=details.get("type"),
        param=details.get("param"),
        code=details.get("code"),
        retry_after=float(retry_after) if retry_after is not None and retry_after.isdecimal() else None,
    )
