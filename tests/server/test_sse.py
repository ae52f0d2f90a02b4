"""The stream of server-sent events itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.frames import done_or_error, frame
from server.sse import EventSourceResponse
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import serving

Messages = list[dict]


def respond(frames: AsyncGenerator[bytes, None], **options: Any) -> EventSourceResponse:
    usual = {"ending": done_or_error, "on_error": lambda error: None, "on_close": lambda: None, "ping_seconds": 15}
    return EventSourceResponse(frames, **usual | options)


async def run(response: EventSourceResponse, *, leave: asyncio.Event | None = None) -> Messages:
    messages: Messages = []

    async def receive() -> dict:
        await (leave or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        messages.append(message)

    await response({"type": "http"}, receive, send)
    return messages


def bodies(messages: Messages) -> list[bytes]:
    return [message["body"] for message in messages if message["type"] == "http.response.body"]


async def test_events_and_their_end() -> None:
    closed = []

    async def frames() -> AsyncGenerator[bytes, None]:
        yield frame('{"a": "ü"}')
        yield frame("{}")

    messages = await run(respond(frames(), on_close=lambda: closed.append(1)))
    assert bodies(messages) == ['data: {"a": "ü"}\n\n'.encode(), b"data: {}\n\n", b"data: [DONE]\n\n"]
    headers = dict(messages[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in headers
    assert messages[-1]["more_body"] is False
    assert closed == [1]


async def test_silence_is_filled_with_comments() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.2)
        yield frame("{}")

    messages = await run(respond(frames(), ping_seconds=0.03))
    *pings, event, done = bodies(messages)
    assert set(pings) == {b": ping\n\n"}
    assert (event, done) == (b"data: {}\n\n", b"data: [DONE]\n\n")


async def test_a_busy_stream_has_no_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is 10 s further with each event."""
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)

    async def frames() -> AsyncGenerator[bytes, None]:
        nonlocal now
        for _ in range(10):
            now += 10
            for _ in range(3):
                await asyncio.sleep(0)
            yield frame("{}")

    messages = await run(respond(frames(), ping_seconds=15))
    assert b": ping\n\n" not in bodies(messages)


async def test_an_answers_silence_is_filled_after_the_time_that_is_set(
    engine: ScriptedEngine, text: Text, say: Callable[..., Script]
) -> None:
    assert SETTINGS.ping_seconds < 60, "or usual proxies give it up"
    engine.play = lambda request: say("", hangs=True)
    body = {"prompt": "hi", "stream": True}
    async with (
        serving(create_app(engine, text, replace(SETTINGS, ping_seconds=0.03))) as url,
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        http.stream("POST", "/v1/completions", json=body) as response,
    ):
        assert await anext(response.aiter_lines()) == ": ping"


async def test_an_unforeseen_error_ends_the_stream_and_is_raised() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        yield frame("{}")
        raise ZeroDivisionError("secret")

    sent: Messages = []

    async def receive() -> dict:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await respond(frames())({"type": "http"}, receive, send)
    assert bodies(sent)[1].startswith(b'data: {"error"')
    assert b"secret" not in bodies(sent)[1]


async def test_a_client_that_leaves_closes_the_source() -> None:
    closed, leave = [], asyncio.Event()

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            yield frame("{}")
            leave.set()
            await asyncio.Event().wait()
        finally:
            closed.append("source")

    response = respond(frames(), on_close=lambda: closed.append("all"))
    assert bodies(await run(response, leave=leave)) == [b"data: {}\n\n"]
    assert closed == ["source", "all"]
