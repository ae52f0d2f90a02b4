"""The engine's own process: takes requests from the pipe, steps, sends events.

Started as `python -m engine.process.worker FD` by the supervisor, with its end of a socket pair as file descriptor
FD. It ends when the server does: the pipe's end of file is the signal, and on Linux the end of the server's thread.
"""

import gc
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from time import perf_counter

import torch
from msgspec import structs

from engine.device import keep_to_quota
from engine.engine import Engine
from engine.errors import CarouselError
from engine.grammar import GrammarState
from engine.process.compiling import Compiling
from engine.process.parent import end_with_parent
from engine.process.wire import (
    Abort,
    EnginePipe,
    Events,
    Failed,
    Loading,
    Planned,
    Ready,
    Running,
    Start,
    Submit,
    ToEngine,
)
from engine.request import FinishReason, Request, TokenEvent
from engine.start import start_engine
from engine.streams import EngineStats

SMALL_MODEL_BYTES = 64 * 2**20
"""Below this, a second thread costs more in waiting than it gains: as soon as another program wants a core, the
embedded model's steps are ten times slower with two threads than with one."""

YOUNG_OBJECTS = 20_000
"""The collector runs when this many more objects were made than freed: cycles, which are rare here, are still freed."""

logger = logging.getLogger("carousel.engine")


def main(descriptor: int) -> int:
    """Serves until the pipe closes. Returns the exit status: 0 if the server closed it, 1 if the engine failed."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # They may reach the whole process group; the server decides.
        signal.signal(stop, signal.SIG_IGN)
    pipe = EnginePipe(socket.socket(fileno=descriptor))
    try:
        start, *early = pipe.receive(wait=True)
        serve(load(pipe, start), pipe, early)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0
    except CarouselError as error:
        pipe.send(Failed(str(error)))
        return 1
    except Exception as error:
        logger.error("the engine failed", exc_info=error)
        pipe.send(Failed(f"{type(error).__name__}: {error}"))
        return 1
    return 0


def load(pipe: EnginePipe, start: ToEngine) -> Engine:
    """Builds the engine the first message asks for, reporting its memory plan and each percent."""
    if not isinstance(start, Start):
        raise TypeError(f"the first message must be Start, not {type(start).__name__}")
    told: tuple[str, int] | None = None

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if (now := (what, 100 * done // max(1, total))) != told:
            told = now
            pipe.send(Loading(what, done, total))

    keep_to_quota()
    started = start_engine(start.config, progress, lambda plan: pipe.send(Planned(plan)))
    started.engine.grammars.load()
    if started.info.device == "cpu" and started.plan.weights_bytes < SMALL_MODEL_BYTES:
        torch.set_num_threads(1)
    settle_memory()
    pipe.send(Ready(started.info))
    pipe.send(Events([], standing(started.engine)))
    return started.engine


def settle_memory() -> None:
    """Keeps the garbage collector out of steps: freezes what start-up made and raises the young-object threshold. A
    step of 256 requests makes about 2,000 short-lived objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def serve(engine: Engine, pipe: EnginePipe, early: Sequence[ToEngine] = ()) -> None:
    """Steps while there is work, waits for messages while there is none; `early` are those that have arrived already.

    Raises EOFError when the server is gone.
    """
    engine.on_run = lambda tokens: pipe.send(Running(tokens))
    with Compiling(engine.grammars) as compiling:
        handle(engine, compiling, pipe, early)
        while True:
            handle(engine, compiling, pipe, pipe.receive(wait=engine.idle and not compiling))
            for request, compiled in compiling.finished(can_wait=engine.idle) if compiling else ():
                add(engine, compiling, pipe, request, compiled)
            pipe.send(step(engine, compiling))


def step(engine: Engine, compiling: Compiling) -> Events:
    """Runs a step, if there is anything to run, and measures it."""
    began, preemptions = perf_counter(), engine.scheduler.preemptions
    events = engine.step()
    seconds, tokens = perf_counter() - began, engine.step_tokens
    stats = structs.replace(
        standing(engine, len(compiling)),
        preemptions=engine.scheduler.preemptions - preemptions,
        step_seconds=seconds if tokens else 0.0,
        step_tokens=tokens,
    )
    return Events(events, stats)


def standing(engine: Engine, compiling: int = 0) -> EngineStats:
    """How many requests run and wait, the `compiling` ones included, and how full the caches are."""
    scheduler = engine.scheduler
    return EngineStats(
        running=len(scheduler.running),
        waiting=len(scheduler.waiting) + compiling,
        pages_held=scheduler.pool.held,
        pages_kept=scheduler.pool.kept,
        pages_total=scheduler.pool.total,
        slots_held=scheduler.slots - len(scheduler.free_slots),
        slots_total=scheduler.slots,
    )


def handle(engine: Engine, compiling: Compiling, pipe: EnginePipe, messages: Sequence[ToEngine]) -> None:
    for message in messages:
        match message:
            case Submit():
                for request in message.requests:
                    if request.sampling.grammar is None:
                        add(engine, compiling, pipe, request)
                    else:
                        compiling.begin(request, request.sampling.grammar)
            case Abort(request_id):
                compiling.drop(request_id)
                engine.abort(request_id)
            case Start():
                raise TypeError("the engine was started already")


def add(
    engine: Engine,
    compiling: Compiling,
    pipe: EnginePipe,
    request: Request,
    compiled: Future[GrammarState] | None = None,
) -> None:
    """Queues a request. If the engine refuses it after all, or its grammar could not be `compiled`, that request ends
    with an error, and no other does."""
    try:
        if compiled is not None:
            compiled.result()
        engine.add(request)
    except Exception as error:
        if not isinstance(error, CarouselError):
            logger.error("a request could not be taken", exc_info=error)
        why = str(error) if isinstance(error, CarouselError) else f"it could not be taken ({type(error).__name__})"
        refused = TokenEvent(request_id=request.id, finish_reason=FinishReason.ERROR, error=why)
        pipe.send(Events([refused], standing(engine, len(compiling))))


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(int(sys.argv[1])))
