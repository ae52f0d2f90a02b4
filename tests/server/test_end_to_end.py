"""Everything real: the embedded model in its own process, behind a real port, asked by OpenAI's client."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import APIError, AsyncOpenAI

from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.process.supervisor import EngineProcess
from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.serving import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

HI = [{"role": "user", "content": "Hello, who are you?"}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process() -> EngineProcess:
    config = EngineConfig(
        model=EMBEDDED,
        dtype="float32",
        device="cpu",
        max_model_len=512,
        max_num_seqs=4,
        max_num_batched_tokens=64,
    )
    return EngineProcess(config)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real_url(process: EngineProcess) -> AsyncIterator[str]:
    settings = ServerConfig(served_model_names=("embedded",), current_date="2025-01-31")
    async with serving(create_app(process, Text.load(EMBEDDED), settings)) as url:
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get("/health")).status_code == 200
            for _ in range(1200):
                if (await http.get("/ready")).status_code == 200:
                    break
                assert process.status.phase in ("loading", "ready"), process.status
                await asyncio.sleep(0.1)
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(real_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{real_url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_completions_streamed_and_not_are_one_text(client: AsyncOpenAI) -> None:
    for seed in range(4):
        asked = {"model": "embedded", "prompt": "Once upon a time", "max_tokens": 24, "seed": seed, "n": 3}
        whole = await client.completions.create(**asked)
        texts = ["", "", ""]
        async for chunk in await client.completions.create(**asked, stream=True):
            texts[chunk.choices[0].index] += chunk.choices[0].text
        assert texts == [choice.text for choice in whole.choices]
        assert len(set(texts)) == 3, "choices have seeds of their own"
        assert whole.usage.completion_tokens <= 72


async def test_chat_streamed_and_not_are_one_text(client: AsyncOpenAI) -> None:
    asked = {
        "model": "embedded",
        "messages": HI,
        "seed": 3,
        "max_tokens": 80,
        "logprobs": True,
        "top_logprobs": 2,
    }
    whole = (await client.chat.completions.create(**asked)).choices[0]
    content = reasoning = ""
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        delta = chunk.choices[0].delta
        content += delta.content or ""
        reasoning += getattr(delta, "reasoning", None) or ""
    assert content == (whole.message.content or "")
    assert reasoning == (whole.message.reasoning or "")
    assert content or reasoning
    assert "<|" not in content + reasoning
    spelled = bytes(byte for entry in whole.logprobs.content or () for byte in entry.bytes)
    assert spelled.decode(errors="replace") == content


async def test_another_question_to_the_same_instructions_begins_at_their_end(real_url: str) -> None:
    """Asked as a chat, and as a response."""
    rules = "Be brief, be kind, and answer only what was asked. " * 8
    async with httpx.AsyncClient(base_url=real_url, timeout=60) as http:
        chat = {"max_tokens": 1, "model": "embedded"}
        first, second = [
            (
                await http.post(
                    "/v1/chat/completions", json=chat | {"messages": [{"role": "system", "content": rules}, q]}
                )
            )
            for q in ({"role": "user", "content": "Who are you?"}, {"role": "user", "content": "What is 3 + 4?"})
        ]
        response = {"model": "embedded", "input": "Hello!", "instructions": rules, "max_output_tokens": 16}
        third = await http.post("/v1/responses", json=response)
    counts = [reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"] for reply in (first, second)]
    counts.append(third.json()["usage"]["input_tokens_details"]["cached_tokens"])
    assert counts[0] < 64 < counts[1] == counts[2]


async def test_scores_do_not_depend_on_how_they_are_asked_for(client: AsyncOpenAI) -> None:
    """What greedy decoding reports while it writes is what reading the written tokens reports."""
    written = await client.completions.create(
        model="embedded", prompt="Once upon a time", max_tokens=12, temperature=0, logprobs=3, echo=True
    )
    logprobs = written.choices[0].logprobs
    assert "".join(logprobs.tokens) == written.choices[0].text
    assert logprobs.token_logprobs[0] is None
    for top, chosen in zip(logprobs.top_logprobs[-12:], logprobs.token_logprobs[-12:], strict=True):
        assert max(top.values()) == chosen
    tokenizer = Text.load(EMBEDDED).tokenizer
    ids = {tokenizer.token_text(token_id): token_id for token_id in range(tokenizer.vocab_size)}
    scored = await client.completions.create(
        model="embedded",
        prompt=[ids[token] for token in logprobs.tokens],
        max_tokens=0,
        logprobs=3,
        echo=True,
    )
    assert scored.choices[0].text == written.choices[0].text
    again = scored.choices[0].logprobs.token_logprobs
    assert again[1:] == pytest.approx(logprobs.token_logprobs[1:], abs=1e-4)


async def test_stop_strings(client: AsyncOpenAI, process: EngineProcess) -> None:
    asked = {"model": "embedded", "prompt": "Once upon a time", "max_tokens": 40, "temperature": 0}
    text = (await client.completions.create(**asked)).choices[0].text
    stop = text[7:11]
    cut = (await client.completions.create(**asked, stop=stop)).choices[0]
    assert (cut.text, cut.finish_reason, cut.stop_reason) == (text[: text.index(stop)], "stop", stop)
    assert process.in_flight == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_is_forgotten(
    real_url: str, process: EngineProcess, eventually: Callable[..., Awaitable[None]], stream: bool
) -> None:
    body = {"prompt": "Once upon a time", "max_tokens": 500, "ignore_eos": True, "stream": stream, "n": 4}
    async with httpx.AsyncClient(base_url=real_url) as http:
        asking = asyncio.create_task(http.post("/v1/completions", json=body))
        await eventually(lambda: process.in_flight == 4)
        asking.cancel()
        await eventually(lambda: process.in_flight == 0)


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.0},
        {"temperature": 0.0, "reasoning_effort": "none"},
        {"temperature": 1.5, "reasoning_effort": "none", "seed": 1},
        {"temperature": 1.5, "reasoning_effort": "none", "seed": 2, "top_p": 0.9, "frequency_penalty": 2.0},
    ],
)
async def test_json_answers_follow_their_schema(client: AsyncOpenAI, sampling: dict[str, Any]) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    asked = {"model": "embedded", "messages": HI, "response_format": wanted, "max_tokens": 200} | sampling
    whole = (await client.chat.completions.create(**asked)).choices[0]
    assert whole.finish_reason == "stop"
    answer = json.loads(whole.message.content)
    assert answer.keys() == {"name", "age", "tags"}
    assert len(answer["name"]) <= 12
    assert 0 <= answer["age"] <= 150
    assert set(answer["tags"]) <= {"red", "green"}
    if "reasoning_effort" in sampling:
        assert whole.message.reasoning is None
    content = ""
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        content += chunk.choices[0].delta.content or ""
    assert content == whole.message.content


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_calls_that_must_be_made(client: AsyncOpenAI, choice: Any, temperature: float) -> None:
    number = {"type": "integer", "minimum": -99, "maximum": 99}
    numbers = {"type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"]}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": numbers | {"additionalProperties": False}}}
        for name in ("add", "add_all")
    ]
    asked: dict[str, Any] = {
        "model": "embedded",
        "messages": [{"role": "user", "content": "What is 3 plus 4?"}],
        "tools": tools,
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "temperature": temperature,
        "reasoning_effort": "none" if temperature else "low",
        "seed": 5,
        "max_tokens": 200,
    }
    whole = (await client.chat.completions.create(**asked)).choices[0]
    assert whole.finish_reason == "tool_calls"
    (call,) = whole.message.tool_calls
    assert call.function.name in (("add", "add_all") if choice == "required" else ("add",))
    arguments = json.loads(call.function.arguments)
    assert arguments.keys() == {"a", "b"}
    assert all(isinstance(value, int) and -99 <= value <= 99 for value in arguments.values())
    name, written = "", ""
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or ():
            name += piece.function.name or ""
            written += piece.function.arguments
    assert (name, written) == (call.function.name, call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "7"}
    asked |= {"messages": [*asked["messages"], whole.message.model_dump(exclude_none=True), result]}
    after = (await client.chat.completions.create(**asked | {"tool_choice": "none"})).choices[0]
    assert after.message.content
    assert not after.message.tool_calls


async def test_a_completion_is_one_of_the_choices(client: AsyncOpenAI) -> None:
    wanted = {"structured_outputs": {"choice": ["red", "reddish", 'a "third"']}}
    answer = await client.completions.create(
        model="embedded", prompt="My colour is", temperature=1.5, n=4, seed=1, max_tokens=40, extra_body=wanted
    )
    assert {choice.text for choice in answer.choices} <= set(wanted["structured_outputs"]["choice"])
    assert all(choice.finish_reason == "stop" for choice in answer.choices)


async def test_too_long_for_the_context(client: AsyncOpenAI) -> None:
    with pytest.raises(APIError, match="512"):
        await client.completions.create(model="embedded", prompt=[1] * 513)


async def test_the_engine_is_killed(client: AsyncOpenAI, real_url: str, process: EngineProcess) -> None:
    """The stream ends with an error, the server lives and says so, until another engine serves."""
    stream = await client.completions.create(
        model="embedded", prompt="Once", max_tokens=500, stream=True, extra_body={"ignore_eos": True}
    )
    await anext(aiter(stream))
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(APIError, match="engine"):
        _ = [chunk async for chunk in stream]
    async with httpx.AsyncClient(base_url=real_url) as http:
        assert (await http.get("/ready")).status_code == 503
        assert (await http.get("/health")).status_code == 200
        assert (await http.post("/v1/completions", json={"prompt": "hi"})).status_code == 503
    again = client.with_options(max_retries=60)
    assert (await again.completions.create(model="embedded", prompt="Once", max_tokens=2)).choices
