"""Decoding as CUDA graphs, one for each batch size: the host launches a step of 160 kernels with one call. On a CPU the
graphs are recordings of the C++ ops (`engine.kernels.cpu.recording`).

A graph runs on the tensors that it was captured with. A step's numbers are copied into these, and a batch smaller than
its graph is padded with sequences that attention and experts skip: their rows hold anything (but a valid token id),
they write to no ring or page, and no expert is read for them. Three sequences at positions 5, 9 and 30 in a graph of
four:

    token_ids          71 12 40  0
    positions           5  9 30  0        also the tokens in the caches: a decoding sequence has one row
    ring_slots          2  0  7  0
    decode_sequences    0  1  2 -1
    block_tables        3 rows, as wide as the longest; the rest is not read
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.buckets import bucket_for, pads
from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.kernels.choose import NEUTRAL
from engine.kernels.ragged import ALIGNMENT, RaggedBatch
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.block_tables import BlockTables
from engine.runner.latest import feed
from engine.sampling.rows import Coming
from engine.transfer import copy_into, to_device

Step = Callable[[], None]
Capture = Callable[[Step], Step]
"""Records a step, after a warm-up where that matters, and returns a function that runs it again on the same tensors.
Raises what the step raises."""


class CudaCapture:
    """CUDA graphs that share one memory pool: they never run at the same time. They also share the stream on which they
    are warmed up and captured: cuBLAS keeps a workspace for every stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def __call__(self, step: Step) -> Step:
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                step()
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            cause: Exception | None = None
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    try:
                        step()
                    except Exception as error:
                        cause = error
                        raise
            finally:  # Ending the capture of a failed step may raise as well.
                if cause is not None:
                    raise cause
        replay: Step = graph.replay
        return replay


