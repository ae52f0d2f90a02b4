"""Where the time of Carousel's steps goes on a CPU: torch's profiler over steps of decode, with a prompt or without."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

from torch.profiler import ProfilerActivity, profile

from benchmarks.peers.carousel import Carousel, add_streams
from benchmarks.peers.case import Case, Setup
from engine.engine import Engine
from engine.request import Request, SamplingParams

STEPS = 10
ROWS = 25
STREAMS = (1, 8, 32)
PROMPT = 128
READ = 256
"""Tokens of the prompt in a mixed step."""


def run(checkpoint: Path, threads: int) -> None:
    """Prints, of each kind of step, its time without the profiler, then the profiler's table."""
    cases = [Case(streams, PROMPT, 3 * STEPS) for streams in STREAMS]
    engine = Carousel(Setup(str(checkpoint), threads, streams=max(STREAMS), length=READ + 3 * STEPS)).engine
    for case in cases:
        with streaming(engine, case):
            report(f"decode of {case.streams}", engine.step)
    with streaming(engine, cases[1]) as numbers:
        report(f"decode of {cases[1].streams} and a prompt of {READ}", lambda: read_beside(engine, next(numbers)))


@contextmanager
def streaming(engine: Engine, case: Case) -> Iterator[Iterator[int]]:
    """While it lasts, the case's streams decode. Gives numbers for more requests."""
    streams = add_streams(engine, case, seed=0)
    waiting = set(streams)
    while waiting:
        waiting -= {event.request_id for event in engine.step()}
    yield count()
    for stream in streams:
        engine.abort(stream)


def read_beside(engine: Engine, number: int) -> None:
    """A step that also reads a whole new prompt."""
    numbers = random.Random(number)
    prompt = tuple(numbers.randrange(engine.runner.model.config.vocab_size) for _ in range(READ))
    engine.add(Request(id=f"prompt-{number}", prompt_token_ids=prompt, sampling=SamplingParams(max_tokens=1)))
    engine.step()


def report(what: str, step: Callable[[], object]) -> None:
    step()
    times = []
    for _ in range(STEPS):
        began = perf_counter()
        step()
        times.append(perf_counter() - began)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(STEPS):
            step()
    print(f"\n{what}: {1000 * median(times):.2f} ms a step; below, {STEPS} steps with the profiler's own cost")
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=ROWS, max_name_column_width=50))
