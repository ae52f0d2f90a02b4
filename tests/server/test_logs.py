"""Log lines: what they say, and what they never say."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator

import httpx
import pytest

from engine.streams import EngineStatus
from server.app import create_app
from server.config import ServerConfig
from server.connection import ConnectionLimits
from server.logs import log, logging_as
from server.text import Text
from tests.faults.raw_client import raw_client, refusal_in
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import serving

Say = Callable[..., Script]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
SECRET = "xyzzy-plugh"


@pytest.fixture
def stderr() -> io.StringIO:
    """In the place of stderr."""
    return io.StringIO()


@pytest.fixture
def lines(stderr: io.StringIO) -> Iterator[Callable[[], list[dict]]]:
    """What has been logged as JSON since the last call."""

    def read() -> list[dict]:
        written = stderr.getvalue()
        stderr.seek(0)
        stderr.truncate()
        return [json.loads(line) for line in written.splitlines()]

    with logging_as("json", stderr):
        yield read


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "malformed_request"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /health HTTP/1.1\r\n", 408, "request_too_slow"),
        (None, 503, "too_many_connections"),
    ],
)
async def test_a_line_for_what_never_was_a_request(
    engine: ScriptedEngine, text: Text, lines: Callable[[], list[dict]], sent: bytes | None, status: int, code: str
) -> None:
    limits = ConnectionLimits(header_bytes=1000, receive_seconds=0.2, connections=0 if sent is None else 9)
    settings = ServerConfig(served_model_names=("tiny",), limits=limits)
    async with serving(create_app(engine, text, settings)) as url, raw_client(url) as client:
        if sent is not None:
            await client.send(sent)
        answer = await client.read_to_end()
    assert refusal_in(answer)[0] == status
    (line,) = [line for line in lines() if line["event"] == "refused"]
    assert (line["status"], line["error"], line["client"]) == (status, code, "127.0.0.1")
    assert f"\r\nx-request-id: {line['request_id']}\r\n".encode() in answer
    assert line["request_id"].startswith("req-")


async def test_a_line_per_request(http: httpx.AsyncClient, lines: Callable[[], list[dict]]) -> None:
    body = {"prompt": "hi", "n": 2, "max_tokens": 20}
    await http.post(COMPLETIONS, json=body, headers={"x-request-id": "mine"})
    await http.post(COMPLETIONS, json=body | {"stream": True, "model": "alias"})
    await http.post(COMPLETIONS, json=body | {"model": "other"})
    for probe in ("/health", "/ping", "/ready"):
        await http.get(probe)
    whole, streamed, refused = lines()
    for line in (whole, streamed):
        assert (line["event"], line["level"], line["status"]) == ("request", "info", 200)
        assert (line["method"], line["endpoint"], line["client"]) == ("POST", COMPLETIONS, "127.0.0.1")
        assert (line["finish_reasons"], line["prompt_tokens"], line["completion_tokens"]) == (["stop", "stop"], 2, 12)
        assert 0 < line["first_token_seconds"] < line["seconds"]
        assert "error" not in line
    assert (whole["request_id"], whole["model"], streamed["model"]) == ("mine", "tiny", "alias")
    assert streamed["request_id"].startswith("req-")
    assert (refused["status"], refused["error"]) == (404, "model_not_found")
    assert "finish_reasons" not in refused


async def test_no_secret_anywhere(
    url: str, engine: ScriptedEngine, say: Say, lines: Callable[[], list[dict]], stderr: io.StringIO
) -> None:
    """Not in a log line, a metric or an error's body, whatever goes wrong with a request that has one."""
    engine.play = lambda request: say(f"<|channel|>final<|message|>{SECRET}")
    messages = [{"role": "user", "content": SECRET}]
    bodies: list[tuple[str, object]] = [
        (COMPLETIONS, {"prompt": SECRET, "stream": stream}) for stream in (False, True)
    ]  # fmt: skip
    bodies += [(CHAT, {"messages": messages, "stream": stream, "user": SECRET}) for stream in (False, True)]
    bodies += [
        (COMPLETIONS, {"prompt": SECRET, "temperature": SECRET}),
        (COMPLETIONS, {"prompt": {SECRET: SECRET}}),
        (COMPLETIONS, {"prompt": SECRET * 1000}),
        (COMPLETIONS, {"prompt": SECRET, "stop": [SECRET] * 20}),
        (COMPLETIONS, {"prompt": [SECRET, 1]}),
        (CHAT, {"messages": [{"role": SECRET, "content": SECRET}]}),
        (CHAT, {"messages": [{"role": "tool", "content": SECRET}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": SECRET}]}]}),
        (CHAT, {"messages": messages, "reasoning_effort": SECRET, "current_date": SECRET}),
        ("/tokenize", {"prompt": SECRET, "messages": messages}),
    ]

    def fail(requests: object) -> None:
        raise ZeroDivisionError(SECRET)

    headers = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        responses = [await http.post(path, json=body) for path, body in bodies]
        responses.append(
            await http.post(COMPLETIONS, content=f'{{"prompt": {SECRET}', headers={"content-type": "application/json"})
        )
        engine.play = lambda request: say(SECRET, error="the forward pass failed")
        responses.append(await http.post(COMPLETIONS, json={"prompt": SECRET}))
        engine.submit = fail
        responses.append(await http.post(COMPLETIONS, json={"prompt": SECRET}))
        metrics = (await http.get("/metrics")).text
    written = stderr.getvalue()
    assert SECRET not in written + metrics
    assert "ZeroDivisionError" in written
    assert sorted(response.status_code for response in responses)[:5] == [200, 200, 200, 200, 400]
    assert not [response.text for response in responses if response.status_code != 200 and SECRET in response.text]
    assert sum(line["event"] == "request" for line in lines()) == len(responses)


async def test_an_unforeseen_error_says_where(
    http: httpx.AsyncClient, engine: ScriptedEngine, lines: Callable[[], list[dict]]
) -> None:
    def fail(requests: object) -> None:
        raise ZeroDivisionError(SECRET)

    engine.submit = fail
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    exception, request = lines()
    assert (exception["event"], exception["level"]) == ("exception", "error")
    assert exception["exception"] == "ZeroDivisionError"
    assert exception["frames"][-1].endswith(" fail")
    assert (request["status"], request["error"]) == (500, "internal_error")


async def test_the_status_of_a_stream_that_fails(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, lines: Callable[[], list[dict]]
) -> None:
    engine.play = lambda request: say("ab", error="the forward pass failed")
    await http.post(COMPLETIONS, json={"prompt": "hi", "stream": True})
    (line,) = lines()
    assert (line["status"], line["error"], line["finish_reasons"]) == (200, "generation_failed", ["error"])
    engine.phase = EngineStatus("loading")
    await http.post(COMPLETIONS, json={"prompt": "hi", "stream": True})
    (line,) = lines()
    assert (line["status"], line["error"]) == (503, "engine_not_ready")


def test_text_is_one_line_for_people(stderr: io.StringIO) -> None:
    with logging_as("text", stderr):
        log(logging.INFO, "request", status=200, error=None, client="a b\n", reasons=["stop"])
        log(logging.ERROR, "died", "the engine died: why")
        log(logging.DEBUG, "request")
        try:
            raise KeyError(SECRET)
        except KeyError:
            logging.getLogger("asyncio").exception("never retrieved\nfuture: %s", SECRET)
    request, died, exception = stderr.getvalue().splitlines()
    assert request.endswith(r' info    request status=200 client="a b\n" reasons=["stop"]')
    assert died.endswith(" error   the engine died: why")
    assert 'never retrieved exception=KeyError frames=["' in exception
    assert SECRET not in exception


async def test_a_library_s_lines_are_json_too(lines: Callable[[], list[dict]]) -> None:
    logging.getLogger("library").warning("a %s", "b")
    asyncio.get_running_loop().call_exception_handler({"message": "c"})
    assert [(line["event"], line["message"]) for line in lines()] == [("library", "a b"), ("asyncio", "c")]


def test_the_block_ends_the_format() -> None:
    before = list(logging.getLogger().handlers)
    with logging_as("json", io.StringIO()):
        assert len(logging.getLogger().handlers) == len(before) + 1
    assert logging.getLogger().handlers == before
