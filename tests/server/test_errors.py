"""Every way to ask wrongly, and the answer: a status, and a body that names the field at fault."""

import json

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ValidationError

from engine.errors import RequestError
from engine.streams import EngineStatus
from server.body import parse
from server.schemas.chat import ChatRequest
from server.schemas.completions import CompletionRequest
from server.schemas.messages import MAX_MESSAGES
from server.schemas.request import MAX_FIELDS
from server.schemas.response_request import ResponseRequest
from server.wrong_urls import hint
from tests.server.scripted_engine import ScriptedEngine

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


async def refused(response: httpx.Response, status: int, param: str | None, code: str | None = None) -> str:
    assert response.status_code == status, response.text
    content = response.json()
    assert content.keys() == {"error"}
    assert content["error"].keys() == {"message", "type", "param", "code"}
    assert content["error"]["param"] == param, content
    if code is not None:
        assert content["error"]["code"] == code
    return content["error"]["message"]


BAD_FIELDS = [
    ({"temperature": -1}, "temperature"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"min_p": -0.1}, "min_p"),
    ({"n": 0}, "n"),
    ({"n": -1}, "n"),
    ({"n": True}, "n"),
    ({"n": 1_000_000}, "n"),
    ({"n": "2"}, "n"),
    ({"seed": 2**64}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"max_tokens": 1.0}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"max_tokens": 5000}, "max_tokens"),
    ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
    ({"presence_penalty": 2.1}, "presence_penalty"),
    ({"frequency_penalty": -2.1}, "frequency_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"logit_bias": {"5": 1e9}}, "logit_bias"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"-1": 1}}, "logit_bias"),
    ({"logit_bias": {"99999": 1}}, "logit_bias"),
    ({"logit_bias": {str(i): 1 for i in range(1100)}}, "logit_bias"),
    ({"logit_bias": {"5": "1"}}, "logit_bias.5"),
    ({"logit_bias": [5]}, "logit_bias"),
    ({"stop": ["x"] * 17}, "stop"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", ""]}, "stop"),
    ({"stop": "x" * 2000}, "stop"),
    ({"stop": [1]}, "stop"),
    ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ({"stop_token_ids": [10**6]}, "stop_token_ids"),
    ({"stop_token_ids": ["a"]}, "stop_token_ids[0]"),
    ({"priority": 2**40}, "priority"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stream": "yes"}, "stream"),
    ({"best_of": 17}, "best_of"),
    ({"best_of": True}, "best_of"),
    ({"model": 3}, "model"),
    ({"no_such_field": 1}, "no_such_field"),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
    ({"structured_outputs": {"json": "[]"}}, "structured_outputs.json"),
    ({"structured_outputs": {"backend": "x"}}, "structured_outputs.backend"),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "(?=a)"}}, "structured_outputs"),
    ({"structured_outputs": {"grammar": "start: nowhere"}}, "structured_outputs"),
    ({"structured_outputs": {"json": {"type": "nope"}}}, "structured_outputs"),
    ({"structured_outputs": {"json": {"format": "unheard-of", "type": "string"}}}, "structured_outputs"),
    ({"structured_outputs": {"json": {"$ref": "http://elsewhere/schema"}}}, "structured_outputs"),
]


