"""The scheduler: integers in, a plan out, no tensors.

Continuous batching under a token budget. A step carries, in this order, the next token of every decoding sequence,
chunks of prompts under way, and chunks of waiting prompts that find a slot and pages. When pages run out, kept prefixes
are evicted, and then the sequence that comes last (`in_turn`) is preempted: it frees all its places and is recomputed
later, its generated tokens kept.
"""

from bisect import insort
from collections.abc import Sequence as Many
from operator import attrgetter

from msgspec.structs import replace

from engine.plan import Chunk, Released, Restore, pages_for
from engine.request import Request
from engine.scheduler.pages import PagePool
from engine.scheduler.prefixes import Prefix, Prefixes, page_digests
from engine.scheduler.sequence import Sequence, in_turn


class Scheduler:
    """Owns every sequence, ring slot and page.

    `pages` must hold one request of the longest length allowed: then the sequence that comes first can always run.
    `ring_pages` is how many pages a request's rings take when they are saved; None keeps no prefixes.
    """

    def __init__(
        self, *, slots: int, pages: int, page_size: int, max_batched_tokens: int, ring_pages: int | None = None
    ) -> None:
        self.slots = slots
        self.page_size = page_size
        self.max_batched_tokens = max_batched_tokens
        self.pool = PagePool(pages)
        self.prefixes = None if ring_pages is None else Prefixes(self.pool, page_size, ring_pages)
        self.free_slots = list(range(slots - 1, -1, -1))
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        """In the order of their admission."""
        self._order: list[Sequence] | None = None
        """The running sequences `in_turn`; None if they have changed since."""
        self.preemptions = 0
        self._sequences: dict[str, Sequence] = {}
        self._released: list[Released] = []
        self.plans = 0
        """How many plans were made."""
        self._arrivals = 0
        self._turns: dict[int, int] = {}
        self._admissions = 0

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._sequences

    def __getitem__(self, request_id: str) -> Sequence:
        return self._sequences[request_id]

    @property
    def idle(self) -> bool:
        return not self._sequences

    def add(self, request: Request) -> None:
        """Queues a request, behind the others of its priority."""
        sequence = Sequence(request, arrival=self._arrivals)
        self._arrivals += 1
        self._sequences[request.id] = sequence
        insort(self.waiting, sequence, key=attrgetter("rank"))

    def remove(self, request_id: str, *, distrusted: bool = False) -> None:
        """Forgets a request, finished or aborted, running or waiting, and frees what it held. If it is distrusted,
        nothing that it computed is kept."""
        sequence = self._sequences.pop(request_id)
        if distrusted and self.prefixes is not None:
            for prefix in self.prefixes.using(sequence.pages[sequence.origin // self.page_size :]):
                self._note_freed(self.prefixes.drop(prefix))
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self._leave(sequence)

    def take_released(self) -> list[Released]:
        """The cache places freed since the last call (tests poison them)."""
        released, self._released = self._released, []
        return released

    def plan(self) -> list[Chunk]:
        """Decides the next step; empty if no sequence can run: none is queued, or each ends with or waits for a token
        to come. `Sequence.launch` must be called for each chunk before the next plan.

        Every decoding sequence has its token reserved; prompts share the rest of the budget. Places are handed out
        `in_turn`, so a preempted sequence has not been planned yet.
        """
        self.plans += 1
        if self._order is None:
            self._order = in_turn(self.running)
        order = self._order
        remaining = [sequence.remaining for sequence in order]
        prompt_budget = self.max_batched_tokens - remaining.count(1)
        chunks = []
        for sequence, count in zip(order, remaining, strict=True):
            if sequence.slot is None:
                continue
            own = count if count == 1 else self._prompt_share(sequence, prompt_budget)
            stop = sequence.computed + own
            if own == 0 or (stop > sequence.room and not self._make_room(sequence, stop, order)):
                continue
            if count > 1:
                prompt_budget -= own
            chunks.append(sequence.chunk(own))
        while prompt_budget and (admitted := self._admit()) is not None:
            count = self._prompt_share(admitted, prompt_budget)
            self._make_room(admitted, admitted.computed + count, [admitted])
            prompt_budget -= count
            chunks.append(admitted.chunk(count))
        if (prefixes := self.prefixes) is None:
            return chunks
        return [chunk if len(chunk.token_ids) == 1 else self._putting_aside(chunk, prefixes) for chunk in chunks]

    def begun(self, request_id: str, plan: int) -> None:
        """A token of the answer has been read, sampled by the plan of that number: the prefixes saved on the way are
        sound and are kept; borrowed pages are no longer needed."""
        sequence = self._sequences[request_id]
        if plan >= sequence.admitted:
            for prefix in sequence.saved:
                assert self.prefixes is not None
                self.prefixes.add(prefix)
            self._settle(sequence)

    def _prompt_share(self, sequence: Sequence, most: int) -> int:
        """How many tokens of a prompt run next: at most `most`, and none beyond the next parting."""
        ahead = (parting - sequence.computed for parting in sequence.partings)
        return min([sequence.remaining, most, *(before for before in ahead if before > 0)])

    def _next(self) -> Sequence:
        """The waiting sequence that is admitted next: clients take turns, each with its first waiting sequence.

        A client's n-th waiting request is overtaken by no more than n requests of each other client.
        """
        firsts: dict[int, Sequence] = {}
        for sequence in self.waiting:
            firsts.setdefault(sequence.request.client, sequence)
        return min(firsts.values(), key=lambda first: (self._turns.get(first.request.client, 0), first.arrival))

    def _admit(self) -> Sequence | None:
        """Admits the next waiting sequence, if it finds a slot, and pages for all its tokens that leave one for every
        running sequence: otherwise it would only be preempted again. It resumes from the longest kept prefix."""
        if not self.waiting or not self.free_slots:
            return None
        sequence = self._next()
        prefix, wanted = self._prefix_of(sequence), pages_for(len(sequence.tokens), self.page_size) + len(self.running)
        start = 0 if prefix is None else min(prefix.length, self._most_cached(sequence))
        if self._is_computed_now(sequence, start):
            return None
        if prefix is not None and not self._find_pages(wanted - start // self.page_size, prefix):
            prefix = None
        if prefix is None and not self._find_pages(wanted):
            return None
        self.waiting.remove(sequence)
        self._admissions += 1
        self._turns[sequence.request.client] = self._admissions
        sequence.slot, sequence.admitted = self.free_slots.pop(), self.plans
        if prefix is not None:
            self._go_on_from(prefix, start, sequence)
        if self.prefixes is not None and sequence.digests:
            sequence.partings = self.prefixes.partings(sequence.request, sequence.digests, sequence.computed)
        if sequence.cached is None:
            sequence.cached = sequence.computed
        self.running.append(sequence)
        self._order = None
        return sequence

    def _prefix_of(self, sequence: Sequence) -> Prefix | None:
        """The longest kept prefix of its prompt. A request that scores its whole prompt reuses none."""
        if self.prefixes is None or sequence.request.sampling.prompt_logprobs is not None:
            return None
        prompt, most = sequence.request.prompt_token_ids, self._most_cached(sequence)
        return self.prefixes.find(self._digests(sequence), prompt, most)

    def _is_computed_now(self, sequence: Sequence, start: int) -> bool:
        """Whether a running prompt that is about to end shares so many tokens beyond `start` that it is worth waiting
        until they are kept. They are kept with the first token of its answer, up to a position at which its rings were
        or will be saved."""
        prefixes, most = self.prefixes, self._most_cached(sequence)
        if prefixes is None or sequence.request.sampling.prompt_logprobs is not None:
            return False
        prompt, digests = sequence.request.prompt_token_ids, self._digests(sequence)
        for other in self.running:
            rest = other.prompt_length - other.computed
            if other.written or rest > self.max_batched_tokens or other.request.sampling.max_tokens == 0:
                continue
            ends = [prefix.length for prefix in other.saved]
            ends += [other.prompt_length, *other.partings] if rest > 0 else []
            end = prefixes.in_common(self._digests(other), other.request.prompt_token_ids, digests, prompt, ends)
            if min(end, most) - start >= prefixes.worth_waiting:
                return True
        return False

    def _digests(self, sequence: Sequence) -> list[bytes]:
        """The digests of its prompt's pages, made once."""
        if not sequence.digests:
            sequence.digests = page_digests(sequence.request, self.page_size)
        return sequence.digests

    def _most_cached(self, sequence: Sequence) -> int:
        """The most tokens that a prefix may provide: at least one must run, and the answer's last token never does."""
        return min(sequence.prompt_length, sequence.longest - 1, len(sequence.tokens) - 1)

    def _go_on_from(self, prefix: Prefix, start: int, sequence: Sequence) -> None:
        assert self.prefixes is not None
        self.prefixes.use(prefix.key)
        whole, partly = divmod(start, self.page_size)
        parted = prefix.pages[whole : whole + bool(partly)]
        sequence.pages, sequence.room = prefix.pages[:whole], whole * self.page_size
        sequence.computed = sequence.put_aside = sequence.origin = start
        sequence.restore = Restore(prefix.rings, parted[0] if parted else None)
        sequence.borrowed = prefix.rings + parted
        self.pool.share(sequence.pages + sequence.borrowed)

    def _putting_aside(self, chunk: Chunk, prefixes: Prefixes) -> Chunk:
        """The chunk, which saves the rings if its end is worth it, no such prefix is kept yet, and there are pages that
        running sequences do not need for their next tokens."""
        sequence, stop = self._sequences[chunk.request_id], chunk.stop
        prompt, before = sequence.request.prompt_token_ids, sequence.put_aside
        enough = prefixes.least if stop in (sequence.prompt_length, *sequence.partings) else prefixes.spacing
        if stop > sequence.prompt_length or stop - before < enough or sequence.request.sampling.max_tokens == 0:
            return chunk
        digests = self._digests(sequence)
        key = prefixes.key(digests, prompt, stop)
        if prefixes.use(key):
            sequence.put_aside = stop
        if sequence.put_aside == stop or not self._find_pages(prefixes.ring_pages + len(self.running)):
            return chunk
        rings = tuple(self.pool.take(prefixes.ring_pages))
        pages = chunk.pages[: pages_for(stop, self.page_size)]
        since = tuple(digests[before // self.page_size + 1 : stop // self.page_size + 1])
        sequence.saved.append(Prefix(key, stop, pages, rings, since))
        sequence.put_aside = stop
        return replace(chunk, save=rings)

    def _find_pages(self, count: int, spared: Prefix | None = None) -> bool:
        """Whether `count` pages are free, if need be after evicting kept prefixes, but never the `spared` one. Nothing
        is evicted if that would not be enough."""
        if count <= self.pool.free or self.prefixes is None:
            return count <= self.pool.free
        spare = 0 if spared is None else self.pool.only_kept(spared.pages + spared.rings)
        if count > self.pool.free + self.pool.kept - spare:
            return False
        while count > self.pool.free and (oldest := self.prefixes.oldest(spared)) is not None:
            self._note_freed(self.prefixes.drop(oldest))
        return count <= self.pool.free

    def _make_room(self, sequence: Sequence, stop: int, order: Many[Sequence]) -> bool:
        """Gives `sequence` pages for `stop` positions, preempting from the order's end; False if it was preempted."""
        wanted = pages_for(stop, self.page_size) - len(sequence.pages)
        while not self._find_pages(wanted):
            if (other := next((other for other in self.running if other.saved), None)) is not None:
                self._forget_saved(other)
                continue
            victim = next(last for last in reversed(order) if last.slot is not None)
            self._preempt(victim)
            if victim is sequence:
                return False
        sequence.pages += tuple(self.pool.take(wanted))
        sequence.room = len(sequence.pages) * self.page_size
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence)
        insort(self.waiting, sequence, key=attrgetter("rank"))
        self.preemptions += 1

    def _forget_saved(self, sequence: Sequence) -> None:
        """Releases its hold on the prefixes that it has saved."""
        for prefix in sequence.saved:
            self._note_freed(self.pool.give_back(prefix.rings))
        sequence.saved = []

    def _settle(self, sequence: Sequence) -> None:
        """Releases everything but its own places: saved prefixes and borrowed pages."""
        self._forget_saved(sequence)
        self._note_freed(self.pool.give_back(sequence.borrowed))
        sequence.borrowed = ()

    def _leave(self, sequence: Sequence) -> None:
        """Takes it out of the running sequences, and frees what it holds."""
        assert sequence.slot is not None
        self.running.remove(sequence)
        self._order = None
        self._settle(sequence)
        self._released.append(Released(sequence.slot, tuple(self.pool.give_back(sequence.pages))))
        self.free_slots.append(sequence.slot)
        sequence.slot, sequence.pages, sequence.room, sequence.computed = None, (), 0, 0
        sequence.origin, sequence.restore, sequence.partings, sequence.put_aside = 0, None, (), 0

    def _note_freed(self, pages: Many[int]) -> None:
        if pages:
            self._released.append(Released(None, tuple(pages)))
