"""An engine that is killed or hangs: its requests end with an error, and another one takes its place by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio

from engine.config import EngineConfig
from engine.process.supervision import Supervision
from tests.faults.aftermath import Aftermath, metric, until_ready
from tests.faults.asking import COMPLETIONS, Answer, ask, body, stream
from tests.faults.real_server import DELAYS, FAULTS, HANGS, RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALL_SECONDS = 2.0
SUPERVISION = Supervision(stall_seconds=STALL_SECONDS, stable_seconds=0.0, longest_pause=0.5)
BUDGET = 16
NOT_READY_SECONDS, STREAMS_END_SECONDS = 2, 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    config = replace(tiny_model, max_num_batched_tokens=BUDGET, faults=FAULTS)
    async with real_server(config, supervision=SUPERVISION) as server:
        yield server


async def until_running(http: httpx.AsyncClient, running: int, waiting: int = 0) -> None:
    async with asyncio.timeout(30):
        while [await metric(http, f"requests_{name}") for name in ("running", "waiting")] != [running, waiting]:
            await asyncio.sleep(0.01)


async def until_not_ready(http: httpx.AsyncClient, why: str) -> None:
    """`/ready` says that the engine is gone, and why; so does the answer to a request."""
    while (ready := await http.get("/ready")).status_code == 200:
        await asyncio.sleep(0.01)
    assert (ready.status_code, ready.json()["status"]) == (503, "loading")
    assert why in ready.json()["message"]
    refused = await http.post(COMPLETIONS, json=body("too early"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_not_ready")
    assert int(refused.headers["retry-after"]) > 0
    assert (await http.get("/health")).status_code == 200


def ended(answers: list[Answer], why: str) -> bool:
    """Whether all ended with this error, and none as if it were complete."""
    return all(a.finish_reason is None and a.error is not None and why in a.error["message"] for a in answers)


@pytest.mark.fault(34)
async def test_an_engine_that_is_killed(server: RealServer, aftermath: Aftermath) -> None:
    aftermath.secrets.append("secret")
    http, restarts = server.http, await metric(server.http, "engine_restarts_total")
    asked = [(ask, stream)[i % 2](http, body(f"a secret {i}", 900)) for i in range(6)]
    asking = asyncio.gather(*asked)
    await until_running(http, 4, waiting=2)
    before = server.engine.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(NOT_READY_SECONDS):
        await until_not_ready(http, "the engine process ended")
    async with asyncio.timeout(STREAMS_END_SECONDS):
        assert ended(await asking, "the engine process ended")
    await until_ready(http)
    assert server.engine.pid != before
    assert await metric(http, "engine_restarts_total") == restarts + 1
    assert "killed by SIGKILL" in server.log.getvalue()


@pytest.mark.fault(34)
async def test_an_engine_whose_weights_are_away_for_a_while(server: RealServer, aftermath: Aftermath) -> None:
    weights = server.engine.config.model / "model.safetensors"
    away = weights.rename(weights.with_suffix(".away"))
    try:
        assert server.engine.pid is not None
        os.kill(server.engine.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while "safetensors" not in (await server.http.get("/ready")).json()["message"]:
                await asyncio.sleep(0.02)
    finally:
        away.rename(weights)
    await until_ready(server.http)


@pytest.mark.fault(33)
async def test_a_forward_that_hangs(server: RealServer, aftermath: Aftermath) -> None:
    aftermath.secrets.append("secret")
    http, before = server.http, server.engine.pid
    neighbour = asyncio.create_task(stream(http, body("a secret neighbour", 900)))
    await until_running(http, 1)
    hanging = asyncio.create_task(ask(http, body(f"a secret {HANGS}")))
    why = f"no progress for {STALL_SECONDS:g} s"
    async with asyncio.timeout(30):
        await until_not_ready(http, why)
        answers = await asyncio.gather(neighbour, hanging)
    assert ended(answers, why)
    assert answers[0].tokens, "what was streamed before stands"
    await until_ready(http)
    assert server.engine.pid != before


@pytest.mark.fault(33)
async def test_a_hang_is_noticed_though_its_client_has_left(server: RealServer, aftermath: Aftermath) -> None:
    before = server.engine.pid
    with pytest.raises(httpx.ReadTimeout):
        await server.http.post(COMPLETIONS, json=body(HANGS), timeout=1)
    async with asyncio.timeout(60):
        while server.engine.pid == before:
            await asyncio.sleep(0.02)


@pytest.mark.fault(36)
async def test_a_long_prefill_is_no_hang(server: RealServer, aftermath: Aftermath) -> None:
    """Each of its steps takes its time; together they take longer than a hang may."""
    steps = round(1.5 * STALL_SECONDS / FAULTS.delay_seconds)
    before, prefilling = server.engine.pid, asyncio.create_task(ask(server.http, body(DELAYS * BUDGET * steps, 2)))
    async with asyncio.timeout(60):
        while not prefilling.done():
            assert (await server.http.get("/ready")).status_code == 200
            await asyncio.sleep(0.05)
    assert (await prefilling).finish_reason == "length"
    assert server.engine.pid == before
