"""What a step does, in integers: the scheduler's answer and the runner's order."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence to run: positions start … stop − 1, with the cache places they need.

    `slot` is the request's place in the rings; `pages` is its block table, long enough for `stop` positions.
    `samples` says that the chunk ends with the last token known, so that its last row decides the next one.
    """

    request_id: str
    token_ids: tuple[int, ...]
    start: int
    slot: int
    pages: tuple[int, ...]
    samples: bool

    @property
    def count(self) -> int:
        return len(self.token_ids)

    @property
    def stop(self) -> int:
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Released:
    """Cache places that a sequence gave back: its ring slot and its pages."""

    slot: int
    pages: tuple[int, ...]
