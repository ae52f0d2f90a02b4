"""Both clients, through the same tests, against a real server with a scripted engine."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from clients.client import AsyncCarousel, Carousel
from clients.errors import (
    AuthenticationError,
    BadRequestError,
    BusyError,
    ConnectionFailedError,
    NotFoundError,
    ServerFailedError,
)
from clients.results import Delta, Model
from engine.streams import EngineStatus
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
Calls = Callable[..., Awaitable[Any]]
HI = [{"role": "user", "content": "hi"}]
TURN = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>Hello 😀!"


@pytest.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Calls]:
    """Calls a method by name, on either client; a stream is read to its end."""
    if request.param == "sync":
        with Carousel(url) as client:

            def blocking(name: str, *args: Any, **options: Any) -> Any:
                result = getattr(client, name)(*args, **options)
                return list(result) if name.startswith("stream") else result

            async def in_thread(name: str, *args: Any, **options: Any) -> Any:
                return await asyncio.to_thread(blocking, name, *args, **options)

            yield in_thread
    else:
        async with AsyncCarousel(url) as client:

            async def directly(name: str, *args: Any, **options: Any) -> Any:
                result = getattr(client, name)(*args, **options)
                return [delta async for delta in result] if name.startswith("stream") else await result

            yield directly


async def test_complete(call: Calls, engine: ScriptedEngine) -> None:
    answer = await call("complete", "hi", n=2, logprobs=1, stop=["!"])
    assert (answer.text, answer.reasoning, answer.model) == ("Hello", None, "tiny")
    assert [(choice.index, choice.text, choice.stop_reason) for choice in answer.choices] == [
        (0, "Hello", "!"),
        (1, "Hello", "!"),
    ]
    assert answer.choices[0].logprobs["tokens"] == list("Hello!")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 12)
    await call("complete", [1, 2, 3])
    assert engine.submitted[-1].prompt_token_ids == (1, 2, 3)


async def test_stream_complete(call: Calls) -> None:
    *deltas, end, usage = await call("stream_complete", "hi")
    assert "".join(delta.text for delta in deltas) == "Hello!"
    assert (end.finish_reason, end.usage) == ("stop", None)
    assert usage.usage.completion_tokens == 6


async def test_chat(call: Calls, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    answer = await call("chat", HI)
    assert (answer.text, answer.reasoning) == ("Hello 😀!", "Think.")
    assert answer.usage.reasoning_tokens == 6
    deltas: list[Delta] = await call("stream_chat", HI)
    assert "".join(delta.text for delta in deltas) == "Hello 😀!"
    assert "".join(delta.reasoning for delta in deltas) == "Think."


async def test_models(call: Calls) -> None:
    assert await call("models") == [
        Model(id="tiny", max_model_len=4096),
        Model(id="alias", max_model_len=4096),
    ]


@pytest.mark.parametrize("name", ["complete", "stream_complete"])
async def test_errors(call: Calls, engine: ScriptedEngine, say: Say, name: str) -> None:
    with pytest.raises(BadRequestError) as bad:
        await call(name, "hi", temperature=9)
    assert (bad.value.status, bad.value.param) == (400, "temperature")
    with pytest.raises(NotFoundError) as unknown:
        await call(name, "hi", model="other")
    assert unknown.value.code == "model_not_found"
    engine.room = 0
    with pytest.raises(BusyError) as busy:
        await call(name, "hi")
    assert (busy.value.status, busy.value.retry_after) == (429, 3.0)
    engine.phase = EngineStatus("loading")
    with pytest.raises(BusyError):
        await call(name, "hi")


@pytest.mark.parametrize(("name", "status"), [("complete", 500), ("stream_complete", 200)])
async def test_a_failure_underway(call: Calls, engine: ScriptedEngine, say: Say, name: str, status: int) -> None:
    engine.play = lambda request: say("ab", error="the forward pass failed")
    with pytest.raises(ServerFailedError, match="the forward pass failed") as failed:
        await call(name, "hi")
    assert failed.value.status == status


async def test_nobody_there() -> None:
    with Carousel("http://127.0.0.1:1") as client, pytest.raises(ConnectionFailedError, match="no server"):
        client.models()
    async with AsyncCarousel("http://127.0.0.1:1") as other:
        with pytest.raises(ConnectionFailedError, match="no server"):
            await other.chat(HI)


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_a_stream_let_go_of_ends_the_request(
    url: str, engine: ScriptedEngine, say: Say, eventually: Callable[..., Awaitable[None]], how: str
) -> None:
    engine.play = lambda request: say("word", hangs=True)

    def read_a_little() -> None:
        with Carousel(url) as client:
            stream = client.stream_complete("hi")
            assert next(stream).text == "w"
            if how == "close":
                stream.close()
            else:
                del stream
                gc.collect()

    await asyncio.to_thread(read_a_little)
    async with AsyncCarousel(url) as client:
        stream = client.stream_complete("hi")
        assert (await anext(stream)).text == "w"
        await stream.aclose()
        await eventually(lambda: engine.running == 0)
    assert len(engine.aborted) == 2


def answering(status: int, content: bytes, **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (401, b'{"error": {"message": "no key"}}', AuthenticationError),
        (502, b"<html>", ServerFailedError),
        (400, b"[]", BadRequestError),
        (404, b'{"error": "text"}', NotFoundError),
        (200, b"<html>", ServerFailedError),
    ],
)
def test_answers_of_other_servers(status: int, content: bytes, error: type[Exception]) -> None:
    with Carousel(transport=answering(status, content)) as client, pytest.raises(error):
        client.chat(HI)


def test_a_stream_that_breaks_off() -> None:
    chunk = b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
    with Carousel(transport=answering(200, chunk)) as client:
        stream = client.stream_complete("hi")
        assert next(stream).text == "a"
        with pytest.raises(ConnectionFailedError, match="broke off"):
            next(stream)


def test_the_key_is_sent() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"data": [{"id": "other-server"}]})

    with Carousel(api_key="secret", transport=httpx.MockTransport(answer)) as client:
        assert client.models() == [Model(id="other-server")]
    assert seen == ["Bearer secret"]
