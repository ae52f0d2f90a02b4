"""One model under load: starts its server and clients, kills its engine, watches its memory, and checks the gates."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from engine.prompt.tokenizer import Tokenizer
from tests.faults.aftermath import HELD, metric
from tests.soak.clients import Crowd
from tests.soak.deck import draw_deck
from tests.soak.memory import LIMIT_MB, anonymous_mb, growth
from tests.soak.models import ModelName, write_model, writer_alone
from tests.soak.tally import Tally

READY_SECONDS = 120
FREE_SECONDS = 30
WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`seconds` and `kills` are per model."""

    seconds: float
    bug: str = "none"
    until_caught: bool = False
    kills: int = 0
    seed: int = 0


@dataclass(slots=True)
class Watch:
    """A running server, and the observations of it."""

    url: str
    pid: int
    http: httpx.AsyncClient
    audit: Path
    tally: Tally
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Times and MB."""

    async def watch(self) -> None:
        """Measures the memory and reads the audit until it is cancelled."""
        while True:
            self.memory.append((self.tally.now(), anonymous_mb(self.pid)))
            if self.leaks and self.tally.until_caught:
                self.tally.stopped = True
            await asyncio.sleep(WATCH_SECONDS)

    @property
    def leaks(self) -> list[str]:
        return self.audit.read_text().splitlines() if self.audit.exists() else []

    @property
    def settled_memory(self) -> list[float]:
        """The measurements of the second half with the last engine."""
        if not self.memory:
            return []
        half = (self.memory[0][0] + self.memory[-1][0]) / 2
        return [mb for time, mb in self.memory if time >= max(half, self.tally.last_kill_over)]

    async def kill_now_and_then(self, seconds: float, kills: int) -> None:
        """SIGKILLs the engine `kills` times in the first third of `seconds`; each time a new engine must follow."""
        for _ in range(kills):
            await asyncio.sleep(seconds / 3 / kills)
            (worker,) = psutil.Process(self.pid).children()
            self.tally.kill_under_way = True
            os.kill(worker.pid, signal.SIGKILL)
            self.tally.kills += 1
            while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)
            await self.until(self.is_ready, READY_SECONDS, "no engine followed the one that was killed")
            self.tally.last_kill_over = self.tally.now()
            self.tally.kill_under_way = False

    async def is_ready(self) -> bool:
        return (await self.http.get("/ready")).status_code == 200

    async def is_free(self) -> bool:
        return not any([await metric(self.http, name) for name in HELD])

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float, otherwise: str) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await holds():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.tally.wrong("left behind", otherwise)


async def soak(model: ModelName, settings: Settings, directory: Path) -> bool:
    """Runs the soak, prints the outcome, and returns whether every gate held."""
    write_model(model, directory)
    async with serving(model, settings.bug, directory) as process:
        deck = draw_deck(Tokenizer.load(directory), writer_alone(model, directory), settings.seed)
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            watch = Watch(url, process.pid, http, directory / "audit", Tally(until_caught=settings.until_caught))
            await watch.until(watch.is_ready, READY_SECONDS, "the server was never ready")
            watching = asyncio.create_task(watch.watch())
            killing = asyncio.create_task(watch.kill_now_and_then(settings.seconds, settings.kills))
            await Crowd(url, deck, watch.tally, settings.seed).run(settings.seconds)
            killing.cancel()
            watching.cancel()
            await asyncio.gather(watching, killing, return_exceptions=True)
            if not watch.tally.stopped:
                await watch.until(watch.is_free, FREE_SECONDS, "places or requests are held after everyone has left")
    return report(model, settings, watch)


@asynccontextmanager
async def serving(model: ModelName, bug: str, directory: Path) -> AsyncIterator[Process]:
    """Starts the server's process, which prints its URL, and ends it afterwards."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.server", model, bug, str(directory), stdout=PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


def report(model: ModelName, settings: Settings, watch: Watch) -> bool:
    tally, counts = watch.tally, watch.tally.counts
    grown = growth(watch.settled_memory)
    gates = {
        "sent = completed + aborted + rejected + errored": counts["sent"] == tally.ended,
        "leaks 0": not watch.leaks and not counts["left behind"],
        "token mismatches 0": not counts["token mismatches"],
        "unforgiven errors 0": not counts["unforgiven errors"],
        "kills as planned": settings.until_caught or tally.kills == settings.kills,
        "something of every kind": settings.until_caught
        or all(counts[outcome] for outcome in ("completed", "aborted", "rejected")),
        f"memory grows at most {LIMIT_MB:g} MB": grown <= LIMIT_MB,
    }
    print(
        f"{model} model, {settings.seconds:g} s, {tally.kills} kills of the engine: {counts['sent']} sent = "
        f"{counts['completed']} completed + {counts['aborted']} aborted + {counts['rejected']} rejected + "
        f"{counts['errored']} errored; leaks {len(watch.leaks) + counts['left behind']}, token mismatches "
        f"{counts['token mismatches']}, unforgiven errors {counts['unforgiven errors']}; memory "
        f"{max((mb for _, mb in watch.memory), default=0):.0f} MB at most, {grown:+.1f} MB in the second half"
    )
    for line in (*watch.leaks, *tally.notes):
        print(f"  {line[:500]}")
    for gate, held in gates.items():
        if not held:
            print(f"  FAILED: {gate}")
    return all(gates.values())
