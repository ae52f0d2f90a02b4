"""The requests a client sends and what their answers mean, without any input or output."""

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
"""Seconds. A long prompt may take any time until its first token, so reading has no limit but a lost
connection (`clients.connection`)."""

Prompt = str | Sequence[int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One HTTP request, and how its JSON content is read. An error status in `expected` is an answer too."""

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
    """A server's address, whether or not it is given with the `/v1` that other clients want, or with `http://`. Raises
    UsageError for what cannot be one.

    >>> base_url("localhost:8000/v1/"), base_url("https://host/models")
    ('http://localhost:8000', 'https://host/models')
    """
    whole = (url if "://" in url else f"http://{url}").rstrip("/").removesuffix("/v1")
    try:
        _check(httpx.URL(whole))
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(f"{url!r} is no server's address: {error}") from error
    return whole


def _check(url: httpx.URL) -> None:
    """Raises ValueError."""
    if url.scheme not in ("http", "https"):
        raise ValueError("it begins with neither http:// nor https://")
    if not url.host:
        raise ValueError("it names no host")
    if url.port is not None and url.port > 65535:
        raise ValueError("no port is above 65535")
    url.raw_host.decode("ascii").encode("idna")  # As the look-up of the name would, later.


def headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"authorization": f"Bearer {api_key}"}


def read(call: Call[T], response: httpx.Response) -> T:
    """What a response that is wholly read says. Raises ServerFailedError if it makes no sense."""
    try:
        return call.read(response.json())
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ServerFailedError(f"{call.path}: the answer is not understood", status=response.status_code) from error


def refusal(response: httpx.Response) -> AnswerError:
    """The error that a response, wholly read, stands for."""
    try:
        content = response.json()
    except ValueError:
        content = None
    return answer_error(response.status_code, content, response.headers.get("retry-after"))


class StreamReader:
    """The bytes of a streamed answer in, deltas out. `done` once the server has said that it is whole."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self.done = False

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """Raises AnswerError for an error in the stream, after what came before it."""
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
    """Raises what Python and its libraries say of unusable input as UsageError."""
    try:
        yield
    except (ValueError, TypeError, ImportError, OSError, httpx.InvalidURL) as error:
        raise UsageError(f"{what} cannot be used: {error}") from error


@contextmanager
def clear_errors(url: str) -> Iterator[None]:
    """Raises httpx's errors as this package's."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        if distrust := _distrust(error):
            raise ConnectionFailedError(f"{url} cannot be trusted: {distrust}") from error
        raise UnreachableError(f"no server answers at {url}: is it started, and the URL right?") from error
    except httpx.LocalProtocolError as error:  # Its text shows the key.
        raise UsageError("the key cannot be used: no header can hold it") from error
    except httpx.TimeoutException as error:
        raise TimedOutError(f"{url} took too long to answer") from error
    except httpx.HTTPError as error:
        raise ConnectionFailedError(f"the connection to {url} failed: {error or type(error).__name__}") from error


def _distrust(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS says of the server, if that is the reason that there is no connection, and not that it broke off."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error
