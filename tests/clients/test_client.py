"""Both clients, through the same tests, against a real server with a scripted engine."""

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from clients.client import AsyncCarousel, Carousel
from clients.collect import collect
from clients.errors import (
    AuthenticationError,
    BadRequestError,
    BusyError,
    ConnectionFailedError,
    NotFoundError,
    ServerFailedError,
    TimedOutError,
    UnreachableError,
    UsageError,
)
from clients.results import Delta, Model, Readiness, Usage
from clients.retries import NO_RETRIES
from clients.tool_schema import definition
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
        with Carousel(url, retries=NO_RETRIES) as client:

            def blocking(name: str, *args: Any, **options: Any) -> Any:
                result = getattr(client, name)(*args, **options)
                return list(result) if name.startswith("stream") else result

            async def in_thread(name: str, *args: Any, **options: Any) -> Any:
                return await asyncio.to_thread(blocking, name, *args, **options)

            yield in_thread
    else:
        async with AsyncCarousel(url, retries=NO_RETRIES) as client:

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
    with (
        Carousel("http://127.0.0.1:1", retries=NO_RETRIES) as client,
        pytest.raises(UnreachableError, match="no server"),
    ):
        client.models()
    async with AsyncCarousel("http://127.0.0.1:1", retries=NO_RETRIES) as other:
        with pytest.raises(UnreachableError, match="no server"):
            await other.chat(HI)


