"""Whose requests the engine is given, for how long, and what becomes of them when the server stops."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from engine.errors import QueueFullError
from engine.request import Request
from server.app import create_app
from server.auth import Keys
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
COMPLETIONS = "/v1/completions"
KEYS = ("first", "second", "third")


@pytest.fixture
def engine(text: Text, say: Say) -> ScriptedEngine:
    """Has room for twelve, and never comes to an end."""
    return ScriptedEngine(lambda request: say("ab", hangs=True), vocab_size=text.tokenizer.vocab_size, max_waiting=4)


@asynccontextmanager
async def client(app: FastAPI, key: str = KEYS[0]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
        yield http


async def ask(http: httpx.AsyncClient, **body: object) -> httpx.Response:
    async with asyncio.timeout(30):
        return await http.post(COMPLETIONS, json={"prompt": "hi"} | body)


def error(response: httpx.Response) -> tuple[int, str | None, str | None]:
    content = response.json()["error"]
    return response.status_code, content["code"], content["param"]


async def held(
    http: httpx.AsyncClient, engine: ScriptedEngine, eventually: Eventually, count: int
) -> list[asyncio.Task[httpx.Response]]:
    """That many requests, all in the engine."""
    before = engine.running
    tasks = [asyncio.create_task(ask(http)) for _ in range(count)]
    await eventually(lambda: engine.running == before + count)
    return tasks


async def end(tasks: list[asyncio.Task[httpx.Response]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_key_leaves_room_for_the_others(engine: ScriptedEngine, text: Text, eventually: Eventually) -> None:
    """Of twelve places the first takes six, the second finds six free and may have three, the third has two."""
    app = create_app(engine, text, replace(SETTINGS, keys=Keys.of(KEYS)))
    tasks = []
    async with client(app, "first") as first, client(app, "second") as second, client(app, "third") as third:
        for http, share in ((first, 6), (second, 3), (third, 2)):
            tasks += await held(http, engine, eventually, share)
            refused = await ask(http)
            assert error(refused) == (429, "queue_full", None)
            assert "retry-after" in refused.headers
            assert error(await ask(http, n=13)) == (400, None, "n")
        await end(tasks[:6])
        await eventually(lambda: engine.running == 5)
        tasks += await held(third, engine, eventually, 3)
        await end(tasks)


async def test_a_key_alone_has_all_the_room(engine: ScriptedEngine, text: Text, eventually: Eventually) -> None:
    engine.room = 12
    async with client(create_app(engine, text, replace(SETTINGS, keys=Keys.of(KEYS[:1])))) as http:
        tasks = await held(http, engine, eventually, 12)
        assert error(await ask(http)) == (429, "queue_full", None)
        await end(tasks)


async def test_keys_are_told_apart_in_the_engine(engine: ScriptedEngine, text: Text, eventually: Eventually) -> None:
    app = create_app(engine, text, replace(SETTINGS, keys=Keys.of(KEYS)))
    for key in KEYS:
        async with client(app, key) as http:
            await end(await held(http, engine, eventually, 1))
    assert [request.client for request in engine.submitted] == [1, 2, 3]


@pytest.mark.parametrize("stream", [False, True])
async def test_time_runs_out(engine: ScriptedEngine, text: Text, stream: bool) -> None:
    """The server's or the request's own, which ends it in the engine, too."""
    for settings, body in ((replace(SETTINGS, request_seconds=1), {}), (SETTINGS, {"timeout": 1})):
        async with client(create_app(engine, text, settings)) as http:
            response = await ask(http, stream=stream, **body)
        if stream:
            *_, last, end_of_stream = response.text.split("\n\n")
            assert (response.status_code, end_of_stream) == (200, "")
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
        else:
            assert error(response) == (504, "deadline_exceeded", None)
            assert response.headers["x-should-retry"] == "false"
        await asyncio.sleep(0)
        assert engine.running == 0


async def test_a_timeout_within_bounds(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("ab")
    for timeout in (1e-3, 3600, None):
        assert (await ask(http, timeout=timeout, max_tokens=1)).status_code in (200, 504)
    for timeout in (0, -1, 3601, 1e300, "1", True):
        assert error(await ask(http, timeout=timeout)) == (400, None, "timeout")


async def test_time_runs_while_the_prompt_is_read(
    engine: ScriptedEngine, text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def encode(self: Text, prompts: object) -> list[list[int]]:
        await asyncio.sleep(0.1)
        return [[1]]

    monkeypatch.setattr(Text, "encode_all", encode)
    async with client(create_app(engine, text, SETTINGS)) as http:
        assert error(await ask(http, timeout=0.05)) == (504, "deadline_exceeded", None)
    assert engine.submitted == []


async def test_time_runs_from_the_arrival(engine: ScriptedEngine, text: Text) -> None:
    admission, now = create_app(engine, text, SETTINGS).state.server.admission, asyncio.get_running_loop().time
    before = now()
    with admission.submit([Request(id="a", prompt_token_ids=(1,))], key=0, timeout=1000, elapsed=990) as admitted:
        assert before + 10 <= admitted.timer.when() <= now() + 10


async def test_draining(engine: ScriptedEngine, text: Text, eventually: Eventually) -> None:
    app = create_app(engine, text, SETTINGS)
    admission = app.state.server.admission
    async with client(app) as http:
        (running,) = await held(http, engine, eventually, 1)
        draining = asyncio.create_task(admission.drain(1e6))
        await asyncio.sleep(0)
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        assert error(await ask(http)) == (503, "engine_not_ready", None)
        assert (await http.get("/health")).status_code == 200
        assert not running.done()
        draining.cancel()
        await admission.drain(0)
        assert error(await running) == (503, "engine_not_ready", None)
        assert engine.running == 0


async def test_draining_waits_for_no_longer_than_it_must(engine: ScriptedEngine, text: Text, say: Say) -> None:
    app = create_app(engine, text, SETTINGS)
    async with asyncio.timeout(30):
        await app.state.server.admission.drain(1e6)
    app, proceed = create_app(engine, text, SETTINGS), asyncio.Event()
    engine.play = lambda request: say("ab")
    async with client(app) as http, asyncio.timeout(30):
        assert (await ask(http)).status_code == 200, "that one has ended before"
        engine.gate = proceed.wait
        running = asyncio.create_task(ask(http))
        while not engine.running:
            await asyncio.sleep(0)
        draining = asyncio.create_task(app.state.server.admission.drain(1e6))
        await asyncio.sleep(0.01)
        assert not draining.done()
        proceed.set()
        await draining
        assert (await running).json()["choices"][0]["text"] == "ab"


async def test_bodies_are_held_to_their_bound(engine: ScriptedEngine, text: Text, say: Say) -> None:
    engine.play = lambda request: say("ab")
    app = create_app(engine, text, replace(SETTINGS, max_bodies_bytes=100))
    bodies = app.state.server.bodies
    async with client(app) as http:
        assert error(await ask(http, user="u" * 100)) == (429, "queue_full", None)
        assert bodies.held == 0
        assert (await ask(http)).status_code == 200
        assert (
            await http.post(COMPLETIONS, content=b"{", headers={"content-type": "application/json"})
        ).status_code == 400
    assert bodies.held == 0
    bodies.take(100)
    with pytest.raises(QueueFullError):
        bodies.take(1)
