"""The routes that generate nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from threading import get_ident

import httpx
import pytest

import engine as engine_package
from engine.prompt.conversation import Conversation
from engine.streams import EngineStatus
from server.app import create_app
from server.config import ServerConfig
from server.schemas.tokenize import MAX_TOKEN_TEXTS
from server.text import LARGE_TEXT, Text
from tests.server.scripted_engine import ScriptedEngine


async def test_models(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["tiny", "alias"]
    assert all((model["root"], model["max_model_len"]) == ("tiny", 4096) for model in listed["data"])
    assert (await http.get("/v1/models/alias")).json() == listed["data"][1]
    assert listed["data"][1]["capacity"] == {
        "slots": 8,
        "kv_cache_bytes": 0,
        "kv_token_bytes": 512,
        "kv_ring_bytes": 65536,
        "page_tokens": 16,
        "weights_bytes": 0,
    }


async def test_tokenize(http: httpx.AsyncClient, text: Text) -> None:
    response = await http.post("/tokenize", json={"prompt": "é<|end|>"})
    assert response.json() == {
        "tokens": [*"é<|end|>".encode()], "count": 9, "max_model_len": 4096, "token_strs": None
    }  # fmt: skip
    response = await http.post("/tokenize", json={"prompt": "aé", "return_token_strs": True})
    assert response.json()["token_strs"] == ["a", "\ufffd", "\ufffd"]
    assert (await http.post("/tokenize", json={"prompt": ""})).json()["tokens"] == []
    response = await http.post("/tokenize", json={"messages": [{"role": "user", "content": "hi"}]})
    rendered = text.tokenizer.decode(response.json()["tokens"])
    assert rendered.endswith("<|start|>user<|message|>hi<|end|><|start|>assistant")


async def test_a_conversation_is_tokenized_as_its_request_would_be(
    http: httpx.AsyncClient, engine: ScriptedEngine
) -> None:
    chat = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "Does it."}}],
        "reasoning_effort": "high",
        "current_date": "2025-01-02",
    }
    asked = (await http.post("/tokenize", json=chat | {"add_generation_prompt": True})).json()
    assert (await http.post("/v1/chat/completions", json=chat)).status_code == 200
    assert tuple(asked["tokens"]) == engine.submitted[-1].prompt_token_ids


async def test_the_texts_of_too_many_tokens(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.text.MAX_TOKEN_TEXTS", 3)
    for length, status in ((3, 200), (4, 400)):
        response = await http.post("/tokenize", json={"prompt": "a" * length, "return_token_strs": True})
        assert response.status_code == status
    assert response.json()["error"]["param"] == "return_token_strs"


async def test_a_conversation_that_no_chat_could_have_is_not_tokenized(http: httpx.AsyncClient) -> None:
    twice = {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f"}}] * 2,
    }
    response = await http.post("/tokenize", json=twice)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tools")


async def test_tokenize_wants_one_of_both(http: httpx.AsyncClient) -> None:
    hi = [{"role": "user", "content": "hi"}]
    for body in ({}, {"prompt": "a", "messages": hi}, {"messages": []}, {"prompt": "a", "reasoning_effort": "low"}):
        assert (await http.post("/tokenize", json=body)).status_code == 400


async def test_detokenize(http: httpx.AsyncClient, text: Text) -> None:
    end = text.tokenizer.special_ids["<|end|>"]
    response = await http.post("/detokenize", json={"tokens": [*"é".encode(), end]})
    assert response.json() == {"prompt": "é<|end|>"}
    for tokens in ([-1], [text.tokenizer.vocab_size], [2**70], ["a"], 5, [True]):
        assert (await http.post("/detokenize", json={"tokens": tokens})).status_code == 400


async def test_health_ready_version(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    for path in ("/health", "/ping"):
        assert (await http.get(path)).json() == {"status": "ok"}
    assert (await http.get("/ready")).json() == {"status": "ready", "progress": 1.0, "message": ""}
    assert (await http.get("/version")).json() == {"version": engine_package.__version__}
    engine.phase = EngineStatus("loading", 0.5)
    assert (await http.get("/ready")).status_code == 503


async def test_head_is_answered_wherever_get_is(url: str, engine: ScriptedEngine) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for path in (
            "/health", "/ping", "/ready", "/version", "/metrics", "/v1/models", "/v1/models/alias",
            "/docs", "/openapi.json", "/", "/page/main.js",
        ):  # fmt: skip
            asked, head = await http.get(path), await http.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == asked.headers["content-type"]
            assert head.headers.get("content-length") == asked.headers.get("content-length") or path == "/metrics"
        engine.phase = EngineStatus("loading", 0.5)
        assert (await http.head("/ready")).status_code == 503
        assert (await http.head("/v1/models/other")).status_code == 404
        assert (await http.head("/v1/completions")).status_code == 405


async def test_what_needs_no_engine_is_there_while_it_loads(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    engine.phase = EngineStatus("loading", 0.5)
    listed = await http.get("/v1/models")
    assert listed.status_code == 200
    assert [model["max_model_len"] for model in listed.json()["data"]] == [None, None]
    loading = (await http.get("/v1/models/tiny")).json()
    assert (loading["max_model_len"], loading["capacity"]) == (None, None)
    assert (await http.post("/tokenize", json={"prompt": "a"})).json()["max_model_len"] is None


async def test_a_large_text_is_tokenised_beside_the_event_loop(text: Text, monkeypatch: object) -> None:
    """The loop turns while a tokenizer is busy, which here waits for just that."""
    turned = asyncio.Event()
    loop = asyncio.get_running_loop()

    def encode(words: str) -> list[int]:
        asyncio.run_coroutine_threadsafe(_set(turned), loop).result(timeout=10)
        return [len(words)]

    monkeypatch.setattr(text.tokenizer, "encode", encode)
    assert await text.encode("a" * (LARGE_TEXT + 1)) == [LARGE_TEXT + 1]
    assert turned.is_set()


async def test_many_prompts_are_tokenised_beside_the_event_loop(text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    noting = Noting()
    monkeypatch.setattr(text.tokenizer, "encode", noting)
    assert await text.encode_all(["a", [5, 6], "b"]) == [[1], [5, 6], [1]]
    assert await text.encode_all(["a" * 2**13] * 3) == [[1]] * 3
    assert noting.beside == [False, False, True, True, True]


class Noting:
    """Notes whether it was asked beside the event loop."""

    def __init__(self) -> None:
        self.beside: list[bool] = []
        self._loop_thread = get_ident()

    def __call__(self, asked: object) -> list[int]:
        self.beside.append(get_ident() != self._loop_thread)
        return [1]

    render = __call__


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "a" * LARGE_TEXT},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "a" * LARGE_TEXT}}]},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}] * LARGE_TEXT},
    ],
    ids=["content", "arguments", "many calls"],
)
async def test_a_large_conversation_is_rendered_beside_the_event_loop(text: Text, message: dict) -> None:
    noting = Noting()
    beside = replace(text, renderer=noting)
    await beside.render(Conversation(({"role": "user", "content": "hi"},)))
    await beside.render(Conversation((message,)))
    assert noting.beside == [False, True]


async def test_many_tokens_become_text_beside_the_event_loop(text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    noting = Noting()
    assert await text.decode([97] * (LARGE_TEXT + 1)) == "a" * (LARGE_TEXT + 1)
    monkeypatch.setattr(text.tokenizer, "decode", noting)
    await text.decode([97])
    await text.decode([97] * (LARGE_TEXT + 1))
    assert noting.beside == [False, True]


async def test_no_more_tokens_than_any_context_has_become_text(engine: ScriptedEngine, text: Text) -> None:
    app = create_app(engine, text, ServerConfig(served_model_names=("tiny",)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        assert (await http.post("/detokenize", json={"tokens": [97] * MAX_TOKEN_TEXTS})).status_code == 200
        response = await http.post("/detokenize", json={"tokens": [97] * (MAX_TOKEN_TEXTS + 1)})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "tokens")
    assert str(MAX_TOKEN_TEXTS) in error["message"]


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_the_app_starts_and_stops_its_engine(app: object, engine: ScriptedEngine, monkeypatch: object) -> None:
    calls: list[str] = []

    def note(name: str) -> Callable[[], object]:
        async def call() -> None:
            calls.append(name)

        return call

    monkeypatch.setattr(engine, "start", note("start"))
    monkeypatch.setattr(engine, "stop", note("stop"))
    async with app.router.lifespan_context(app):
        assert calls == ["start"]
    assert calls == ["start", "stop"]
