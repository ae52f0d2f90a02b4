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
    """What the model says."""

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
    """What the model thinks; where that is `omitted`, it is in the signature."""

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
    """A call. Its input is sent when it is whole: only then it is known whether it is an object. While it is written
    come empty pieces, for clients that take a long silence for a failure."""

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
    """What a model wrote as the arguments of a call, which need not be JSON unless a grammar made it so.

    >>> as_object('{"city": "Paris"}'), as_object(""), as_object('{"city": ')
    ({'city': 'Paris'}, {}, {'arguments': '{"city": '})
    """
    if not arguments.strip():
        return {}
    try:
        value = from_json(arguments, allow_inf_nan=False)
        json.dumps(value, allow_nan=False)  # 1e999 is read as infinite.
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


class Blocks:
    """Every message is a block: started when its first piece comes, and stopped when another one begins, or at
    `close`. Reasoning is one only if `thinking`, and has no text if that is `omitted`.
    """

    def __init__(self, *, thinking: bool, omitted: bool) -> None:
        self._thinking = thinking
        self._omitted = omitted
        self._done: list[AnsweredBlock] = []
        self._open: OpenBlock | None = None
        self._kind: object = None

    @property
    def content(self) -> list[AnsweredBlock]:
        """Those that are complete."""
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
        """The block that is open, if one is, is complete."""
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
