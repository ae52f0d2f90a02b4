"""Log lines: for people, or as JSON for machines. No line carries a prompt, an answer or a key."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any, Literal, TextIO

LogFormat = Literal["text", "json"]

logger = logging.getLogger("carousel")


def log(level: int, event: str, message: str | None = None, **fields: Any) -> None:
    """Writes a line. `event` is its kind in one word; fields that are None are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    logger.log(level, message or event, extra={"event": event, "fields": known})


def log_exception(error: BaseException) -> None:
    """An error nobody foresaw: what kind, and where, but not its message, which might quote a request."""
    logger.error("an unforeseen error", exc_info=error, extra={"event": "exception"})


@contextmanager
def logging_as(log_format: LogFormat, stream: TextIO) -> Iterator[None]:
    """Sends the log lines of this program and its libraries to `stream`, in one format, for the length of a block."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    level = logger.level
    root.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        logger.setLevel(level)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (ISO 8601, UTC), `level`, `event`, `message` and what the event is about."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": timestamp(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": message(record),
            **fields(record),
        }
        return json.dumps(content, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """The time, the level, the message, then `name=value` for each field, on one line unless the message has more."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={plain(value)}" for name, value in fields(record).items()]
        return " ".join([timestamp(record), f"{record.levelname.lower():7}", message(record), *pairs])


def timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def message(record: logging.LogRecord) -> str:
    """Of a record about an exception the first line: others may quote it."""
    text = record.getMessage()
    return text.partition("\n")[0] if record.exc_info else text


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the line is about: for an exception its type and the places it passed, the last call last."""
    known: dict[str, Any] = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        known["exception"] = type(error).__name__
        known["frames"] = [f"{at.filename}:{at.lineno} {at.name}" for at in extract_tb(error.__traceback__)]
    return known


def plain(value: Any) -> str:
    """A field's value without spaces, or in quotes.

    >>> plain("stop"), plain(["stop", "length"]), plain("a b"), plain(0.25)
    ('stop', '["stop", "length"]', '"a b"', '0.25')
    """
    bare = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    return value if bare else json.dumps(value, default=str)