class DecodeInputs:
    """The tensors that every graph reads: a small bucket uses the first rows of the largest one's. On a CPU the host
    writes into them.

    int32 on the device; `longest` is the number of pages of the longest sequence.
    """

    def __init__(self, most: int, longest: int, page_size: int, device: torch.device) -> None:
        width = -(-most // ALIGNMENT) * ALIGNMENT
        self._page_size = page_size
        self._host = np.zeros((4, width), np.int32)
        self._numbers = to_device(torch.from_numpy(self._host), device)
        self._starts = torch.arange(width + 1, dtype=torch.int32, device=device)
        self._tables = BlockTables(most, longest, device)
        self._nothing = torch.empty(0, dtype=torch.int32, device=device)
        self._neutral = np.repeat(np.array(NEUTRAL)[:, None], most, axis=1)
        self.draws = torch.zeros(len(NEUTRAL), most, dtype=torch.float64, device=device)
        self._drawing = False

    def fill(
        self, chunks: Sequence[Chunk], coming: Coming | None, sampling: Sequence[int], draws: NDArray[np.float64] | None
    ) -> None:
        """Copies what a step of decoding sequences needs; the host does not wait. `coming` are the tokens that only the
        device knows, `draws` are those of the rows `sampling`."""
        count = len(chunks)
        numbers = self._host
        if coming is None or len(coming.rows) < count:
            # `COMING` would stay here when the row pads a later step, and it is no row of the embedding.
            numbers[0, :count] = np.maximum([chunk.token_ids[0] for chunk in chunks], 0)
        numbers[1, :count] = [chunk.start for chunk in chunks]
        numbers[2, :count] = [chunk.slot for chunk in chunks]
        numbers[3, :count] = np.arange(count)
        numbers[3, count:] = -1
        if self._numbers.is_cuda:
            copy_into(self._numbers, numbers)
        if coming is not None:
            feed(self._numbers[0, :count], coming)
        self._tables.turn([chunk.slot for chunk in chunks], [chunk.pages for chunk in chunks])
        self._let_draw(sampling, draws)

    def _let_draw(self, rows: Sequence[int], draws: NDArray[np.float64] | None) -> None:
        """Copies temperatures and random numbers, unless every row is greedy and was in the last step."""
        if draws is not None or self._drawing:
            padded = self._neutral.copy()
            if draws is not None:
                padded[: len(draws), rows] = draws
            copy_into(self.draws, padded)
        self._drawing = draws is not None

    def batch(self, bucket: int, rotary: RotaryTable, *, padded: bool) -> RaggedBatch:
        """The batch of `bucket` sequences, in views of these tensors; with `padded`, some may be padding. What only the
        references read is missing."""
        token_ids, positions, ring_slots, sequences = self._numbers[:, :bucket]
        cos, sin = rotary(positions)
        return RaggedBatch(
            token_ids=token_ids,
            positions=positions,
            cos=cos,
            sin=sin,
            starts=(),
            contexts=(),
            page_size=self._page_size,
            start_rows=self._starts[: bucket + 1],
            context_lengths=positions,
            ring_slots=ring_slots,
            block_tables=self._tables.rows[:bucket],
            decode_sequences=sequences,
            prefill_tiles=self._nothing.view(0, 2),
            ring_reads=not_on_the_host,
            ring_write_rows=self._nothing,
            ring_write_slots=self._nothing,
            page_reads=not_on_the_host,
            page_write_slots=self._nothing,
            row_sequences=sequences if padded else None,
        )


class DecodeGraphs:
    """A graph for each bucket, on the caches it was captured with: the model, its logits, and the tokens that most
    steps choose from them."""

    def __init__(
        self,
        model: GptOss,
        rings: RollingCache,
        pages: PagedCache,
        rotary: RotaryTable,
        buckets: tuple[int, ...],
        longest: int,
    ) -> None:
        """`buckets` are ascending, `longest` is in pages. Nothing can run before `capture`."""
        device = rings.keys.device
        self._model, self._rings, self._pages, self._rotary = model, rings, pages, rotary
        self._buckets = buckets
        self.most = most = buckets[-1]
        self._inputs = DecodeInputs(most, longest, pages.page_size, device)
        self._logits = torch.empty(most, model.config.vocab_size, dtype=torch.float32, device=device)
        self._chosen = torch.empty(most, dtype=torch.int64, device=device)
        self._results = {count: (self._logits[:count], self._chosen[:count]) for count in range(1, most + 1)}
        self._replays: dict[int, Step] = {}

    def capture(self, capture: Capture, progress: Callable[[int, int], None]) -> None:
        """Captures every bucket, the largest first, so that the others reuse its memory; `progress` counts them."""
        for done, bucket in enumerate(reversed(self._buckets)):
            progress(done, len(self._buckets))
            self._replays[bucket] = capture(partial(self._step, bucket))
        progress(len(self._buckets), len(self._buckets))

    def run(
        self, chunks: Sequence[Chunk], coming: Coming | None, sampling: Sequence[int], draws: NDArray[np.float64] | None
    ) -> tuple[Tensor, Tensor]:
        """Runs a step of chunks of one token each → their logits, float32 [chunks, vocab], valid until the next step,
        and their tokens, int64 [chunks]: the rows `sampling` are drawn with `draws`, or greedy if it is None."""
        count = len(chunks)
        self._inputs.fill(chunks, coming, sampling, draws)
        self._replays[bucket_for(count, self._buckets)]()
        logits, chosen = self._results[count]
        return logits, chosen.clone()

    def _step(self, bucket: int) -> None:
        batch = self._inputs.batch(bucket, self._rotary, padded=pads(bucket, self._buckets))
        hidden = self._model.forward(batch, self._rings, self._pages)
        logits = self._model.logits(hidden, out=self._logits[:bucket])
        self._model.ops.choose(logits, self._inputs.draws[:, :bucket], self._chosen[:bucket])


def not_on_the_host(sequence: int) -> Tensor:
    raise RuntimeError(f"a captured step has no numbers on the host: sequence {sequence} was asked for")
