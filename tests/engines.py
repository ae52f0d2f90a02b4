"""Engines for tests: small, exact (float32), with freed cache places poisoned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import EngineConfig
from engine.engine import Engine
from engine.request import Request, TokenEvent
from engine.start import start_engine

TEST_CONFIG = EngineConfig(
    model=Path(),
    dtype="float32",
    device="cpu",
    max_num_seqs=4,
    max_model_len=1024,
    max_num_batched_tokens=256,
    page_size=16,
    poison_freed=True,
)


def build_engine(directory: Path, **overrides: Any) -> Engine:
    """An engine over the checkpoint in `directory`; its ring memory is poisoned before anything runs."""
    engine = start_engine(replace(TEST_CONFIG, model=directory, **overrides)).engine
    engine.runner.rings.keys.fill_(float("nan"))
    engine.runner.rings.values.fill_(float("nan"))
    engine.runner.pages.keys.fill_(float("nan"))
    engine.runner.pages.values.fill_(float("nan"))
    return engine


def run(engine: Engine, requests: Sequence[Request]) -> dict[str, list[TokenEvent]]:
    """Runs requests together to their end, after which nothing may be left behind."""
    for request in requests:
        engine.add(request)
    events: dict[str, list[TokenEvent]] = {request.id: [] for request in requests}
    while not engine.idle:
        for event in engine.step():
            events[event.request_id].append(event)
    assert_nothing_held(engine)
    return events


def assert_nothing_held(engine: Engine) -> None:
    scheduler = engine.scheduler
    assert scheduler.pool.held == 0
    assert scheduler.pool.free + scheduler.pool.kept == scheduler.pool.total
    assert not scheduler.running
    assert not scheduler.waiting
    assert len(set(scheduler.free_slots)) == len(scheduler.free_slots)


def shrink(engine: Engine, pages: int) -> None:
    """Leaves `pages` free pages."""
    pool = engine.scheduler.pool
    pool.take(pool.free - pages)
    pool.held, pool.total = 0, pages


def tokens(events: Sequence[TokenEvent]) -> list[int]:
    return [token for event in events for token in event.token_ids]
