"""Splits the model's output into messages and channels as it arrives.

A parser of the harmony format that accepts any sequence of tokens: where the model leaves the format, it recovers,
counts that, and loses no body text. A header that grows longer than a header can be is taken for a body whose
`<|message|>` is missing, so that even an answer without any markup is an answer.
"""

from dataclasses import dataclass, replace

from engine.prompt.detokenizer import UTF8
from engine.prompt.harmony_header import ASSISTANT, ROLE, Channel, Header
from engine.prompt.tokenizer import Tokenizer

MAX_HEADER_JUNK = 64
"""Most characters of a header that do not belong in one; more are taken for a body. It is longer than the junk seen in
the wild, and short enough that an answer without markup is hardly delayed."""

ENDS = frozenset({"<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"})
CLOSING = ENDS | {"<|start|>", "<|channel|>"}
"""Special tokens that end a body. Any other one in a body is left out."""


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of one message. `message` numbers the turn's messages from 0.

    `recipient` is the tool the message is for, `functions.NAME` even if the model left out the
    `functions.`. A tool's message begins with a delta, of empty text if need be, as soon as its header is
    complete.
    """

    channel: Channel
    recipient: str | None
    text: str
    message: int


class HarmonyStream:
    """Parses a turn token by token, from right after `<|start|>assistant`. Never raises.

    `recoveries` counts the places where the model left the format.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._marks = {token_id: mark for mark, token_id in tokenizer.special_ids.items()}
        self._decoder = UTF8(errors="replace")
        self._header = Header(role=None)
        self._body: Delta | None = None
        self._messages = 0
        self.recoveries = 0

    @property
    def in_body(self) -> bool:
        return self._body is not None

    @property
    def channel(self) -> Channel | None:
        """The channel of the message whose body is being written."""
        return self._body.channel if self._body else None

    @property
    def recipient(self) -> str | None:
        """The recipient of the message whose body is being written."""
        return self._body.recipient if self._body else None

    @property
    def message(self) -> int:
        """The number of the message whose body is being written, or was last."""
        return max(0, self._messages - 1)

    def feed(self, token_id: int) -> list[Delta]:
        """The text that one more token completes, in whole characters."""
        mark = self._marks.get(token_id)
        if mark is None:
            return self._take(self._decoder.decode(self._tokenizer.token_bytes(token_id)))
        if self._body and mark not in CLOSING:
            self.recoveries += 1
            return []
        return self._take(self._decode_rest()) + self._obey(mark)

    def flush(self) -> list[Delta]:
        """The remaining text, when no more tokens will come."""
        return self._take(self._decode_rest()) + self._end(cut_off=True)

    def _decode_rest(self) -> str:
        return self._decoder.decode(b"", final=True)

    def _take(self, text: str) -> list[Delta]:
        if not text:
            return []
        if self._body:
            return [replace(self._body, text=text)]
        self._header.add(text)
        if len(self._header.unexplained()) > MAX_HEADER_JUNK:
            self.recoveries += 1
            return self._begin_body(self._header.finish())
        return []

    def _obey(self, mark: str) -> list[Delta]:
        in_body, deltas = self.in_body, list[Delta]()
        if mark in ENDS:
            self.recoveries += not in_body
            deltas = self._end(called=mark == "<|call|>")
        elif mark == "<|start|>":
            self.recoveries += in_body or not self._header.is_blank
            deltas = self._end()
            self._header = Header(ROLE)
        elif mark == "<|channel|>":
            self.recoveries += in_body
            if in_body:
                self._end()
            self._header.begin("channel")
        elif mark == "<|constrain|>":
            self._header.begin("constrain")
        elif mark == "<|message|>":
            self._header.close()
            deltas = self._begin_body("")
        else:
            self.recoveries += 1
        return deltas

    def _begin_body(self, text: str) -> list[Delta]:
        channel = self._header.resolve_channel()
        self.recoveries += self._header.recoveries
        self._body = Delta(channel, self._header.recipient, text, self._messages)
        self._messages += 1
        return [self._body] if text or self._body.recipient else []

    def _end(self, *, cut_off: bool = False, called: bool = False) -> list[Delta]:
        """Ends the message. If it was still a header, the header's unexplained text is its body."""
        deltas: list[Delta] = []
        if self._body is None:
            rest = self._header.finish()
            if called:
                rest = self._header.heed(rest)
            is_call = self._header.recipient is not None and not cut_off
            if is_call or (rest.strip() and not self._header.may_go_on(rest)):
                self.recoveries += 1
                deltas = self._begin_body(rest)
        self._body = None
        self._header = Header(ASSISTANT)
        return deltas