@pytest.mark.parametrize("client", [Carousel, AsyncCarousel])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "ftp://host",
        "http://192.168.1..5:1",
        "http://.local",
        f"http://{'a' * 64}",
        "host:none",
        "host:99999",
    ],
)
def test_what_cannot_be_an_address_is_not_asked(client: type[Carousel | AsyncCarousel], url: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{url!r} is not a server's address")):
        client(url)


async def test_an_address_without_its_scheme(url: str) -> None:
    async with AsyncCarousel(url.removeprefix("http://")) as client:
        assert client.url == url
        assert await client.models()


async def test_a_key_that_no_header_can_hold_is_not_shown(url: str) -> None:
    def blocking() -> None:
        with Carousel(url, api_key="secret\r") as client:
            client.models()

    with pytest.raises(UsageError, match="key") as refused:
        await asyncio.to_thread(blocking)
    async with AsyncCarousel(url, api_key="secret\r") as other:
        with pytest.raises(UsageError, match="key") as also:
            await other.models()
    assert "secret" not in f"{refused.value} {also.value}"


async def test_a_server_that_cannot_be_trusted_is_there(url: str) -> None:
    """One that speaks no TLS; a certificate that is not valid takes the same way."""
    with (
        Carousel(url.replace("http:", "https:")) as client,
        pytest.raises(ConnectionFailedError, match=r"cannot be trusted: .*SSL") as failed,
    ):
        await asyncio.to_thread(client.models)
    assert not isinstance(failed.value, UnreachableError)


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    transport = answering(400, json.dumps({"error": {"message": "no\x1b[2J"}}).encode())
    with Carousel(transport=transport) as client, pytest.raises(BadRequestError, match=r"^no�\[2J$"):
        client.models()


def test_what_comes_before_an_error_in_a_stream_is_read() -> None:
    chunk = {"id": "1", "model": "m", "choices": [{"index": 0, "text": "lost", "finish_reason": None}]}
    frames = f'data: {json.dumps(chunk)}\n\ndata: {{"error": {{"message": "broken"}}}}\n\n'
    read: list[str] = []
    with (
        Carousel(transport=answering(200, frames.encode())) as client,
        pytest.raises(ServerFailedError, match="broken"),
    ):
        read.extend(delta.text for delta in client.stream_complete("hi"))
    assert read == ["lost"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_proxy_is_not_asked_for_this_machine(url: str, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    for scheme in ("HTTP", "ALL"):
        monkeypatch.setenv(f"{scheme}_PROXY", "http://127.0.0.1:1")
    async with AsyncCarousel(url.replace("127.0.0.1", host), retries=NO_RETRIES) as client:
        assert await client.models()
    with Carousel(url.replace("127.0.0.1", host), retries=NO_RETRIES) as client:
        assert await asyncio.to_thread(client.models)


@pytest.mark.parametrize("name", ["complete", "stream_complete"])
async def test_timeouts(url: str, engine: ScriptedEngine, say: Say, name: str) -> None:
    engine.play = lambda request: say("a", hangs=True)
    with Carousel(url, timeout=0.2) as client, pytest.raises(TimedOutError, match="too long"):
        await asyncio.to_thread(
            lambda: [getattr(client, name)("hi")] if name == "complete" else list(client.stream_complete("hi"))
        )
    async with AsyncCarousel(url, timeout=0.2) as other:
        with pytest.raises(TimedOutError):
            _ = await other.complete("hi") if name == "complete" else [one async for one in other.stream_complete("hi")]


async def test_about_the_server(call: Calls, engine: ScriptedEngine) -> None:
    await call("health")
    assert await call("ready") == Readiness(status="ready", progress=1.0)
    engine.phase = EngineStatus("loading", 0.25)
    loading = await call("ready")
    assert (loading.ready, loading.progress) == (False, 0.25)
    assert re.fullmatch(r"\d+\.\d+\.\d+", await call("version"))


async def test_tokens(call: Calls) -> None:
    assert await call("tokenize", "hi 😀") == list("hi 😀".encode())
    assert await call("detokenize", list("hi 😀".encode())) == "hi 😀"
    assert len(await call("tokenize", HI)) > len(await call("tokenize", "hi"))


async def test_a_stream_put_together_is_the_whole_answer(call: Calls, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN + "<|return|>")
    asked = {"n": 2, "logprobs": True, "top_logprobs": 1}
    whole, streamed = await call("chat", HI, **asked), collect(await call("stream_chat", HI, **asked))
    assert replace(streamed, id=whole.id) == whole
    whole, streamed = await call("complete", "hi", logprobs=1), collect(await call("stream_complete", "hi", logprobs=1))
    assert replace(streamed, id=whole.id) == whole


def calls(text: str, *, city: str) -> str:
    return (
        f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant to=functions.weather<|channel|>commentary json"
        f'<|message|>{{"city": "{city}"}}<|call|>'
    )


def weather(city: str) -> str:
    """The weather now."""
    return f"rain in {city}"


async def test_run_tools(call: Calls, engine: ScriptedEngine, say: Say) -> None:
    turns = iter([calls("Look.", city="Paris"), "<|channel|>final<|message|>Wet.<|return|>"])
    engine.play = lambda request: say(next(turns))
    run = await call("run_tools", HI, {"weather": weather}, temperature=0.0, tool_choice="auto")
    assert run.answer.text == "Wet."
    asked, called, result, answered = run.messages
    assert (asked, answered) == (HI[0], {"role": "assistant", "content": "Wet."})
    assert called["reasoning"] == "Look."
    (tool_call,) = called["tool_calls"]
    assert tool_call["function"] == {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert result == {"role": "tool", "tool_call_id": tool_call["id"], "content": "rain in Paris"}
    prompt = bytes(token for token in engine.submitted[-1].prompt_token_ids if token < 256).decode()
    assert "The weather now." in prompt
    assert "rain in Paris" in prompt


async def test_streamed_tool_calls(call: Calls, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(calls("Look.", city="Paris"))
    tools = [definition("weather", weather)]
    whole, streamed = await call("chat", HI, tools=tools), collect(await call("stream_chat", HI, tools=tools))
    assert whole.choices[0].finish_reason == "tool_calls"
    (one,), (other,) = whole.tool_calls, streamed.tool_calls
    assert (one.name, one.arguments) == ("weather", '{"city": "Paris"}') == (other.name, other.arguments)
    assert (whole.reasoning, streamed.reasoning) == ("Look.", "Look.")
    assert one.id
    assert other.id


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
        if how == "close":
            await stream.aclose()
        else:
            del stream
            gc.collect()
        await eventually(lambda: engine.running == 0)
    assert len(engine.aborted) == 2


def answering(status: int, content: bytes, **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))


@pytest.mark.parametrize(
    ("status", "content", "error", "message"),
    [
        (401, b'{"error": {"message": "no key"}}', AuthenticationError, "no key"),
        (502, b"<html>", ServerFailedError, "status 502"),
        (400, b"[]", BadRequestError, "status 400"),
        (400, b'{"error": {"message": null}}', BadRequestError, "status 400"),
        (404, b'{"error": "no model"}', NotFoundError, "no model"),
        (200, b"<html>", ServerFailedError, "not understood"),
        (200, b"{}", ServerFailedError, "not understood"),
        (200, b"[]", ServerFailedError, "not understood"),
    ],
)
def test_answers_of_other_servers(status: int, content: bytes, error: type[Exception], message: str) -> None:
    with Carousel(transport=answering(status, content)) as client, pytest.raises(error, match=message):
        client.chat(HI)


def test_a_server_that_does_not_count() -> None:
    choice = {"index": 0, "message": {"content": "text"}, "finish_reason": "stop"}
    content = json.dumps({"id": "1", "model": "m", "choices": [choice]})
    with Carousel(transport=answering(200, content.encode())) as client:
        answer = client.chat(HI)
    assert (answer.text, answer.usage) == ("text", Usage(prompt_tokens=0, completion_tokens=0))


def test_a_stream_that_breaks_off() -> None:
    chunk = b'data: {"choices": [{"index": 0, "text": "a"}]}\n\n'
    with Carousel(transport=answering(200, chunk)) as client:
        stream = client.stream_complete("hi")
        assert next(stream).text == "a"
        with pytest.raises(ConnectionFailedError, match="broke off"):
            next(stream)


@pytest.mark.parametrize("piece", ["{", "[]", "{}", '{"choices": [{}]}', "null"])
def test_a_stream_that_is_not_understood(piece: str) -> None:
    transport = answering(200, f"data: {piece}\n\n".encode())
    with Carousel(transport=transport) as client, pytest.raises(ServerFailedError, match="not understood"):
        next(client.stream_complete("hi"))


def test_the_key_is_sent() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"data": [{"id": "other-server"}]})

    with Carousel(api_key="secret", transport=httpx.MockTransport(answer)) as client:
        assert client.models() == [Model(id="other-server")]
    assert seen == ["Bearer secret"]
