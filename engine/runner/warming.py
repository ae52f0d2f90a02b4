"""Warm-up steps, run before a GPU's engine is ready: a kernel is compiled for each tile width when it is first launched
with it, and the first requests would wait for that.

No request uses the caches yet, and each writes its places before it reads them, so what these steps leave there does
not matter.
"""

from collections.abc import Callable
from itertools import cycle

from engine.buckets import decode_buckets
from engine.plan import Chunk, pages_for
from engine.request import SamplingParams
from engine.runner.runner import Runner, Task
from engine.sampling.rows import SamplingRow

ROWS = (
    SamplingRow(SamplingParams(temperature=0, seed=0)),
    SamplingRow(SamplingParams(temperature=1, top_p=0.5, seed=0)),
)
"""One without filters, and one with: different kernels choose their tokens."""


def warm_up(runner: Runner, sequences: int, longest_prompt: int, progress: Callable[[int, int], None]) -> None:
    """Runs steps of up to `sequences` decoding requests, and of one prompt of up to `longest_prompt` tokens, in the
    first slots and pages; `progress` counts them. Raises what the device raises."""
    steps = step_sizes(sequences, longest_prompt)
    for done, (sizes, row) in enumerate(zip(steps, cycle(ROWS), strict=False)):
        progress(done, len(steps))
        pages = tuple(range(pages_for(max(sizes), runner.pages.page_size)))
        chunks = [Chunk(f"warming-{slot}", (0,) * size, 0, slot, pages, True) for slot, size in enumerate(sizes)]
        runner.launch([Task(chunk, row) for chunk in chunks]).read()
    if (count := runner.ring_pages.count) is not None and count <= runner.pages.count:
        runner.ring_pages.save(0, range(count))
        runner.ring_pages.restore(0, range(count))
    progress(len(steps), len(steps))


def step_sizes(sequences: int, longest_prompt: int) -> list[tuple[int, ...]]:
    """The tokens of each chunk of each step. Tile widths are powers of two, and successive steps skip none.

    >>> step_sizes(3, 20)
    [(1,), (1, 1), (1, 1, 1), (2,), (4,), (8,), (16,), (20,)]
    """
    powers = (2**n for n in range(1, longest_prompt.bit_length()))
    prompts = sorted({*powers, longest_prompt} - {1})
    return [*((1,) * size for size in decode_buckets(sequences)), *((size,) for size in prompts)]
