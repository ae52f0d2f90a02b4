"""The scheduler: integers in, a plan out, no tensors.

Continuous batching under a token budget. A step carries, in this order, the next token of every decoding sequence,
chunks of prompts under way, and chunks of waiting prompts that find a slot and pages. When pages run out, the
sequence that comes last is preempted: it gives everything back and is recomputed later, its generated tokens kept.
"""

from bisect import insort

from engine.plan import Chunk, Released
from engine.request import Request
from engine.scheduler.pages import PagePool, pages_for
from engine.scheduler.sequence import Sequence


class Scheduler:
    """Owns every sequence, ring slot and page.

    `pages` must hold one request of the longest length allowed: then the sequence that comes first can always run.
    """

    def __init__(self, *, slots: int, pages: int, page_size: int, max_batched_tokens: int) -> None:
        self.slots = slots
        self.page_size = page_size
        self.max_batched_tokens = max_batched_tokens
        self.pool = PagePool(pages)
        self.free_slots = list(range(slots - 1, -1, -1))
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.preemptions = 0
        self._sequences: dict[str, Sequence] = {}
        self._released: list[Released] = []
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
        """Queues a request, behind those of its priority."""
        sequence = Sequence(request, arrival=self._arrivals)
        self._arrivals += 1
        self._sequences[request.id] = sequence
        insort(self.waiting, sequence, key=rank)

    def remove(self, request_id: str) -> None:
        """Forgets a request, finished or aborted, wherever it stands; what it held is free again."""
        sequence = self._sequences.pop(request_id)
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            self._release(sequence)

    def take_released(self) -> list[Released]:
        """The cache places given back since the last call (tests poison them)."""
        released, self._released = self._released, []
        return released

    def plan(self) -> list[Chunk]:
        """Decides the next step; empty if nothing is queued, or only what ends with a token to come. Each
        sequence is told by `launch` before the next plan.

        Every decoding sequence has its token reserved; prompts share the rest of the budget. Places are handed out
        in the order of rank, so whoever is preempted has not been planned yet.
        """
        running = [*self.running]
        remaining = [sequence.remaining for sequence in running]
        prompt_budget = self.max_batched_tokens - remaining.count(1)
        chunks = []
        for sequence, count in zip(running, remaining, strict=True):
            if sequence.slot is None:
                continue
            own = count if count == 1 else min(count, prompt_budget)
            stop = sequence.computed + own
            if own == 0 or (stop > sequence.room and not self._make_room(sequence, stop)):
                continue
            if count > 1:
                prompt_budget -= own
            chunks.append(sequence.chunk(own))
        while prompt_budget and self._next_fits():
            sequence = self._admit()
            count = min(sequence.remaining, prompt_budget)
            self._make_room(sequence, count)
            prompt_budget -= count
            chunks.append(sequence.chunk(count))
        return chunks

    def _next(self) -> Sequence:
        """The waiting sequence that is admitted next: clients take turns, each with its first one.

        A client's n-th waiting request is overtaken by no more than n of each other client.
        """
        return min(self.waiting, key=lambda sequence: (self._turns.get(sequence.request.client, 0), sequence.rank))

    def _next_fits(self) -> bool:
        """Whether the next waiting sequence finds a slot, and pages for all it knows while every running one can
        still take another: admitting more would only preempt it again."""
        if not self.waiting or not self.free_slots:
            return False
        wanted = pages_for(len(self._next().tokens), self.page_size)
        return wanted + len(self.running) <= self.pool.free

    def _admit(self) -> Sequence:
        sequence = self._next()
        self.waiting.remove(sequence)
        self._admissions += 1
        self._turns[sequence.request.client] = self._admissions
        sequence.slot = self.free_slots.pop()
        insort(self.running, sequence, key=rank)
        return sequence

    def _make_room(self, sequence: Sequence, stop: int) -> bool:
        """Gives `sequence` pages for `stop` positions, preempting from the end; False if it was itself preempted."""
        wanted = pages_for(stop, self.page_size) - len(sequence.pages)
        while wanted > self.pool.free:
            victim = self.running[-1]
            self._preempt(victim)
            if victim is sequence:
                return False
        sequence.pages += tuple(self.pool.take(wanted))
        sequence.room = len(sequence.pages) * self.page_size
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        insort(self.waiting, sequence, key=rank)
        self.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        self._released.append(Released(sequence.slot, sequence.pages))
        self.free_slots.append(sequence.slot)
        self.pool.give_back(sequence.pages)
        sequence.slot, sequence.pages, sequence.room, sequence.computed = None, (), 0, 0


def rank(sequence: Sequence) -> tuple[int, int]:
    """The key that keeps the queues in order."""
    return sequence.rank
