"""Runs a planned step: the model over the batch, the sampler over the rows that end a sequence.

The only place that holds weights and caches together; everything above it speaks in integers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.plan import Chunk, Released
from engine.request import TokenLogprob
from engine.runner.batch import build_batch
from engine.runner.graphs import Capture, DecodeGraphs
from engine.sampling.logprobs import Scored, token_logprobs
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Chosen, Sampled, sample
from engine.transfer import numbers_to_device

SCORED_LIMIT = 2**26
"""Logits held at once while a prompt is scored: 256 MiB in float32."""


class Task(Struct, frozen=True):
    """One chunk and what is wanted of it: a sampled token if `row` is given; the log-probabilities of `targets`, the
    tokens that follow the chunk's last `len(targets)` rows but for the one that samples, with `top` alternatives."""

    chunk: Chunk
    row: SamplingRow | None = None
    targets: tuple[int, ...] = ()
    target_offset: int = 0
    top: int = 0


class Outcome(Struct, frozen=True):
    """What a task brought."""

    sampled: Sampled | None
    target_logprobs: list[TokenLogprob]


@dataclass(frozen=True, slots=True)
class Launched:
    """A step on its way. The host can launch the next one meanwhile: it is fed what this one samples on the device."""

    tasks: int
    rows: Sequence[int]
    """The tasks that sample."""
    chosen: Chosen | None
    scored: Mapping[int, Sequence[Scored]]
    """What of the prompts of some tasks was scored, in blocks."""

    def read(self) -> list[Outcome]:
        """What each task brought, in their order. Waits until the step is done."""
        sampled = {} if self.chosen is None else dict(zip(self.rows, self.chosen.read(), strict=True))
        return [
            Outcome(sampled.get(i), [entry for block in self.scored.get(i, ()) for entry in block.read()])
            for i in range(self.tasks)
        ]


class Runner:
    """The model with its caches on one device. What it launches runs there in the order of the launches."""

    def __init__(self, model: GptOss, rings: RollingCache, pages: PagedCache, device: torch.device) -> None:
        self.model = model
        self.rings = rings
        self.pages = pages
        self.device = device
        self.rotary = RotaryTable(model.config.rope, model.config.head_dim, device, model.ops.cos_sin)
        self.graphs: DecodeGraphs | None = None
        self._last_rows: dict[str, int] = {}
        self._last_tokens: Tensor | None = None

    @torch.inference_mode()
    def capture(self, capture: Capture, most: int, longest_pages: int, progress: Callable[[int, int], None]) -> None:
        """From now on decoding up to `most` sequences runs as CUDA graphs; `progress` counts them."""
        self.graphs = DecodeGraphs(self.model, self.rings, self.pages, self.rotary, most, longest_pages)
        self.graphs.capture(capture, progress)

    @torch.inference_mode()
    def launch(self, tasks: Sequence[Task]) -> Launched:
        """Sets a step going. A chunk that ends with a token to come gets the one that the launch before samples."""
        chunks = [task.chunk for task in tasks]
        rows = {i: task.row for i, task in enumerate(tasks) if task.row is not None}
        scored: dict[int, list[Scored]] = {}
        if self.graphs is not None and all(task.chunk.count == 1 and not task.targets for task in tasks):
            logits = self.graphs.logits(chunks, self._arrivals(chunks))
            if len(rows) < len(tasks):
                logits = logits[self._index(list(rows))]
        else:
            batch = build_batch(chunks, self.rings.window, self.pages.page_size, self.rotary, self.device)
            if (arrivals := self._arrivals(chunks)) is not None:
                batch.token_ids.index_copy_(0, *arrivals)
            hidden = self.model.forward(batch, self.rings, self.pages)
            logits = self.model.logits(hidden[self._index([batch.starts[i + 1] - 1 for i in rows])]) if rows else hidden
            scored = {i: self._score(hidden[batch.starts[i] :], task) for i, task in enumerate(tasks) if task.targets}
        chosen = sample(logits, list(rows.values()), self._before(chunks, rows)) if rows else None
        self._last_rows = {chunks[i].request_id: row for row, i in enumerate(rows)}
        self._last_tokens = None if chosen is None else chosen.tokens
        return Launched(len(tasks), list(rows), chosen, scored)

    def _before(self, chunks: Sequence[Chunk], rows: Mapping[int, SamplingRow]) -> Tensor | None:
        """The token before each row that samples, where it is still to come and a penalty has to know it; else −1."""
        if not any(row.coming and row.occurrences is not None for row in rows.values()):
            return None
        assert self._last_tokens is not None
        places = [self._last_rows[chunks[i].request_id] if chunks[i].coming else -1 for i in rows]
        return functional.pad(self._last_tokens, (0, 1), value=-1)[self._index(places)]

    def _arrivals(self, chunks: Sequence[Chunk]) -> tuple[Tensor, Tensor] | None:
        """The rows of a batch whose token is still to come, and their tokens. Where there is none, for its logits were
        not finite, it is the first of the vocabulary: the request ends when the host reads that."""
        rows = list(accumulate((chunk.count for chunk in chunks), initial=-1))[1:]
        sources = {
            row: self._last_rows[chunk.request_id] for row, chunk in zip(rows, chunks, strict=True) if chunk.coming
        }
        if not sources:
            return None
        assert self._last_tokens is not None
        tokens = self._last_tokens[self._index(list(sources.values()))]
        return self._index(list(sources)), tokens.clamp(min=0).to(torch.int32)

    def check(self) -> None:
        """Raises what the device raises if it can compute nothing more, as a GPU does after some errors."""
        torch.zeros(1, device=self.device).sum().item()

    def fill(self, released: Released, value: float) -> None:
        """Overwrites freed cache places."""
        self.rings.fill(released.slot, value)
        self.pages.fill(released.pages, value)

    def _index(self, numbers: Sequence[int]) -> Tensor:
        return numbers_to_device(numbers, torch.int64, self.device)

    def _score(self, hidden: Tensor, task: Task) -> list[Scored]:
        scored = []
        block = max(1, SCORED_LIMIT // self.model.config.vocab_size)
        for start in range(0, len(task.targets), block):
            targets = task.targets[start : start + block]
            first = task.target_offset + start
            logits = self.model.logits(hidden[first : first + len(targets)])
            scored.append(token_logprobs(logits, self._index(targets), [task.top] * len(targets)))
        return scored
