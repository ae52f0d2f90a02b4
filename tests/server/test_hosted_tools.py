"""Tools that the server would have to run: refused, or with `--ignore-hosted-tools` left out."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from server.app import create_app
from server.text import Text
from tests.server.asking import HI
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import ScriptedEngine

RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "get_weather", "parameters": CITY}
CUSTOM = {"name": "get_weather", "input_schema": CITY}
OPENAIS = [
    {"type": "web_search", "external_web_access": True, "filters": {"allowed_domains": ["a.com"]}},
    {"type": "web_search_preview_2025_03_11"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "mcp", "server_label": "a", "server_url": "https://a.com"},
    {"type": "computer"},
    {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "browser"},
    {"type": "tool_search"},
]
ANTHROPICS = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    {"type": "web_fetch_20250910", "name": "web_fetch"},
    {"type": "code_execution_20250825", "name": "code_execution"},
    {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
]
ASKED = [(RESPONSES, {"input": "hi"}, FUNCTION, OPENAIS), (MESSAGES, {"messages": HI, "max_tokens": 99}, CUSTOM,
         ANTHROPICS)]  # fmt: skip


@pytest.fixture
async def ignoring(engine: ScriptedEngine, text: Text) -> AsyncIterator[httpx.AsyncClient]:
    """A server that leaves them out."""
    app = create_app(engine, text, replace(SETTINGS, ignore_hosted_tools=True))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(("path", "body", "own", "tools"), ASKED)
async def test_refused_by_themselves(http: httpx.AsyncClient, path: str, body: dict, own: dict, tools: list) -> None:
    """With the flag that would leave them out."""
    for tool in tools:
        response = await http.post(path, json=body | {"tools": [own, tool]})
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "tools[1]")
        assert f"type {tool['type']} is not supported" in error["message"]
        assert "--ignore-hosted-tools" in error["message"]


@pytest.mark.parametrize(("path", "body", "own", "tools"), ASKED)
async def test_left_out(
    ignoring: httpx.AsyncClient, engine: ScriptedEngine, path: str, body: dict, own: dict, tools: list
) -> None:
    """As if the request had never had them."""
    for with_them, without in (([*tools, own, *tools], [own]), (tools, [])):
        answer, same = [
            (await ignoring.post(path, json=body | {"tools": offered})).json() for offered in (with_them, without)
        ]
        assert answer.get("error") is None
        assert answer.get("tools") == same.get("tools")
        one, other = engine.submitted[-2:]
        assert (one.prompt_token_ids, one.sampling) == (other.prompt_token_ids, other.sampling)


async def test_counted_without_them(ignoring: httpx.AsyncClient) -> None:
    counted = [
        (await ignoring.post(f"{MESSAGES}/count_tokens", json={"messages": HI, "tools": tools})).json()
        for tools in ([CUSTOM], [CUSTOM, *ANTHROPICS])
    ]
    assert counted[0] == counted[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, {"tools": [FUNCTION, *OPENAIS], "tool_choice": {"type": "web_search"}}),
        (RESPONSES, {"tools": [FUNCTION, *OPENAIS], "tool_choice": {"type": "mcp", "server_label": "a"}}),
        (RESPONSES, {"tools": [FUNCTION, *OPENAIS],
                     "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}}),
        (RESPONSES, {"tools": OPENAIS, "tool_choice": "required"}),
        (MESSAGES, {"tools": [CUSTOM, *ANTHROPICS], "tool_choice": {"type": "tool", "name": "web_search"}}),
        (MESSAGES, {"tools": ANTHROPICS, "tool_choice": {"type": "any"}}),
    ],
)  # fmt: skip
async def test_what_must_be_called_is_not_left_out(ignoring: httpx.AsyncClient, path: str, body: dict) -> None:
    response = await ignoring.post(path, json={RESPONSES: {"input": "hi"}, MESSAGES: ASKED[1][1]}[path] | body)
    assert (response.status_code, response.json()["error"]["param"].partition(".")[0]) == (400, "tool_choice")


async def test_others_are_still_refused(ignoring: httpx.AsyncClient) -> None:
    """Tools that the client runs, but only other models know; and places are told as the request has them."""
    for kind in ("custom", "local_shell", "web_searching", 3):
        refused = await ignoring.post(RESPONSES, json={"input": "hi", "tools": [*OPENAIS, {"type": kind, "name": "a"}]})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, f"tools[{len(OPENAIS)}]")
    refused = await ignoring.post(MESSAGES, json=ASKED[1][1] | {"tools": [{"type": "bash_20250124", "name": "bash"}]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools[0]")


async def test_each_kind_is_told_once(ignoring: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        for tools in (OPENAIS[:3], [{"type": "web_search_2026_01_01"}]):
            assert (await ignoring.post(RESPONSES, json={"input": "hi", "tools": tools})).status_code == 200
    told = [record.message for record in caplog.records if getattr(record, "event", "") == "left_out"]
    assert [line.partition(",")[0] for line in told] == ["web_search", "file_search"]
