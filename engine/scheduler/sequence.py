"""A request on its way: its tokens, how far they are computed, and the cache places it holds."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.plan import COMING, Chunk, Restore
from engine.request import Request
from engine.scheduler.prefixes import Prefix


@dataclass(slots=True, eq=False)
class Sequence:
    """`tokens` are the prompt and the generated tokens; the first `computed` of them are in the caches once everything
    launched has run. The last `coming` tokens are sampled by steps whose results have not been read yet: `plan.COMING`.

    `request` is admitted: its `max_tokens` is settled. `arrival` orders sequences of equal priority. `slot` is None
    while it waits; `room` is how many positions its pages hold. `scored` counts the prompt's positions whose
    log-probabilities have been requested from the runner.

    `admitted` is the number of the plan that admitted it. Positions before `origin` come from `restore`, whose pages
    are `borrowed` until the answer begins. `digests` are those of the prompt's pages, once computed; `partings` are
    positions at which rings are worth saving (`Prefixes.partings`). `put_aside` is the last position for which rings
    are saved; `saved` are the prefixes that can be kept once its answer has begun. `cached` is how many tokens of the
    prompt were already computed when the request first ran.
    """

    request: Request
    arrival: int
    tokens: list[int] = field(default_factory=list)
    computed: int = 0
    coming: int = 0
    scored: int = 0
    slot: int | None = None
    pages: tuple[int, ...] = ()
    room: int = 0
    admitted: int = 0
    origin: int = 0
    restore: Restore | None = None
    borrowed: tuple[int, ...] = ()
    digests: list[bytes] = field(default_factory=list)
    partings: tuple[int, ...] = ()
    put_aside: int = 0
    saved: list[Prefix] = field(default_factory=list)
    cached: int | None = None
    prompt_length: int = field(init=False)
    longest: int = field(init=False)
    """How many of its tokens ever run: an answer's last one does not."""

    def __post_init__(self) -> None:
        most = self.request.sampling.max_tokens
        assert most is not None
        self.tokens = list(self.request.prompt_token_ids)
        self.prompt_length = len(self.tokens)
        self.longest = self.prompt_length + max(0, most - 1)

    def chunk(self, count: int) -> Chunk:
        """The next `count` tokens to run."""
        assert self.slot is not None
        start, stop = self.computed, self.computed + count
        token_ids = (self.tokens[start],) if count == 1 else tuple(self.tokens[start:stop])
        samples = stop == len(self.tokens) and self.request.sampling.max_tokens != 0
        restore = self.restore if start == self.origin else None
        return Chunk(self.request.id, token_ids, start, self.slot, self.pages, samples, restore)

    def launch(self, chunk: Chunk) -> None:
        """Called when a chunk is launched: its tokens are in the caches for whatever runs after it, and the token that
        it samples is the next to run, known or not."""
        self.computed += len(chunk.token_ids)
        if chunk.samples:
            self.tokens.append(COMING)
            self.coming += 1

    def arrive(self, token_id: int) -> int:
        """Fills in the earliest of the tokens to come. Returns how many tokens of the answer are now known."""
        self.tokens[-self.coming] = token_id
        self.coming -= 1
        return self.written

    @property
    def generated(self) -> int:
        """Tokens of the answer, including those to come."""
        return len(self.tokens) - self.prompt_length

    @property
    def written(self) -> int:
        """Tokens of the answer that are known."""
        return self.generated - self.coming

    @property
    def remaining(self) -> int:
        """Tokens that have to run and are not in the caches yet: 1 while decoding."""
        known = len(self.tokens)
        return (known if known < self.longest else self.longest) - self.computed

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts by priority number, then by arrival: the lowest comes first."""
        return self.request.priority, self.arrival


def in_turn(admitted: Iterable[Sequence]) -> list[Sequence]:
    """Sequences in the order of their admission, but each client's are sorted by rank among that client's own places: a
    priority never overtakes another client's running sequences.

    Of client A's x, admitted first and ranked last, client B's y, and A's z, the order is z, y, x.
    """
    places = [*admitted]
    own: dict[int, deque[Sequence]] = {}
    for sequence in sorted(places, key=lambda sequence: sequence.rank):
        own.setdefault(sequence.request.client, deque()).append(sequence)
    return [own[sequence.request.client].popleft() for sequence in places]
