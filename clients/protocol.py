"""The requests that a client sends and how it reads their answers, without any input or output."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from clients.errors import (
    AnswerError,
    ConnectionFailedError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
    UsageError,
    answer_error,
)
from clients.options import ChatOptions, CompletionOptions
from clients.results import Answer, Delta, Message, Model, Readiness
from clients.sse import EventParser

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(10.0, read=None)
"""Seconds. The first token of a long prompt may take any time, so reading has no timeout: only a lost connection ends
it (`clients.connection`)."""

Prompt = str | Sequence[int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One HTTP request and the reader of its JSON answer. An error status in `expected` counts as an answer."""

    method: str
    path: str
    read: Callable[[Any], T]
    content: Mapping[str, Any] | None = None
    expected: frozenset[int] = frozenset()

    def accepts(self, response: httpx.Response) -> bool:
        return response.is_success or response.status_code in self.expected


def completion(
    prompt: Prompt | Sequence[Prompt], options: CompletionOptions | Mapping[str, Any], *, stream: bool = False
) -> Call[Answer]:
    return Call("POST", "/v1/completions", Answer.parse, {"prompt": prompt, **options, **_streaming(stream)})


def chat_completion(
    messages: Sequence[Message], options: ChatOptions | Mapping[str, Any], *, stream: bool = False
) -> Call[Answer]:
    return Call("POST", "/v1/chat/completions", Answer.parse, {"messages": messages, **options, **_streaming(stream)})


def models() -> Call[list[Model]]:
    return Call("GET", "/v1/models", lambda content: [Model.parse(model) for model in content["data"]])


def tokenize(text: str | Sequence[Message]) -> Call[list[int]]:
    content = {"prompt": text} if isinstance(text, str) else {"messages": text}
    return Call("POST", "/tokenize", lambda content: list(content["tokens"]), content)


def detokenize(token_ids: Sequence[int]) -> Call[str]:
    return Call("POST", "/detokenize", lambda content: str(content["prompt"]), {"tokens": list(token_ids)})


def health() -> Call[None]:
    return Call("GET", "/health", lambda content: None)


def ready() -> Call[Readiness]:
    return Call(
        "GET",
        "/ready",
        lambda content: Readiness(status=content["status"], progress=content["progress"]),
        expected=frozenset({503}),
    )


def version() -> Call[str]:
    return Call("GET", "/version", lambda content: str(content["version"]))


def _streaming(stream: bool) -> dict[str, Any]:
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}


def base_url(url: str) -> str:
    """A server's address without a trailing `/v1`, which other clients want, and with `http://` if it has no scheme.
    Raises UsageError if `url` cannot be an address.

    >>> base_url("localhost:8000/v1/"), base_url("https://host/models")
    ('http://localhost:8000', 'https://host/models')
    """
    whole = (url if "://" in url else f"http://{url}").rstrip("/").removesuffix("/v1")
    try:
        _check(httpx.URL(whole))
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(f"{url!r} is not a server's address: {error}") from error
    return whole


def _check(url: httpx.URL) -> None:
    """Raises ValueError."""
    if url.scheme not in ("http", "https"):
        raise ValueError("it begins with neither http:// nor https://")
    if not url.host:
        raise ValueError("it names no host")
    if url.port is not None and url.port > 65535:
        raise ValueError("its port is above 65535")
    url.raw_host.decode("ascii").encode("idna")  # The look-up of the name would raise the same error later.


def headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"authorization": f"Bearer {api_key}"}


def read(call: Call[T], response: httpx.Response) -> T:
    """Parses a response whose content has been read. Raises ServerFailedError if that is not possible."""
    try:
        return call.read(response.json())
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServerFailedError(f"{call.path}: the answer is not understood", status=response.status_code) from error


def refusal(response: httpx.Response) -> AnswerError:
    """The error that a response reports; its content must have been read."""
    try:
        content = response.json()
    except ValueError:
        content = None
    return answer_error(response.status_code, content, response.headers.get("retry-after"))


class StreamReader:
    """Turns the bytes of a streamed answer into deltas. `done` is set once the server has sent `[DONE]`."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Raises AnswerError for an error in the stream, after yielding the deltas before it."""
        for data in self._parser.feed(chunk):
            if data == "[DONE]":
                self.done = True
                return
            yield from self._deltas(data)

    def end(self) -> None:
        """Raises ConnectionFailedError if the bytes ended too early."""
        if not self.done:
            raise ConnectionFailedError("the answer broke off")

    def _deltas(self, data: str) -> list[Delta]:
        try:
            content = json.loads(data)
            if "error" not in content:
                return Delta.parse(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServerFailedError("a piece of the answer is not understood", status=200) from error
        raise answer_error(200, content)


@contextmanager
def clear_usage(what: str) -> Iterator[None]:
    """Turns the errors of Python and its libraries about unusable input into UsageError."""
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError, httpx.InvalidURL) as error:
        raise UsageError(f"{what} cannot be used: {error}") from error


@contextmanager
def clear_errors(url: str) -> Iterator[None]:
    """Turns httpx's errors into this package's."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        if distrust := _distrust(error):
            raise ConnectionFailedError(f"{url} cannot be trusted: {distrust}") from error
        raise UnreachableError(f"no server answers at {url}: is it running, and is the URL right?") from error
    except httpx.LocalProtocolError as error:  # Its text shows the key.
        raise UsageError("the key cannot be sent in a header") from error
    except httpx.TimeoutException as error:
        raise TimedOutError(f"{url} took too long to answer") from error
    except httpx.HTTPError as error:
        raise ConnectionFailedError(f"the connection to {url} failed: {error or type(error).__name__}") from error


def _distrust(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error, if TLS is the reason that there is no connection; None if the connection merely broke off."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error
