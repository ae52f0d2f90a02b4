"""Token ids to text as they arrive, never splitting a character."""

import codecs
from collections.abc import Iterable

from engine.prompt.tokenizer import Tokenizer

UTF8 = codecs.getincrementaldecoder("utf-8")


class Detokenizer:
    """Decodes a stream of token ids, in time that does not grow with its length.

    What `feed` and `flush` return, joined, is `tokenizer.decode` of all ids at once, however they were fed.
    `skip_special` leaves special tokens out.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = UTF8(errors="replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        """The new text, in whole characters; the bytes of an incomplete one are kept for later."""
        tokenizer = self._tokenizer
        kept = (i for i in token_ids if not (self._skip_special and tokenizer.is_special(i)))
        return self._decoder.decode(b"".join(map(tokenizer.token_bytes, kept)))

    def flush(self) -> str:
        """The remaining text, when no more ids will come: U+FFFD for an incomplete character, else nothing."""
        return self._decoder.decode(b"", final=True)
