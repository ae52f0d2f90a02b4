"""Clients that send or read too slowly are cut off; nobody waits for them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from time import monotonic

import pytest
import pytest_asyncio
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.config import EngineConfig
from server.connection import ConnectionLimits
from tests.faults.aftermath import Aftermath, metric
from tests.faults.raw_client import post, raw_client
from tests.faults.real_server import SETTINGS, RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = ConnectionLimits(receive_seconds=0.5, send_seconds=0.5, idle_seconds=3.0, send_buffer=4096)
SECRET = "slowly told"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    """Less patient than it would be."""
    async with real_server(tiny_model, replace(SETTINGS, limits=LIMITS)) as server:
        yield server


@pytest.mark.fault(27)
async def test_a_reader_that_stops(server: RealServer, aftermath: Aftermath) -> None:
    aftermath.secrets.append(SECRET)
    body = {"prompt": SECRET, "max_tokens": 900, "ignore_eos": True, "temperature": 0, "logprobs": 20, "stream": True}
    other = {"prompt": "beside it", "max_tokens": 300, "ignore_eos": True, "temperature": 0}
    alone = (await server.http.post("/v1/completions", json=other)).json()["choices"]
    async with raw_client(server.url, receive_buffer=4096) as client:
        await client.send(post("/v1/completions", json.dumps(body | {"n": 2}).encode()))
        beside = await server.http.post("/v1/completions", json=other)
        assert beside.json()["choices"] == alone
        async with asyncio.timeout(30):
            while server.engine.in_flight:
                await asyncio.sleep(0.02)
        received = await client.read_to_end()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"[DONE]" not in received
    assert len(received) < 2**19
    (cut,) = [line for line in map(json.loads, server.log.getvalue().splitlines()) if line.get("prompt_tokens") == 11]
    assert "abort" in cut["finish_reasons"]


@pytest.mark.fault(28)
async def test_headers_after_a_body_are_not_kept(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP calls them trailers; there may be any number while a request may take."""
    kept, keep = list[bytes](), HttpToolsProtocol.on_header

    def on_header(self: HttpToolsProtocol, name: bytes, value: bytes) -> None:
        kept.append(name)
        keep(self, name, value)

    monkeypatch.setattr(HttpToolsProtocol, "on_header", on_header)
    body = b'{"prompt":"a","max_tokens":1}'
    head = post("/v1/completions", b"", "Connection: close")
    head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with raw_client(server.url) as client:
        await client.send(b"%s%x\r\n%s\r\n0\r\n%s\r\n" % (head, len(body), body, b"after: 1\r\n" * 1000))
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type" in kept
    assert b"after" not in kept


@pytest.mark.fault(19)
@pytest.mark.parametrize("trailer", [b"a: 1\r\n", b"a" * 1000])
async def test_headers_after_a_body_have_an_end(server: RealServer, trailer: bytes) -> None:
    """Many, or one."""
    before = len(server.log.getvalue())
    head = post("/v1/completions", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with raw_client(server.url) as client:
        await client.send(head + b"2\r\n{}\r\n0\r\n")
        with suppress(ConnectionError):
            for _ in range(2 * LIMITS.header_bytes // len(trailer)):
                await client.send(trailer)
                await asyncio.sleep(0)
        await client.read_to_end()
    lines = map(json.loads, server.log.getvalue()[before:].splitlines())
    assert [line["status"] for line in lines if line["event"] == "refused"] == [431]


async def test_the_next_requests_headers_are_not_those_after_a_body(server: RealServer) -> None:
    """The end of one request and the head of the next in one piece."""
    body = b'{"prompt":"a","max_tokens":1}'
    first = post("/v1/completions", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    second = post("/v1/completions", body, "X: " + "x" * (LIMITS.header_bytes // 2 + 1000), "Connection: close")
    async with raw_client(server.url) as client:
        await client.send(first + b"%x\r\n%s\r\n" % (len(body), body))
        await asyncio.sleep(0.1)
        await client.send(b"0\r\n\r\n" + second[: -len(body)])
        await asyncio.sleep(0.1)
        await client.send(body)
        answers = await client.read_to_end()
    assert answers.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.fault(28)
@pytest.mark.parametrize(
    "beginning",
    [
        b"P",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX: ",
        post("/v1/completions", b'{"prompt":"' + b"a" * 1000)[:-900],
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n",
        b"\r\n",
    ],
)
async def test_a_request_that_does_not_end(server: RealServer, aftermath: Aftermath, beginning: bytes) -> None:
    """Silent or trickling: the time runs from the first byte."""
    assert ConnectionLimits().receive_seconds <= 30
    for trickles in (False, True):
        async with raw_client(server.url) as client:
            await client.send(beginning)
            answering = asyncio.create_task(client.refusal())
            began = monotonic()
            while trickles and not answering.done() and monotonic() < began + 30:
                try:
                    await client.send(b"\r\n" if beginning == b"\r\n" else b"a")
                except ConnectionError:
                    break
                await asyncio.sleep(0.05)
            status, error = await answering
            assert (status, error["code"]) in ((408, "request_too_slow"), (400, "malformed_request"))
            assert status == 408 or trickles


@pytest.mark.fault(28)
async def test_a_client_that_says_nothing(server: RealServer, aftermath: Aftermath) -> None:
    async with raw_client(server.url) as client:
        assert await client.read_to_end() == b""


async def test_a_connection_that_rests_is_closed_at_last(server: RealServer, aftermath: Aftermath) -> None:
    """Later than httpx, OpenAI's client with it, gives up one that it keeps (5 seconds), and usual proxies (60)."""
    assert ConnectionLimits().idle_seconds > 60
    async with raw_client(server.url) as client:
        await client.send(post("/v1/completions", b'{"prompt":"once","max_tokens":1}'))
        async with asyncio.timeout(30):
            assert (await client.read_to_end()).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_may_rest_between_requests(server: RealServer, aftermath: Aftermath) -> None:
    """What is slow is a request; a stream may take as long as it takes, and send little."""
    before = await metric(server.http, "http_requests_total")
    body = {"prompt": "at length", "max_tokens": 100, "ignore_eos": True, "stream": True}
    async with raw_client(server.url) as client:
        for _ in range(2):
            await client.send(post("/v1/completions", json.dumps(body).encode()))
            received = b""
            async with asyncio.timeout(60):
                while b"[DONE]" not in received:
                    received += await client.reader.read(1 << 16)
            await asyncio.sleep(2 * LIMITS.receive_seconds)
    assert await metric(server.http, "http_requests_total") == before + 3
