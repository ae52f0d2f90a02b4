"""Runs a planned step: the model over the batch, the sampler over the rows that end a sequence.

The only place that holds weights and caches together; everything above it speaks in integers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.plan import Chunk, Released
from engine.request import TokenLogprob
from engine.runner.batch import build_batch
from engine.runner.graphs import Capture, DecodeGraphs
from engine.sampling.logprobs import token_logprobs
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Sampled, sample
from engine.transfer import numbers_to_device

SCORED_LIMIT = 2**26
"""Logits held at once while a prompt is scored: 256 MiB in float32."""


@dataclass(frozen=True, slots=True)
class Task:
    """One chunk and what is wanted of it: a sampled token if `row` is given; the log-probabilities of `targets`, the
    tokens that follow the chunk's last `len(targets)` rows but for the one that samples, with `top` alternatives."""

    chunk: Chunk
    row: SamplingRow | None = None
    targets: tuple[int, ...] = ()
    target_offset: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task brought."""

    sampled: Sampled | None
    target_logprobs: list[TokenLogprob]


class Runner:
    """The model with its caches on one device."""

    def __init__(self, model: GptOss, rings: RollingCache, pages: PagedCache, device: torch.device) -> None:
        self.model = model
        self.rings = rings
        self.pages = pages
        self.device = device
        self.rotary = RotaryTable(model.config.rope, model.config.head_dim, device, model.ops.cos_sin)
        self.graphs: DecodeGraphs | None = None

    @torch.inference_mode()
    def capture(self, capture: Capture, most: int, longest_pages: int, progress: Callable[[int, int], None]) -> None:
        """From now on decoding up to `most` sequences runs as CUDA graphs; `progress` counts them."""
        self.graphs = DecodeGraphs(self.model, self.rings, self.pages, self.rotary, most, longest_pages)
        self.graphs.capture(capture, progress)

    @torch.inference_mode()
    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """One step. The outcomes are in the order of the tasks."""
        chunks = [task.chunk for task in tasks]
        rows = {i: task.row for i, task in enumerate(tasks) if task.row is not None}
        if self.graphs is not None and all(task.chunk.count == 1 and not task.targets for task in tasks):
            logits = self.graphs.logits(chunks)
            sampled = sample_rows(logits if len(rows) == len(tasks) else logits[self._index(list(rows))], rows)
            return [Outcome(sampled.get(i), []) for i in range(len(tasks))]
        batch = build_batch(chunks, self.rings.window, self.pages.page_size, self.rotary, self.device)
        hidden = self.model.forward(batch, self.rings, self.pages)
        last = self._index([batch.starts[i + 1] - 1 for i in rows])
        sampled = sample_rows(self.model.logits(hidden[last]), rows) if rows else {}
        return [Outcome(sampled.get(i), self._score(hidden[batch.starts[i] :], task)) for i, task in enumerate(tasks)]

    def check(self) -> None:
        """Raises what the device raises if it can compute nothing more, as a GPU does after some errors."""
        torch.zeros(1, device=self.device).sum().item()

    def fill(self, released: Released, value: float) -> None:
        """Overwrites freed cache places."""
        self.rings.fill(released.slot, value)
        self.pages.fill(released.pages, value)

    def _index(self, numbers: Sequence[int]) -> Tensor:
        return numbers_to_device(numbers, torch.int64, self.device)

    def _score(self, hidden: Tensor, task: Task) -> list[TokenLogprob]:
        scored: list[TokenLogprob] = []
        block = max(1, SCORED_LIMIT // self.model.config.vocab_size)
        for start in range(0, len(task.targets), block):
            targets = task.targets[start : start + block]
            first = task.target_offset + start
            logits = self.model.logits(hidden[first : first + len(targets)])
            scored += token_logprobs(logits, self._index(targets), [task.top] * len(targets))
        return scored


def sample_rows(logits: Tensor, rows: dict[int, SamplingRow]) -> dict[int, Sampled]:
    """Samples from logits [rows, vocab]; the answers have the rows' keys."""
    return dict(zip(rows, sample(logits, list(rows.values())), strict=True)) if rows else {}