@pytest.mark.parametrize(("fields", "param"), BAD_FIELDS)
@pytest.mark.parametrize(("path", "body"), [(COMPLETIONS, {"prompt": "hi"}), (CHAT, {"messages": HI})])
async def test_bad_fields_are_named(
    http: httpx.AsyncClient, engine: ScriptedEngine, path: str, body: dict, fields: dict, param: str
) -> None:
    await refused(await http.post(path, json=body | fields), 400, param)
    assert engine.submitted == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [265]}, "prompt"),
        ({"prompt": [2**63]}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": [[1]] * 129}, "prompt"),
        ({"prompt": [1] * 4097}, "prompt"),
        ({"prompt": [1] * 4096, "max_tokens": 2}, "max_tokens"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "logprobs": -1}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "echo": "yes"}, "echo"),
        ({"prompt": "a", "truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"prompt": "a", "truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
        ({"prompt": "a", "truncate_prompt_tokens": 1, "truncation_side": "right"}, "truncation_side"),
        ({"prompt": "a" * 5000, "truncate_prompt_tokens": -1, "max_tokens": 4097}, "max_tokens"),
        ({"prompt": "a", "messages": HI}, "messages"),
    ],
)
async def test_bad_completions(http: httpx.AsyncClient, fields: dict, param: str) -> None:
    body = json.dumps(fields, separators=(",", ":"))
    response = await http.post(COMPLETIONS, content=body, headers={"content-type": "application/json"})
    await refused(response, 400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [*HI, {"role": "user"}]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "hi", "tool_call_id": "1"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "hi", "weight": 1}]}, "messages[0].weight"),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, "messages"),
        ({"messages": HI, "logprobs": 5}, "logprobs"),
        ({"messages": HI, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"messages": HI, "top_logprobs": 2}, "top_logprobs"),
        ({"messages": HI, "max_tokens": 0}, "max_tokens"),
        ({"messages": HI, "max_completion_tokens": -1}, "max_completion_tokens"),
        ({"messages": HI, "max_completion_tokens": 4096, "max_tokens": 1}, "max_completion_tokens"),
        ({"messages": HI, "reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"messages": HI, "current_date": "yesterday"}, "current_date"),
        ({"messages": HI, "functions": [{"name": "f"}]}, "functions"),
        ({"messages": HI, "function_call": {"name": "f"}}, "function_call"),
        ({"messages": HI, "best_of": 2}, "best_of"),
        ({"messages": HI, "skip_special_tokens": False}, "skip_special_tokens"),
        ({"messages": HI, "truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        ({"messages": HI, "continue_final_message": True}, "continue_final_message"),
        (
            {"messages": HI, "chat_template_kwargs": {"add_generation_prompt": False}},
            "chat_template_kwargs.add_generation_prompt",
        ),
        ({"messages": HI, "modalities": ["audio"]}, "modalities"),
        ({"messages": HI, "audio": {"voice": "x"}}, "audio"),
        ({"messages": HI, "prompt": "hi"}, "prompt"),
    ],
)
async def test_bad_chats(http: httpx.AsyncClient, fields: dict, param: str) -> None:
    await refused(await http.post(CHAT, json=fields), 400, param)


@pytest.mark.parametrize("longest", [-1, 0, 4096])
async def test_a_message_calls_a_field_as_the_chat_does(http: httpx.AsyncClient, longest: int) -> None:
    response = await http.post(CHAT, json={"messages": HI, "max_completion_tokens": longest})
    message = await refused(response, 400, "max_completion_tokens")
    assert "max_completion_tokens" in message
    assert "max_tokens" not in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"[" * 9000,
        b'{"a":' * 1600,
        b'{"prompt":"a","seed":' + b"1" * 5000 + b"}",
        b'{"prompt":"a","temperature":NaN}',
        b'{"prompt":"a","temperature":Infinity}',
        b'{"prompt":"\\ud800"}',
        b'{"prompt":"\xff\xfe"}',
        b'{"prompt":"a"} trailing',
    ],
)
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, "/tokenize", "/detokenize"])
async def test_what_is_no_json_object(http: httpx.AsyncClient, path: str, content: bytes) -> None:
    response = await http.post(path, content=content, headers={"content-type": "application/json"})
    await refused(response, 400, None, "invalid_json")


async def test_a_number_that_overflows_is_refused(http: httpx.AsyncClient) -> None:
    content = b'{"prompt":"a","temperature":1e309}'
    response = await http.post(COMPLETIONS, content=content, headers={"content-type": "application/json"})
    await refused(response, 400, "temperature")


NUMBERS = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "n", "seed", "min_tokens", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "timeout", "priority", "best_of",
)  # fmt: skip


@pytest.mark.parametrize("huge", [10**400, -(10**400)], ids=["above", "below"])
async def test_no_number_is_too_large_to_be_refused(http: httpx.AsyncClient, huge: int) -> None:
    for body, names in (
        ({"prompt": "a"}, (*NUMBERS, "logprobs")),
        ({"messages": HI, "logprobs": True}, (*NUMBERS, "max_completion_tokens", "top_logprobs")),
    ):
        path = COMPLETIONS if "prompt" in body else CHAT
        for name in names:
            response = await http.post(path, json=body | {name: huge})
            await refused(response, 400, name)
        for name, value in (("logit_bias", {"1": huge}), ("logit_bias", {str(huge): 1}), ("stop_token_ids", [huge])):
            response = await http.post(path, json=body | {name: value})
            assert response.status_code == 400
            assert response.json()["error"]["param"].startswith(name)
    await refused(await http.post(COMPLETIONS, json={"prompt": [huge]}), 400, "prompt")
    await refused(await http.post("/detokenize", json={"tokens": [huge]}), 400, "tokens")


def test_nesting_of_100_000_is_refused() -> None:
    with pytest.raises(RequestError, match="recursion"):
        parse(CompletionRequest, b'{"prompt":' + b"[" * 100_000)


