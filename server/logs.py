"""Log lines: text for people, or JSON for machines. No line contains a prompt, an answer or a key."""

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
    """Writes a line. `event` is its kind in one word; fields that are None are omitted."""
    known = {name: value for name, value in fields.items() if value is not None}
    logger.log(level, message or event, extra={"event": event, "fields": known})


def log_exception(error: BaseException) -> None:
    """Logs an unforeseen error: its type and place, but not its message, which might quote a request."""
    logger.error("an unforeseen error", exc_info=error, extra={"event": "exception"})


@contextmanager
def logging_as(log_format: LogFormat, stream: TextIO) -> Iterator[None]:
    """Within the block, writes the log lines of the program and its libraries to `stream`, in one format."""
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
    """One JSON object per line: `time` (ISO 8601, UTC), `level`, `event`, `message` and the event's fields."""

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
    """Time, level and message, then `name=value` for each field, on one line unless the message has several."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={plain(value)}" for name, value in fields(record).items()]
        return " ".join([timestamp(record), f"{record.levelname.lower():7}", message(record), *pairs])


def timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def message(record: logging.LogRecord) -> str:
    """The message; for an exception only its first line, since others may quote the request."""
    text = record.getMessage()
    return text.partition("\n")[0] if record.exc_info else text


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The event's fields; for an exception its type and the frames of its traceback, the last call last."""
    known: dict[str, Any] = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        known["exception"] = type(error).__name__
        known["frames"] = [f"{at.filename}:{at.lineno} {at.name}" for at in extract_tb(error.__traceback__)]
    return known


def plain(value: Any) -> str:
    """A field's value, in quotes if it has spaces.

    >>> plain("stop"), plain(["stop", "length"]), plain("a b"), plain(0.25)
    ('stop', '["stop", "length"]', '"a b"', '0.25')
    """
    bare = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    return value if bare else json.dumps(value, default=str)
