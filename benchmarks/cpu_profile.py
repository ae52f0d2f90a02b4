"""Where the time of Carousel's steps goes on a CPU: torch's profiler over decode steps, with or without a prompt.

The model's own ops (`engine.kernels.table.Ops`) have lines too, whatever they are written in; time outside all lines
is Python's.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.peers.carousel import Carousel, add_streams
from benchmarks.peers.case import Case, Setup
from engine.engine import Engine
from engine.kernels.table import Ops
from engine.request import Request, SamplingParams

STEPS = 10
ROWS = 25
STREAMS = (8, 1, 32)
PROMPT = 128
READ = 256
"""The prompt's tokens in a mixed step."""


def run(checkpoint: Path, threads: int, streams: Sequence[int] = STREAMS, read: int = READ, steps: int = STEPS) -> None:
    """Prints the time of each kind of step without the profiler, then the profiler's table.

    The kinds are decode at each number of streams, and at the first number beside a new prompt of `read` tokens.
    """
    cases = [Case(together, PROMPT, 3 * steps) for together in streams]
    engine = Carousel(
        Setup(str(checkpoint), threads, streams=max(streams) + 1, length=PROMPT + read + 3 * steps)
    ).engine
    model = engine.runner.model
    model.ops = named(model.ops)
    for case in cases:
        with streaming(engine, case):
            report(f"decode of {case.streams}", engine.step, steps)
    with streaming(engine, cases[0]) as numbers:
        what = f"decode of {cases[0].streams} and a prompt of {read}"
        report(what, lambda: read_beside(engine, next(numbers), read), steps)


def named(ops: Ops) -> Ops:
    """The same ops, each recorded under its name in a profile."""
    names = {field.name for field in fields(ops)} - {"prepare_experts"}
    changes: dict[str, Any] = {name: partial(call_named, name, getattr(ops, name)) for name in names}
    return replace(ops, **changes)


def call_named(name: str, op: Callable[..., object], *arguments: object, **options: object) -> object:
    with record_function(f"op {name}"):
        return op(*arguments, **options)


@contextmanager
def streaming(engine: Engine, case: Case) -> Iterator[Iterator[int]]:
    """Keeps the case's streams decoding in its context. Yields numbers for more requests."""
    streams = add_streams(engine, case, seed=0)
    waiting = set(streams)
    while waiting:
        waiting -= {event.request_id for event in engine.step()}
    yield count()
    for stream in streams:
        engine.abort(stream)


def read_beside(engine: Engine, number: int, tokens: int) -> None:
    """Runs a step that also reads a whole new prompt."""
    numbers = random.Random(number)
    prompt = tuple(numbers.randrange(engine.runner.model.config.vocab_size) for _ in range(tokens))
    engine.add(Request(id=f"prompt-{number}", prompt_token_ids=prompt, sampling=SamplingParams(max_tokens=1)))
    engine.step()


def report(what: str, step: Callable[[], object], steps: int) -> None:
    step()
    times = []
    for _ in range(steps):
        began = perf_counter()
        step()
        times.append(perf_counter() - began)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            step()
    print(f"\n{what}: {1000 * median(times):.2f} ms a step; below, {steps} steps with the profiler's own cost")
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=ROWS, max_name_column_width=50))
