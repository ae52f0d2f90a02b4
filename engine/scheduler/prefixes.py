"""Cached prefixes: a prompt resumes from the longest saved prefix that it shares with an earlier prompt.

A sliding layer's ring has lost everything more than a window back, so a sequence can only resume from a position at
which rings were saved: at the end of a prompt and of its instructions, at intervals within a long prompt, and where a
prompt parts from a cached one, for the next prompt that parts there. Rings are saved in pages of the pool, beside the
pages with the keys and values of the full layers. With pages of 4, this is kept of a prompt of 10 tokens; a longer
prompt that begins with these tokens shares the first two pages, and gets a copy of two positions of the third:

    pages     0 1 2 3 | 4 5 6 7 | 8 9
    rings     as they were after position 9, in pages of their own

No memory is reserved for prefixes. They use free pages, and are evicted when a sequence needs pages, the least recently
used first.
"""

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from engine.request import Request
from engine.scheduler.pages import PagePool

LEAST = 64
"""Rings are saved at a prompt's end or parting only at least this many tokens past the last saved position."""
WORTH_WAITING = 256
"""A prompt waits for another that is about to end if it can reuse this many more tokens by waiting."""
SPACING = 1024
"""Within a prompt, rings are saved at least this many tokens past the last saved position."""
DIGEST_BYTES = 16

Key = tuple[bytes, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Computed positions 0 … length − 1: their keys and values are in `pages`, the last of which they may fill partly,
    and the rings after them in the pages `rings`. The key is the digest of the whole pages' tokens, and the remaining
    tokens; `digests` are those of the pages since the prompt's rings were last saved."""

    key: Key
    length: int
    pages: tuple[int, ...]
    rings: tuple[int, ...]
    digests: tuple[bytes, ...] = ()


def page_digests(request: Request, page_size: int) -> list[bytes]:
    """Digests of the prompt's first 0, 1, 2, … whole pages, each made from the one before it. Equal digests mean equal
    tokens, client and salt: one client cannot find out by timing what another asked."""
    salt = f"{request.client} {request.cache_salt}".encode(errors="surrogatepass")
    digests = [blake2b(salt, digest_size=DIGEST_BYTES, person=b"salt").digest()]
    tokens = array("q", request.prompt_token_ids).tobytes()
    size = page_size * array("q").itemsize
    for start in range(0, len(tokens) - size + 1, size):
        digests.append(blake2b(digests[-1] + tokens[start : start + size], digest_size=DIGEST_BYTES).digest())
    return digests


class Prefixes:
    """The prefixes kept in `pool`, the most recently used last. Rings take `ring_pages` pages."""

    def __init__(
        self,
        pool: PagePool,
        page_size: int,
        ring_pages: int,
        *,
        least: int = LEAST,
        worth_waiting: int = WORTH_WAITING,
        spacing: int = SPACING,
    ) -> None:
        self.pool = pool
        self.page_size = page_size
        self.ring_pages = ring_pages
        self.least = least
        self.worth_waiting = worth_waiting
        self.spacing = spacing
        self._kept: OrderedDict[Key, Prefix] = OrderedDict()
        self._rests: dict[bytes, list[tuple[int, ...]]] = {}
        self._pages: Counter[bytes] = Counter()
        """How many kept prefixes have each whole page's digest among their `digests`."""

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Prefix]:
        return iter(self._kept.values())

    def find(self, digests: Sequence[bytes], prompt: Sequence[int], most: int) -> Prefix | None:
        """The longest kept prefix of the prompt, to resume from at most `most` tokens; None if there is none. It may
        have one token more: the rings still hold what that token sees, and its own place in them is written again."""
        for whole in range(min(len(digests) - 1, (most + 1) // self.page_size), -1, -1):
            start = whole * self.page_size
            longest: tuple[int, ...] = ()
            for rest in self._rests.get(digests[whole], ()):
                stop = start + len(rest)
                if stop <= most + 1 and tuple(prompt[start:stop]) == rest and len(rest) >= len(longest):
                    longest = rest
            if (kept := self._kept.get((digests[whole], longest))) is not None and min(most, kept.length):
                return kept
        return None

    def partings(self, request: Request, digests: Sequence[bytes], start: int) -> tuple[int, ...]:
        """Positions after `start` at which a prompt's rings are worth saving: the end of its instructions, and the end
        of the whole pages that it shares with kept prefixes."""
        whole = start // self.page_size
        while whole + 1 < len(digests) and self._pages[digests[whole + 1]]:
            whole += 1
        ends = (request.instructions, whole * self.page_size)
        return tuple(end for end in ends if end - start >= self.least)

    def key(self, digests: Sequence[bytes], prompt: Sequence[int], length: int) -> Key:
        """The key of the prompt's first `length` tokens."""
        whole = length // self.page_size
        return digests[whole], tuple(prompt[whole * self.page_size : length])

    def in_common(
        self,
        one: Sequence[bytes],
        ones: Sequence[int],
        other: Sequence[bytes],
        others: Sequence[int],
        ends: Iterable[int],
    ) -> int:
        """The last of the positions `ends` up to which two prompts are equal, by the digests and tokens of both; 0 if
        there is none."""
        within = (end for end in ends if end <= len(others))
        return max((end for end in within if self.key(one, ones, end) == self.key(other, others, end)), default=0)

    def use(self, key: Key) -> bool:
        """Whether a prefix with that key is kept; if so, it becomes the most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return key in self._kept

    def add(self, prefix: Prefix) -> None:
        """Keeps a prefix, unless one with its key is kept already."""
        if not self.use(prefix.key):
            self.pool.keep(prefix.pages + prefix.rings)
            self._kept[prefix.key] = prefix
            digest, rest = prefix.key
            self._rests.setdefault(digest, []).append(rest)
            self._pages.update(prefix.digests)

    def oldest(self, spared: Prefix | None = None) -> Prefix | None:
        """The least recently used prefix, except the one that is `spared`."""
        return next((prefix for prefix in self if prefix is not spared), None)

    def using(self, pages: Iterable[int]) -> list[Prefix]:
        """The prefixes that keep any of these pages."""
        wanted = frozenset(pages)
        return [prefix for prefix in self if not wanted.isdisjoint(prefix.pages)]

    def drop(self, prefix: Prefix) -> list[int]:
        """Evicts a prefix; returns the pages that are free now."""
        del self._kept[prefix.key]
        digest, rest = prefix.key
        self._rests[digest].remove(rest)
        if not self._rests[digest]:
            del self._rests[digest]
        self._pages.subtract(prefix.digests)
        for each in prefix.digests:
            if not self._pages[each]:
                del self._pages[each]
        return self.pool.let_go(prefix.pages + prefix.rings)
