"""What crosses the pipe between the server and its engine: msgpack messages behind a length, never pickle.

A frame is four bytes of length, big-endian, and the message. The types below are the whole protocol.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from engine.config import EngineConfig
from engine.request import Request, TokenEvent
from engine.streams import EngineInfo, EngineStats

LENGTH = struct.Struct(">I")


class Start(msgspec.Struct, frozen=True, tag="start"):
    """To the engine, first: what to load."""

    config: EngineConfig


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """To the engine: requests, already checked, that share a prompt; made by `submits`. The `bare` requests are sent
    without it."""

    prompt_token_ids: tuple[int, ...]
    bare: list[Request]

    @property
    def requests(self) -> list[Request]:
        return [replace(request, prompt_token_ids=self.prompt_token_ids) for request in self.bare]


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """To the engine: end a request. It is no error if it has ended already."""

    request_id: str


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """From the engine: what it is doing, and how far it is."""

    what: str
    done: int
    total: int


class Planned(msgspec.Struct, frozen=True, tag="planned"):
    """From the engine, before it loads weights: the memory plan in words for the operator."""

    plan: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From the engine: it is ready to serve."""

    info: EngineInfo


class Running(msgspec.Struct, frozen=True, tag="running"):
    """From the engine: how much it computes before its next message, in tokens (`engine.plan.work`). Not sent for short
    steps."""

    tokens: int


class Events(msgspec.Struct, frozen=True, tag="events"):
    """From the engine: a step's events, and the engine's state after it."""

    events: list[TokenEvent]
    stats: EngineStats


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """From the engine, last: why it ends."""

    message: str


ToEngine = Start | Submit | Abort
FromEngine = Loading | Planned | Ready | Running | Events | Failed


def _encode_path(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value)} does not cross the pipe")


def _decode_path(kind: type, value: Any) -> Any:
    return kind(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_path)
decode_to_engine: Callable[[bytes], ToEngine] = msgspec.msgpack.Decoder(ToEngine, dec_hook=_decode_path).decode
decode_from_engine: Callable[[bytes], FromEngine] = msgspec.msgpack.Decoder(FromEngine).decode


def submits(requests: Sequence[Request]) -> list[Submit]:
    """One message per prompt, in the order of the requests: n choices of an answer send their prompt once."""
    groups = [list(group) for _, group in groupby(requests, key=lambda request: id(request.prompt_token_ids))]
    return [
        Submit(group[0].prompt_token_ids, [replace(request, prompt_token_ids=()) for request in group])
        for group in groups
    ]


def frame(message: ToEngine | FromEngine) -> bytes:
    """A message as it is sent over the pipe."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


class EnginePipe:
    """The engine's end of the pipe: blocking writes, reads that can wait or not."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def send(self, message: FromEngine) -> None:
        self._connection.sendall(frame(message))

    def receive(self, *, wait: bool) -> list[ToEngine]:
        """Every message that has arrived; with `wait`, at least one. Raises EOFError once the other side is gone."""
        messages = self._take()
        while True:
            blocking = wait and not messages
            try:
                data = self._connection.recv(1 << 16, 0 if blocking else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return messages
            if not data:
                raise EOFError("the server is gone")
            self._buffer += data
            messages += self._take()

    def _take(self) -> list[ToEngine]:
        messages, at = [], 0
        while len(self._buffer) >= at + LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, at)
            end = at + LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(decode_to_engine(bytes(self._buffer[at + LENGTH.size : end])))
            at = end
        del self._buffer[:at]
        return messages
