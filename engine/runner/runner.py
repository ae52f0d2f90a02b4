"""Runs a planned step: the model over the batch, the sampler over the rows that end a sequence.

The only place that holds weights and caches together; everything above it speaks in integers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from msgspec import Struct, structs
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.put_aside import RingPages
from engine.cache.rolling import RollingCache
from engine.device import make_current
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.plan import Chunk, Released, Restore
from engine.runner.batch import build_batch
from engine.runner.graphs import Capture, DecodeGraphs
from engine.runner.latest import Latest, feed
from engine.sampling.logprobs import Scored, token_logprobs
from engine.sampling.rows import Coming, SamplingRow
from engine.sampling.sampler import NOT_FINITE, Chosen, Sampled, Sampler
from engine.transfer import numbers_to_device

NOTHING = Sampled()

SCORED_LIMIT = 2**24
"""Logits held at once while a prompt is scored: 256 MiB with what is computed from them."""


class Task(Struct, frozen=True):
    """One chunk and what to compute for it: if `row` is given, the answer's token after its `written` ones; and the
    log-probabilities of `targets`, the tokens that follow the chunk's rows from `target_offset` on, with `top`
    alternatives."""

    chunk: Chunk
    row: SamplingRow | None = None
    written: int = 0
    targets: tuple[int, ...] = ()
    target_offset: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class Launched:
    """A step in flight. The host can launch the next one meanwhile: it gets this one's sampled tokens on the device."""

    tasks: int
    rows: Sequence[int]
    """The tasks that sample."""
    chosen: Chosen | None
    scored: Mapping[int, Sequence[Scored]]
    """The scored prompt tokens of some tasks, in blocks."""

    def read(self) -> Sequence[Sampled | Exception]:
        """Each task's result, in order, or `NOT_FINITE`. Waits until the step is done."""
        sampled: Sequence[Sampled | Exception] = [] if self.chosen is None else self.chosen.read()
        if len(sampled) == self.tasks and not self.scored:
            return sampled
        outcomes: list[Sampled | Exception] = [NOTHING] * self.tasks
        for i, its in zip(self.rows, sampled, strict=True):
            outcomes[i] = its
        for i, blocks in self.scored.items():
            scored, outcome = [entry for block in blocks for entry in block.read()], outcomes[i]
            if isinstance(outcome, Sampled):
                finite = all(isfinite(entry.logprob) for entry in scored)
                outcomes[i] = structs.replace(outcome, target_logprobs=scored) if finite else NOT_FINITE
        return outcomes


class Runner:
    """The model with its caches on one device. Launches run there in order."""

    def __init__(self, model: GptOss, rings: RollingCache, pages: PagedCache, device: torch.device) -> None:
        self.model = model
        self.rings = rings
        self.pages = pages
        self.ring_pages = RingPages(rings, pages)
        self.device = device
        self.rotary = RotaryTable(model.config.rope, model.config.head_dim, device, model.ops.cos_sin)
        self.graphs: DecodeGraphs | None = None
        self._latest = Latest()
        self._rows: list[SamplingRow] = []
        self._sampler: Sampler | None = None
        """The sampler of the last rows: usually the next ones are the same."""

    def capture(
        self,
        capture: Capture,
        buckets: tuple[int, ...],
        longest_pages: int,
        progress: Callable[[int, int], None],
    ) -> None:
        """Captures graphs for `buckets`; from then on, decoding up to the largest of them runs as graphs. `progress`
        counts them. Raises what `capture` raises, and then changes nothing."""
        graphs = DecodeGraphs(self.model, self.rings, self.pages, self.rotary, buckets, longest_pages)
        graphs.capture(capture, progress)
        self.graphs = graphs

    def launch(self, tasks: Sequence[Task]) -> Launched:
        """Launches a step. A chunk that ends with a token to come gets the one that the previous launch samples."""
        make_current(self.device)  # The thread may differ from the one at start.
        chunks = [task.chunk for task in tasks]
        for chunk in chunks:
            if chunk.restore is not None:
                self._restore(chunk, chunk.restore)
        sampling = [i for i, task in enumerate(tasks) if task.row is not None]
        targeted = [i for i, task in enumerate(tasks) if task.targets]
        ending = [i for i, chunk in enumerate(chunks) if chunk.coming]
        coming = self._latest.of(ending, [chunks[i].request_id for i in ending])
        tokens = sum([len(chunk.token_ids) for chunk in chunks])
        sampler, written = self._sampler_of(tasks), [tasks[i].written for i in sampling]
        ready, scored = None, dict[int, list[Scored]]()
        if self.graphs is not None and tokens == len(tasks) <= self.graphs.most and not targeted:
            logits, ready = self.graphs.run(chunks, coming, sampling, sampler.draws(written))
            if len(sampling) < len(tasks):
                at = self._index(sampling)
                logits, ready = logits[at], ready[at]
        else:
            batch = build_batch(chunks, self.rings.window, self.pages.page_size, self.rotary, self.device)
            lasts = [start - 1 for start in batch.starts[1:]]
            if coming is not None:
                feed(batch.token_ids, Coming([lasts[i] for i in coming.rows], coming.tokens))
            hidden = self.model.forward(batch, self.rings, self.pages)
            scored = {i: self._score(hidden[batch.starts[i] :], tasks[i]) for i in targeted}
            logits = self.model.logits(hidden[self._index([lasts[i] for i in sampling])]) if sampling else hidden
        for chunk in chunks:
            if chunk.save:
                self.ring_pages.save(chunk.slot, chunk.save)
        chosen = None
        if sampling:
            unread = [r for r in sampler.penalised if chunks[sampling[r]].coming]
            penalised = self._latest.of(unread, [chunks[sampling[r]].request_id for r in unread])
            chosen = sampler(logits, written, penalised, ready)
        self._latest.note([chunks[i].request_id for i in sampling], None if chosen is None else chosen.tokens)
        return Launched(len(tasks), sampling, chosen, scored)

    def _sampler_of(self, tasks: Sequence[Task]) -> Sampler:
        rows = [task.row for task in tasks if task.row is not None]
        if self._sampler is None or rows != self._rows:
            self._sampler = Sampler(rows, self.model.config.vocab_size, self.device, self.model.ops.choose)
            self._rows = rows
        return self._sampler

    def check(self) -> None:
        """Raises if the device can no longer compute, as happens to a GPU after some errors."""
        torch.zeros(1, device=self.device).sum().item()

    def fill(self, released: Released, value: float) -> None:
        """Overwrites freed cache places."""
        if released.slot is not None:
            self.rings.fill(released.slot, value)
        self.pages.fill(released.pages, value)

    def _restore(self, chunk: Chunk, restore: Restore) -> None:
        self.ring_pages.restore(chunk.slot, restore.rings)
        if restore.page is not None:
            whole, partly = divmod(chunk.start, self.pages.page_size)
            self.pages.copy(restore.page, chunk.pages[whole], partly)

    def _index(self, numbers: Sequence[int]) -> Tensor:
        return numbers_to_device(numbers, np.int64, self.device)

    def _score(self, hidden: Tensor, task: Task) -> list[Scored]:
        scored = []
        block = max(1, SCORED_LIMIT // self.model.config.vocab_size)
        for start in range(0, len(task.targets), block):
            targets = task.targets[start : start + block]
            first = task.target_offset + start
            logits = self.model.logits(hidden[first : first + len(targets)])
            scored.append(token_logprobs(logits, self._index(targets), [task.top] * len(targets)))
        return scored
