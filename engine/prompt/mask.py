"""Masks text from outside, so that no special token is found in it."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from engine.errors import RequestError

STAND_INS = range(0x100000, 0x10FFFE)
"""Private-use characters, which no case mapping, trimming or JSON changes."""


class Mask:
    """Swaps the characters that special tokens are made of (`<`, `|`, `>`) for stand-ins that no text contains.

    A template can then put masked text wherever it likes: no special token in its output comes from that text,
    not even in part. Each character has one stand-in, so lengths do not change, and `reveal` is exact.
    """

    def __init__(self, specials: Iterable[str], texts: Iterable[str]) -> None:
        """`texts` are all that will be hidden. Raises RequestError if they leave too few stand-in characters."""
        hidden = sorted({char for special in specials for char in _marks(special)})
        used = set[str]().union(*texts)
        free = (char for char in map(chr, STAND_INS) if char not in used)
        stand_ins = list(islice(free, len(hidden)))
        if len(stand_ins) < len(hidden):
            raise RequestError("the messages use every private-use character", param="messages")
        self._hide = str.maketrans(dict(zip(hidden, stand_ins, strict=True)))
        self._reveal = str.maketrans(dict(zip(stand_ins, hidden, strict=True)))

    def hide(self, value: Any) -> Any:
        """A copy of a JSON value with every string in it masked, keys included."""
        if isinstance(value, str):
            return value.translate(self._hide)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item) for item in value]
        return value

    def reveal(self, text: str) -> str:
        return text.translate(self._reveal)


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def _marks(special: str) -> str:
    """What sets a special token apart from words: its punctuation, or all of it if it has none."""
    return "".join(char for char in special if not char.isalnum() and char not in " _") or special
