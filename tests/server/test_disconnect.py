"""A client that leaves, seen through a real port: its requests end in the engine, whenever it left."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from tests.faults.raw_client import post, raw_client
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
BODIES = {
    "/v1/completions": {"prompt": "hi", "n": 2},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "n": 2},
    "/v1/responses": {"input": "hi"},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("written", ["", "some text before"])
async def test_leaving_frees_the_requests(
    url: str, engine: ScriptedEngine, say: Say, eventually: Eventually, path: str, stream: bool, written: str
) -> None:
    engine.play = lambda request: say(written, hangs=True)
    count = BODIES[path].get("n", 1)
    async with httpx.AsyncClient(base_url=url) as http:
        asking = asyncio.create_task(http.post(path, json=BODIES[path] | {"stream": stream}))
        await eventually(lambda: len(engine.submitted) == count)
        await asyncio.sleep(0.05)
        assert engine.running == count
        asking.cancel()
        await eventually(lambda: engine.running == 0)
        assert sorted(engine.aborted) == sorted(request.id for request in engine.submitted)
        engine.play = lambda request: say("Hello!")
        assert (await http.post(path, json=BODIES[path])).status_code == 200


async def test_leaving_in_the_middle_of_a_stream(
    url: str, engine: ScriptedEngine, say: Say, eventually: Eventually
) -> None:
    engine.play = lambda request: say("word " * 20_000)
    async with (
        httpx.AsyncClient(base_url=url) as http,
        http.stream("POST", "/v1/completions", json={"prompt": "hi", "stream": True, "max_tokens": 4000}) as response,
    ):
        async for _ in response.aiter_bytes():
            break
    await eventually(lambda: engine.running == 0)
    assert engine.aborted == [engine.submitted[0].id]


async def test_leaving_with_another_request_behind(
    url: str, engine: ScriptedEngine, say: Say, eventually: Eventually
) -> None:
    engine.play = lambda request: say("", hangs=True)
    async with raw_client(url) as client:
        await client.send(2 * post("/v1/completions", b'{"prompt": "hi", "stream": true}'))
        await eventually(lambda: engine.running == 1)
    await eventually(lambda: engine.running == 0)
    assert engine.aborted == [engine.submitted[0].id]


async def test_leaving_before_the_body_is_whole(app: FastAPI, engine: ScriptedEngine) -> None:
    parts = [
        {"type": "http.request", "body": b'{"prompt": ', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive() -> dict:
        return parts.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await app(
        {
            "type": "http",
            "method": "POST",
            "path": "/v1/completions",
            "query_string": b"",
            "headers": headers,
        },
        receive,
        send,
    )
    assert sent[0]["status"] == 499
    assert engine.submitted == []


async def test_an_answer_that_was_read_to_its_end_aborts_nothing(url: str, engine: ScriptedEngine) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for path, body in BODIES.items():
            for stream in (False, True):
                assert (await http.post(path, json=body | {"stream": stream})).status_code == 200
    assert engine.aborted == []
