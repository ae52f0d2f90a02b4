"""Text to token ids and back, from a checkpoint's tokenizer.json.

`encode` reads text as nothing but text: `<|start|>` typed by a user becomes the tokens of those nine
characters. `encode_marked` reads the same characters as one special token, and is only for text that this
project or a chat template wrote.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tokenizers

from engine.errors import CheckpointError, RequestError
from engine.json_object import read_json_object

MAX_CHARACTERS = 8_000_000
"""Most characters of a text, a conversation or a rendered prompt: far more than a context of 131,072 tokens holds."""
MARKUP = re.compile(r"<\|.*\|>", re.DOTALL)


class Tokenizer:
    """A byte-level BPE vocabulary. Immutable once loaded, and safe to use from several threads.

    `special_ids` maps the text of every special token to its id: the added tokens flagged special, and those
    written `<|like this|>` whatever their flag says. Other added tokens are ordinary words. `vocab_size` is the
    highest id + 1; ids below it may be unused.
    """

    def __init__(self, definition: Mapping[str, Any]) -> None:
        """`definition` is a tokenizer.json's content. Raises CheckpointError if it is not byte-level BPE."""
        try:
            added = [
                {**token, "special": token["special"] or MARKUP.fullmatch(token["content"]) is not None}
                for token in definition.get("added_tokens", ())
            ]
            decoder = definition.get("decoder") or {}
            is_byte_level = any(step.get("type") == "ByteLevel" for step in (decoder, *decoder.get("decoders", ())))
        except (AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(f"tokenizer.json: its added_tokens or decoder are malformed: {error}") from error
        if not is_byte_level:
            raise CheckpointError("tokenizer.json: its decoder is not ByteLevel, only that can be served")
        serialized = json.dumps({**definition, "added_tokens": added, "truncation": None, "padding": None})
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(serialized)
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"tokenizer.json: {error}") from error
        self._tokenizer.encode_special_tokens = True
        self.special_ids: Mapping[str, int] = MappingProxyType(
            {token["content"]: token["id"] for token in added if token["special"]}
        )
        longest_first = sorted(self.special_ids, key=len, reverse=True)
        self._special_pattern = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self._special = frozenset(self.special_ids.values())
        self._bytes = _byte_table(self._tokenizer.get_vocab(), {token["content"] for token in added})

    @classmethod
    def load(cls, directory: Path) -> "Tokenizer":
        """Reads `directory`/tokenizer.json. Raises CheckpointError if it is missing or unreadable."""
        return cls(read_json_object(directory / "tokenizer.json", advice(directory)).values)

    @property
    def vocab_size(self) -> int:
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, in which a special token's text is plain text. No token is added at either end.

        Raises RequestError(param="prompt") for text that is not Unicode (a lone surrogate), or has more than
        MAX_CHARACTERS: the vocabulary's pattern fails on ten million equal ones, and the library panics.
        """
        if len(text) > MAX_CHARACTERS:
            raise RequestError(f"the text is longer than {MAX_CHARACTERS} characters", param="prompt")
        try:
            # The batch call, unlike `encode`, lets other threads run while a long text is tokenised.
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        except TypeError as error:
            raise RequestError("the text has a lone surrogate: it is not Unicode", param="prompt") from error
        ids: list[int] = encoding.ids
        return ids

    def encode_marked(self, text: str, plain: Callable[[str], str] = str) -> list[int]:
        """The ids of `text`, in which a special token's text is that token; the text between them goes through `plain`
        first. Never for text from outside."""
        ids: list[int] = []
        for piece in self._special_pattern.split(text):
            special = self.special_ids.get(piece)
            ids += self.encode(plain(piece)) if special is None else [special]
        return ids

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. Unknown ids have no text."""
        kept = (i for i in ids if not (skip_special and i in self._special))
        return b"".join(map(self.token_bytes, kept)).decode("utf-8", errors="replace")

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token (of a special token: its text). b"" for an id that is not in the vocabulary."""
        return self._bytes[token_id] if 0 <= token_id < len(self._bytes) else b""

    def token_text(self, token_id: int) -> str:
        """One token's text alone, with U+FFFD for the bytes of an incomplete character."""
        return self.token_bytes(token_id).decode("utf-8", errors="replace")


def advice(directory: Path) -> str:
    """What to do if `directory` lacks a tokenizer.json. OpenAI's own layout keeps it one level above the weights."""
    above = directory.absolute().parent
    if directory.absolute().name == "original" and (above / "tokenizer.json").exists():
        return f"give {above} instead"
    return (
        "tokenizer.json, tokenizer_config.json, chat_template.jinja and generation_config.json belong there, beside "
        "the weights or their original/; on the hub they are at a model's top level"
    )


def _byte_table(vocabulary: Mapping[str, int], added: set[str]) -> list[bytes]:
    alphabet = byte_alphabet()
    table = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for token, token_id in vocabulary.items():
        if token in added or not alphabet.keys() >= set(token):
            table[token_id] = token.encode()
        else:
            table[token_id] = bytes(alphabet[char] for char in token)
    return table


def byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's), as char → byte.

    Printable Latin-1 bytes map to themselves; the other 68, in order, to the characters from U+0100 on.

    >>> alphabet = byte_alphabet()
    >>> alphabet["A"], alphabet["Ā"], alphabet["Ġ"], len(alphabet)
    (65, 0, 32, 256)
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}
