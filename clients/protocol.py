"""The requests a client sends and what their answers mean, without any input or output."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from clients.errors import ConnectionFailedError, ServerFailedError, answer_error
from clients.results import Delta, Message, Model
from clients.sse import EventParser

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(10.0, read=None)
"""Seconds. A long prompt may take any time until its first token, so reading has no limit."""

Prompt = str | Sequence[int]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    content: Mapping[str, Any] | None = None


def completion(prompt: Prompt, options: Mapping[str, Any], *, stream: bool) -> Call:
    """`options` are request fields by their names."""
    return Call("POST", "/v1/completions", _body({"prompt": prompt}, options, stream=stream))


def chat_completion(messages: Sequence[Message], options: Mapping[str, Any], *, stream: bool) -> Call:
    """`options` are request fields by their names."""
    return Call("POST", "/v1/chat/completions", _body({"messages": messages}, options, stream=stream))


MODELS = Call("GET", "/v1/models")


def _body(content: Mapping[str, Any], options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return {**content, **options, **streaming}


def headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"authorization": f"Bearer {api_key}"}


def read_json(response: httpx.Response) -> Any:
    """The content of a response that is wholly read. Raises AnswerError if it is an error."""
    try:
        content = response.json()
    except ValueError as error:
        if response.is_success:
            raise ServerFailedError("the answer is not JSON", status=response.status_code) from error
        content = None
    if not response.is_success:
        raise answer_error(response.status_code, content, response.headers.get("retry-after"))
    return content


def read_models(content: Mapping[str, Any]) -> list[Model]:
    return [Model(id=model["id"], max_model_len=model.get("max_model_len")) for model in content["data"]]


class StreamReader:
    """The bytes of a streamed answer in, deltas out. `done` once the server has said that it is whole."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self.done = False

    def feed(self, chunk: bytes) -> list[Delta]:
        """Raises AnswerError for an error in the stream."""
        deltas: list[Delta] = []
        for data in self._parser.feed(chunk):
            if data == "[DONE]":
                self.done = True
                break
            content = json.loads(data)
            if "error" in content:
                raise answer_error(200, content)
            deltas += Delta.parse(content)
        return deltas

    def end(self) -> None:
        """Raises ConnectionFailedError if the bytes ended too early."""
        if not self.done:
            raise ConnectionFailedError("the answer broke off")


def unreachable(url: str, error: httpx.HTTPError) -> ConnectionFailedError:
    if isinstance(error, httpx.ConnectError):
        return ConnectionFailedError(f"no server answers at {url}")
    return ConnectionFailedError(f"the connection to {url} failed: {error or type(error).__name__}")
