"""A request on its way: its tokens, how far they are computed, and the cache places it holds."""

from dataclasses import dataclass, field

from engine.request import Request


@dataclass(slots=True, eq=False)
class Sequence:
    """`tokens` are the prompt and what was generated; the first `computed` of them are in the caches.

    `arrival` orders sequences of equal priority. `slot` is None while it waits.
    """

    request: Request
    arrival: int
    tokens: list[int] = field(default_factory=list)
    computed: int = 0
    slot: int | None = None
    pages: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = list(self.request.prompt_token_ids)

    @property
    def prompt_length(self) -> int:
        return len(self.request.prompt_token_ids)

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def remaining(self) -> int:
        """Known tokens that are not in the caches yet: 1 while decoding."""
        return len(self.tokens) - self.computed

    @property
    def rank(self) -> tuple[int, int]:
        """Who comes first: the lower priority number, then the earlier arrival."""
        return self.request.priority, self.arrival
