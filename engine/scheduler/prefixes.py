"""Prefixes that are kept: a prompt that begins as an earlier one did goes on from where they part.

A sliding layer's ring has forgotten what lies more than a window back, so a sequence can only go on from a position at
which its rings were put aside: at the end of a prompt and at that of its instructions, every so often on the way
through a long one, and where a prompt is seen to part from another, for the next one that parts there. They are put
into pages of the pool, beside those with the keys and values of the full layers. With pages of 4, this is kept of a
prompt of 10 tokens; a longer one that begins with these shares the first two pages, and gets a copy of two positions of
the third:

    pages     0 1 2 3 | 4 5 6 7 | 8 9
    rings     as they were after position 9, in pages of their own

Nothing is set aside for prefixes. They take what is free, and give it up when a sequence wants it: the one that was not
used for longest first.
"""

from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from engine.request import Request
from engine.scheduler.pages import PagePool

LEAST = 64
"""A prefix that is so much longer than another one is worth putting its rings aside."""
WORTH_WAITING = 256
"""A prompt waits for another that is about to end, if it gains so many tokens by that."""
SPACING = 1024
"""So many tokens after the last time, the rings are put aside on the way through a prompt."""
DIGEST_BYTES = 16

Key = tuple[bytes, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Positions 0 … length − 1, computed: in `pages`, of which the last may be partly theirs, and the rings after them
    in the pages `rings`. The key is the digest of the tokens of whole pages, and the tokens of the rest; `digests` are
    those of the pages since the prompt's rings were put aside before."""

    key: Key
    length: int
    pages: tuple[int, ...]
    rings: tuple[int, ...]
    digests: tuple[bytes, ...] = ()


def page_digests(request: Request, page_size: int) -> list[bytes]:
    """Of the prompt's first 0, 1, 2, … whole pages, each made from the one before it. Equal digests mean equal tokens,
    of the same client and with the same salt: one client cannot find out, by the time it takes, what another asked.
    """
    salt = f"{request.client} {request.cache_salt}".encode(errors="surrogatepass")
    digests = [blake2b(salt, digest_size=DIGEST_BYTES, person=b"salt").digest()]
    tokens = array("q", request.prompt_token_ids).tobytes()
    size = page_size * array("q").itemsize
    for start in range(0, len(tokens) - size + 1, size):
        digests.append(blake2b(digests[-1] + tokens[start : start + size], digest_size=DIGEST_BYTES).digest())
    return digests


class Prefixes:
    """Those that are kept, in `pool`; the one used last comes last. Rings take `ring_pages` pages."""

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
        """How often the digests of whole pages are among those of what is kept."""

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Prefix]:
        return iter(self._kept.values())

    def find(self, digests: Sequence[bytes], prompt: Sequence[int], most: int) -> Prefix | None:
        """The longest that the prompt begins with, if one may go on from at most `most` tokens. It may have one token
        more: the rings have not lost what that one sees, and its own place in them is written again."""
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
        """Where on its way from `start` a prompt's rings are worth putting aside: at the end of its instructions, and
        at that of the whole pages that it has in common with others that are kept."""
        whole = start // self.page_size
        while whole + 1 < len(digests) and self._pages[digests[whole + 1]]:
            whole += 1
        ends = (request.instructions, whole * self.page_size)
        return tuple(end for end in ends if end - start >= self.least)

    def key(self, digests: Sequence[bytes], prompt: Sequence[int], length: int) -> Key:
        """That of the prompt's first `length` tokens."""
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
        """The last of some positions of the first prompt up to which the second is the same, by the digests and the
        tokens of both; 0 if there is none."""
        within = (end for end in ends if end <= len(others))
        return max((end for end in within if self.key(one, ones, end) == self.key(other, others, end)), default=0)

    def use(self, key: Key) -> bool:
        """Whether there is one by that key; if so, it goes last."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return key in self._kept

    def add(self, prefix: Prefix) -> None:
        """Keeps it, unless there is one by its key already."""
        if not self.use(prefix.key):
            self.pool.keep(prefix.pages + prefix.rings)
            self._kept[prefix.key] = prefix
            digest, rest = prefix.key
            self._rests.setdefault(digest, []).append(rest)
            self._pages.update(prefix.digests)

    def oldest(self, spared: Prefix | None = None) -> Prefix | None:
        """The one that was not used for longest, but for one that is spared."""
        return next((prefix for prefix in self if prefix is not spared), None)

    def using(self, pages: Iterable[int]) -> list[Prefix]:
        """Those that keep any of these pages."""
        wanted = frozenset(pages)
        return [prefix for prefix in self if not wanted.isdisjoint(prefix.pages)]

    def drop(self, prefix: Prefix) -> list[int]:
        """Gives it up; returns the pages that are free for it."""
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
