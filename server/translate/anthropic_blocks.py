"""The content of an answer of `/v1/messages`: pieces in, blocks and their events out."""

import json
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

from pydantic_core import from_json

from server.schemas.anthropic_answer import AnsweredBlock, AnsweredText, AnsweredThinking, AnsweredToolUse
from server.schemas.anthropic_events import (
    BlockDeltaEvent,
    BlockEvent,
    BlockStartEvent,
    BlockStopEvent,
    Delta,
    InputDelta,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)
from server.translate.assembler import Piece
from server.translate.carried import carried


class OpenBlock(Protocol):
    """A block while it is written."""

    def block(self) -> AnsweredBlock:
        """The block so far."""
        ...

    def add(self, text: str) -> Delta | None: ...

    def end(self) -> Delta | None: ...


class OpenText:
    """A text block while it is written."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def block(self) -> AnsweredText:
        return AnsweredText(type="text", text="".join(self._texts))

    def add(self, text: str) -> Delta | None:
        self._texts.append(text)
        return TextDelta(type="text_delta", text=text)

    def end(self) -> Delta | None:
        return None


class OpenThinking:
    """A thinking block while it is written. If the text is `omitted`, it is in the signature."""

    def __init__(self, *, omitted: bool) -> None:
        self._omitted = omitted
        self._texts: list[str] = []
        self._signature = ""

    def block(self) -> AnsweredThinking:
        thinking = "" if self._omitted else "".join(self._texts)
        return AnsweredThinking(type="thinking", thinking=thinking, signature=self._signature)

    def add(self, text: str) -> Delta | None:
        self._texts.append(text)
        return None if self._omitted else ThinkingDelta(type="thinking_delta", thinking=text)

    def end(self) -> Delta | None:
        self._signature = carried("".join(self._texts) if self._omitted else "")
        return SignatureDelta(type="signature_delta", signature=self._signature)


class OpenToolUse:
    """A call while it is written. Its input is sent once it is complete: only then is it certain to be an object. Empty
    pieces before that keep clients from taking the silence for a failure."""

    def __init__(self, name: str) -> None:
        self._id = f"toolu_{uuid4().hex}"
        self._name = name
        self._texts: list[str] = []
        self._input: dict[str, Any] = {}

    def block(self) -> AnsweredToolUse:
        return AnsweredToolUse(type="tool_use", id=self._id, name=self._name, input=self._input)

    def add(self, text: str) -> Delta | None:
        self._texts.append(text)
        return InputDelta(type="input_json_delta", partial_json="")

    def end(self) -> Delta | None:
        self._input = as_object("".join(self._texts))
        return InputDelta(type="input_json_delta", partial_json=json.dumps(self._input, ensure_ascii=False))


def as_object(arguments: str) -> dict[str, Any]:
    """The arguments that a model wrote for a call. Only a grammar ensures that they are a JSON object.

    >>> as_object('{"city": "Paris"}'), as_object(""), as_object('{"city": ')
    ({'city': 'Paris'}, {}, {'arguments': '{"city": '})
    """
    if not arguments.strip():
        return {}
    try:
        value = from_json(arguments, allow_inf_nan=False)
        json.dumps(value, allow_nan=False)  # Refuses 1e999, which is read as infinite.
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


class Blocks:
    """Every message becomes a block: it starts with its first piece, and stops when another block begins, or at
    `close`. Reasoning is a block only if `thinking`; its text is left out if it is `omitted`.
    """

    def __init__(self, *, thinking: bool, omitted: bool) -> None:
        self._thinking = thinking
        self._omitted = omitted
        self._done: list[AnsweredBlock] = []
        self._open: OpenBlock | None = None
        self._kind: object = None

    @property
    def content(self) -> list[AnsweredBlock]:
        """The complete blocks."""
        return list(self._done)

    def add(self, piece: Piece) -> Iterator[BlockEvent]:
        if (piece.part == "reasoning" and not self._thinking) or not (piece.text or piece.call):
            return
        if (kind := (piece.part, piece.call, piece.message)) != self._kind or self._open is None:
            yield from self.close()
            self._open, self._kind = self._begin(piece), kind
            yield BlockStartEvent(type="content_block_start", index=len(self._done), content_block=self._open.block())
        if piece.text:
            yield from self._delta(self._open.add(piece.text))

    def close(self) -> Iterator[BlockEvent]:
        """Ends the open block, if there is one."""
        if self._open is not None:
            yield from self._delta(self._open.end())
            index = len(self._done)
            self._done.append(self._open.block())
            self._open = None
            yield BlockStopEvent(type="content_block_stop", index=index)

    def _begin(self, piece: Piece) -> OpenBlock:
        if piece.call is not None:
            return OpenToolUse(piece.call.name)
        return OpenThinking(omitted=self._omitted) if piece.part == "reasoning" else OpenText()

    def _delta(self, delta: Delta | None) -> Iterator[BlockEvent]:
        if delta is not None:
            yield BlockDeltaEvent(type="content_block_delta", index=len(self._done), delta=delta)