async def test_nul_in_a_prompt_is_text(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    response = await http.post(COMPLETIONS, json={"prompt": "a\0b"})
    assert response.status_code == 200
    assert engine.submitted[0].prompt_token_ids == (97, 0, 98)


async def test_null_is_absent_and_neutral_values_are_accepted(http: httpx.AsyncClient) -> None:
    common = {
        "model": None, "max_tokens": None, "temperature": None, "stop": None, "logit_bias": None,
        "seed": None, "stream": None, "stream_options": None, "n": None, "unknown": None, "user": "me",
        "store": True, "metadata": {"a": None}, "service_tier": "auto", "cache_salt": "s", "priority": 0,
        "prompt_cache_options": {"mode": "implicit"}, "best_of": 1, "top_k": -1,
        "use_beam_search": False, "length_penalty": 1.0, "typical_p": 1, "bad_words": [],
        "add_special_tokens": False, "cache_prompt": True,
        "skip_special_tokens": True, "spaces_between_special_tokens": False,
    }  # fmt: skip
    completion = common | {"prompt": "hi", "suffix": "", "logprobs": None, "truncation_side": "left"}
    assert (await http.post(COMPLETIONS, json=completion)).status_code == 200
    assistant = {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None}
    kept = {"id": "msg_1", "provider_specific_fields": {"refusal": None, "reasoning": "r"}}  # By LiteLLM.
    kept |= {"type": "message", "cache_control": {"type": "ephemeral"}, "thinking_blocks": [], "images": []}
    chat = common | {
        "messages": [*HI, assistant | {"reasoning_content": "r", "reasoning": "r"} | kept, *HI],
        "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "parallel_tool_calls": True,
        "modalities": ["text"], "logprobs": None, "top_logprobs": None, "max_completion_tokens": None,
        "prediction": {"type": "content", "content": "a"}, "chat_template_kwargs": {"add_generation_prompt": True},
        "add_generation_prompt": True, "continue_final_message": False, "echo": False, "reasoning": {},
    }  # fmt: skip
    response = await http.post(CHAT, json=chat)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, "/tokenize", "/detokenize"])
async def test_unknown_model(http: httpx.AsyncClient, path: str) -> None:
    body = {
        COMPLETIONS: {"prompt": "hi"}, CHAT: {"messages": HI}, "/tokenize": {"prompt": "hi"},
        "/detokenize": {"tokens": [1]},
    }[path]  # fmt: skip
    message = await refused(await http.post(path, json=body | {"model": "gpt-9"}), 404, "model", "model_not_found")
    assert "gpt-9" in message


async def test_routing_errors_have_the_same_body(http: httpx.AsyncClient) -> None:
    await refused(await http.get("/v1/nothing"), 404, None, "unknown_url")
    await refused(await http.get("/v1/models/other"), 404, "model", "model_not_found")
    response = await http.get(COMPLETIONS)
    await refused(response, 405, None, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    await refused(await http.post("/v1/models"), 405, None, "method_not_allowed")
    await refused(await http.post("/v1/completions/"), 404, None, "unknown_url")


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/chat/completions", "the base URL ends in /v1"),
        ("/completions", "the base URL ends in /v1"),
        ("/responses", "the base URL ends in /v1"),
        ("/models", "the base URL ends in /v1"),
        ("/v1/v1/models", "a /v1 too many"),
        ("/completion", "use /v1/completions"),
        ("/api/chat", "use /v1/chat/completions"),
        ("/api/generate", "use /v1/chat/completions"),
        ("/api/tags", "use /v1/chat/completions"),
        ("/v1/embeddings", "max_tokens 0 scores a prompt"),
        ("/embeddings", "max_tokens 0 scores a prompt"),
        ("/v2/rerank", "max_tokens 0 scores a prompt"),
        ("/v1/score", "max_tokens 0 scores a prompt"),
        ("/v1/audio/transcriptions", "text only"),
        ("/v1/images/generations", "text only"),
    ],
)
async def test_what_clients_of_other_servers_ask_is_told_the_way(
    http: httpx.AsyncClient, path: str, instead: str
) -> None:
    for method in ("GET", "POST"):
        message = await refused(await http.request(method, path), 404, None, "unknown_url")
        assert message.startswith(f"Not Found: {method} {path}: ")
        assert instead in message


async def test_no_way_is_told_where_none_is_known(http: httpx.AsyncClient, app: FastAPI) -> None:
    assert await refused(await http.get("/v1/nothing"), 404, None) == "Not Found: GET /v1/nothing"
    assert {path: hint(path) for path in app.openapi()["paths"] if hint(path)} == {}


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_wrong_media_type(http: httpx.AsyncClient, media_type: str) -> None:
    response = await http.post(COMPLETIONS, content=b'{"prompt":"a"}', headers={"content-type": media_type})
    await refused(response, 415, None, "unsupported_media_type")


