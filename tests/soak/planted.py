"""The four bugs that the soak must find: each is planted in a running engine."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.engine import Engine
from engine.request import TokenEvent
from engine.runner import batch

EVERY = 10
"""A planted bug strikes at the tenth call, or at each tenth."""


def leak_a_page_per_abort(engine: Engine) -> None:
    abort = engine.abort

    def leaking(request_id: str) -> TokenEvent | None:
        if request_id in engine.scheduler:
            sequence = engine.scheduler[request_id]
            sequence.pages = sequence.pages[:-1]
        return abort(request_id)

    engine.abort = leaking  # type: ignore[method-assign]


def skip_a_free(engine: Engine) -> None:
    """Strikes only once: without slots the clients would wait until they count as lost."""
    scheduler = engine.scheduler
    release, releases = scheduler._release, itertools.count(1)

    def skipping(sequence: Any) -> None:
        release(sequence)
        if next(releases) == EVERY:
            scheduler.free_slots.pop()

    scheduler._release = skipping  # type: ignore[method-assign]


def read_rings_off_by_one(engine: Engine) -> None:
    def ring_read(context: int, window: int) -> Tensor:
        return (torch.arange(max(0, context - window + 1), context) + 1) % window

    batch.ring_read = ring_read


def drop_a_chunk(engine: Engine) -> None:
    step, times = engine.step, now_and_then()

    def dropping() -> list[TokenEvent]:
        return [event for event in step() if event.finish_reason is not None or not times()]

    engine.step = dropping  # type: ignore[method-assign]


def now_and_then() -> Callable[[], bool]:
    """True at each EVERY-th call."""
    calls = 0

    def times() -> bool:
        nonlocal calls
        calls += 1
        return calls % EVERY == 0

    return times


PLANTED: dict[str, Callable[[Engine], None]] = {
    "leaked-page": leak_a_page_per_abort,
    "skipped-free": skip_a_free,
    "ring-off-by-one": read_rings_off_by_one,
    "dropped-chunk": drop_a_chunk,
}
