"""What a step does, in integers: the scheduler's output and the runner's input."""

from collections.abc import Iterable

from msgspec import Struct

COMING = -1
"""Placeholder for a token that the last step samples: the host has not read it yet, the runner has it on the device."""


CONTEXT_OF_A_TOKEN = 32_768
"""Attending to this many tokens takes a CPU about as long as everything else that a gpt-oss model does for one."""
LONG_RUN = 512
"""A step with more `work` than this is announced to the supervisor before it begins."""


class Restore(Struct, frozen=True):
    """Where a sequence resumes from a cached prefix: the pages that hold the saved rings, and, unless the chunk starts
    at a page boundary, the page whose first positions are copied into the one that `start` lies in."""

    rings: tuple[int, ...]
    page: int | None


class Chunk(Struct, frozen=True):
    """Tokens of one sequence to run: positions start … stop − 1, with the cache places they need.

    `slot` is the request's place in the rings; `pages` is its block table, long enough for `stop` positions, and the
    same object from step to step until it grows. `samples` says that the chunk ends with the sequence's last token, so
    that its last row decides the next one. That last token may be `COMING`. Before the chunk runs, its places are
    restored from `restore`; after it has run, its rings are saved to the pages `save`.
    """

    request_id: str
    token_ids: tuple[int, ...]
    start: int
    slot: int
    pages: tuple[int, ...]
    samples: bool
    restore: Restore | None = None
    save: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return len(self.token_ids)

    @property
    def stop(self) -> int:
        return self.start + self.count

    @property
    def coming(self) -> bool:
        """Whether its last token is `COMING`."""
        return self.token_ids[-1] == COMING

    @property
    def repeatable(self) -> bool:
        """Whether it can be run again after a step that failed half way.

        In a ring of 4 the chunk 6, 7 takes the places of positions 2 and 3; position 6 still has to see 3, but the
        layers that ran have lost it. A single token only replaces a position that it no longer sees. A chunk at the
        beginning of a sequence has nothing before it, and a chunk that restores a prefix restores it again.

        >>> [Chunk("a", (1,) * n, start, 0, (), False).repeatable for start, n in ((6, 2), (6, 1), (0, 7))]
        [False, True, True]
        """
        return self.start == 0 or self.count == 1 or self.restore is not None


def work(chunks: Iterable[Chunk]) -> int:
    """The cost of computing chunks, in tokens without context.

    >>> [work([Chunk("a", (1,) * 2048, start, 0, (), False)]) for start in (0, 30720, 129024)]
    [2176, 4096, 10240]
    """
    return sum(chunk.count * (CONTEXT_OF_A_TOKEN + chunk.stop) // CONTEXT_OF_A_TOKEN for chunk in chunks)


class Released(Struct, frozen=True):
    """Cache places that were freed: a sequence's ring slot, and pages."""

    slot: int | None
    pages: tuple[int, ...]


def pages_for(tokens: int, page_size: int) -> int:
    """How many pages hold `tokens` positions.

    >>> pages_for(0, 16), pages_for(16, 16), pages_for(17, 16)
    (0, 1, 2)
    """
    return -(-tokens // page_size)