async def test_media_type_parameters_are_no_matter(http: httpx.AsyncClient) -> None:
    media_type = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await http.post(COMPLETIONS, content=b'{"prompt":"a"}', headers=media_type)).status_code == 200


async def test_a_large_body_is_refused_by_its_declared_length(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        await refused(await http.post(COMPLETIONS, json={"prompt": "a" * 10_000}), 413, None, "body_too_large")


async def test_of_an_endless_body_only_the_beginning_is_read(url: str) -> None:
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(10_000):
            sent += 10_000
            yield b" " * 10_000

    async with httpx.AsyncClient(base_url=url) as http:
        try:
            response = await http.post(COMPLETIONS, content=chunks(), headers={"content-type": "application/json"})
        except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
            pass  # The server had answered and hung up while the client was still sending.
        else:
            await refused(response, 413, None, "body_too_large")
    assert sent < 50_000_000


async def test_a_full_queue_says_when_to_come_back(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    engine.room = 2
    response = await http.post(COMPLETIONS, json={"prompt": "hi", "n": 3})
    await refused(response, 429, None, "queue_full")
    assert response.headers["retry-after"] == "3"
    assert engine.submitted == []
    assert (await http.post(COMPLETIONS, json={"prompt": "hi", "n": 2})).status_code == 200


@pytest.mark.parametrize("phase", ["loading", "stopping", "dead"])
@pytest.mark.parametrize("stream", [False, True])
async def test_not_ready(http: httpx.AsyncClient, engine: ScriptedEngine, phase: str, stream: bool) -> None:
    engine.phase = EngineStatus(phase, 0.25, "loading weights")
    for path, body in ((COMPLETIONS, {"prompt": "hi"}), (CHAT, {"messages": HI})):
        response = await http.post(path, json=body | {"stream": stream})
        await refused(response, 503, None, "engine_not_ready")
        assert "retry-after" in response.headers
    ready = await http.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": phase, "progress": 0.25, "message": "loading weights"})
    assert (await http.get("/health")).status_code == 200


async def test_an_unforeseen_error_hides_its_details(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    def fail(requests: object) -> None:
        raise ZeroDivisionError("secret")

    engine.submit = fail
    response = await http.post(COMPLETIONS, json={"prompt": "hi"}, headers={"x-request-id": "mine"})
    await refused(response, 500, None, "internal_error")
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "mine"


async def test_request_ids_are_echoed_or_made(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = [
        (await http.get("/v1/nothing", headers=h)).headers["x-request-id"] for h in ({}, {"x-request-id": "x" * 200})
    ]
    assert all(request_id.startswith("req-") for request_id in made)
    assert made[0] != made[1]


UNKNOWN = {f"field_{n}": 1 for n in range(MAX_FIELDS + 1)}


@pytest.mark.parametrize(
    ("schema", "body", "param"),
    [
        (ChatRequest, {"messages": [0] * 100}, "messages[0]"),
        (ChatRequest, {"messages": HI * (MAX_MESSAGES + 1)}, "messages"),
        (ChatRequest, {"messages": [{"role": "assistant", "tool_calls": [0] * 100}]}, "messages[0].tool_calls[0]"),
        (ChatRequest, {"messages": HI, "tools": [0] * 100}, "tools[0]"),
        (ChatRequest, {"messages": HI, "stop_token_ids": [""] * 100}, "stop_token_ids[0]"),
        (ChatRequest, {"messages": HI, "logit_bias": {str(n): "x" for n in range(2000)}}, "logit_bias"),
        (ChatRequest, {"messages": HI} | UNKNOWN, None),
        (ChatRequest, {"messages": [HI[0] | UNKNOWN]}, "messages[0]"),
        (CompletionRequest, {"prompt": [{}] * 100}, "prompt"),
        (CompletionRequest, {"prompt": [[{}] * 100]}, "prompt"),
        (CompletionRequest, {"prompt": "a", "stop": [1] * 100}, "stop"),
        (ResponseRequest, {"input": [0] * 100}, "input[0]"),
        (ResponseRequest, {"input": HI * (MAX_MESSAGES + 1)}, "input"),
        (ResponseRequest, {"input": "a", "include": ["x"] * 100}, "include[0]"),
    ],
)
def test_no_more_than_one_error_is_looked_for(schema: type[BaseModel], body: dict, param: str | None) -> None:
    """Each takes time and memory, and a body has room for millions."""
    with pytest.raises(ValidationError) as found:
        schema.model_validate(body)
    assert found.value.error_count() == 1
    with pytest.raises(RequestError) as told:
        parse(schema, json.dumps(body).encode())
    assert told.value.param == param


def test_the_most_messages_are_taken() -> None:
    assert len(ChatRequest.model_validate({"messages": HI * MAX_MESSAGES}).messages) == MAX_MESSAGES
