"""Requests that offer to go on in another protocol, as Java's HttpClient does: answered as if they did not."""

import asyncio
import json

import pytest

from server.connection import MAX_PIPELINED, ConnectionLimits
from tests.faults.raw_client import post, raw_client, refusal_in
from tests.server.scripted_engine import ScriptedEngine

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA")
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
BODY = json.dumps({"prompt": "hi"}).encode()
PLAIN = post("/v1/completions", BODY)
HEAD = len(post("/v1/completions", b"", *H2C)) + 1  # A content-length of two digits.
CHUNKED = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED += "\r\n".join(["Transfer-Encoding: chunked", *H2C, "", ""]).encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (
    len(BODY),
    BODY,
)


async def exchange(url: str, *packets: bytes, answers: int = 1) -> bytes:
    """So many answers to what is sent in packets that are read one by one."""
    async with raw_client(url) as client:
        for packet in packets:
            await client.send(packet)
            await asyncio.sleep(0.02)
        received = b""
        async with asyncio.timeout(30):
            while received.count(b'"usage"') < answers:
                piece = await client.reader.read(1 << 16)
                assert piece, received
                received += piece
        return received


def packets(request: bytes, *ends: int) -> list[bytes]:
    return [request[begin:end] for begin, end in zip((0, *ends), (*ends, None), strict=True)]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET])
@pytest.mark.parametrize("ends", [(), (HEAD,), (HEAD + 4,), (30,), (30, 90, HEAD - 2, HEAD, HEAD + 4)])
async def test_the_body_is_the_request_s(
    url: str, engine: ScriptedEngine, offer: tuple[str, ...], ends: tuple[int, ...]
) -> None:
    """In the packet of the head, in a later one, with the head or the body in several."""
    answer = await exchange(url, *packets(post("/v1/completions", BODY, *offer), *ends))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"upgrade" not in answer.lower()
    assert [request.prompt_token_ids for request in engine.submitted] == [tuple(b"hi")]


async def test_a_chunked_body_too(url: str, engine: ScriptedEngine) -> None:
    answer = await exchange(url, *packets(CHUNKED, len(CHUNKED) - 20, len(CHUNKED) - 7))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [request.prompt_token_ids for request in engine.submitted] == [tuple(b"hi")]


async def test_the_connection_goes_on(url: str, engine: ScriptedEngine) -> None:
    """With requests that wait for each other, with and without the offer."""
    requests = [post("/v1/completions", BODY, *H2C), PLAIN, post("/v1/completions", BODY, *WEBSOCKET), CHUNKED]
    for sent in ([b"".join(requests)], requests):
        received = await exchange(url, *sent, answers=len(requests))
        assert received.count(b"HTTP/1.1 200 ") == len(requests)
    assert len(engine.submitted) == 2 * len(requests)


async def test_an_offer_to_a_request_without_a_body(url: str) -> None:
    async with raw_client(url) as client:
        get = "\r\n".join(["GET /health HTTP/1.1", "Host: localhost", *H2C, "", ""])
        await client.send(get.encode() + get.replace("Upgrade,", "close,").encode())
        received = await client.read_to_end()
    assert received.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("in_one", [True, False])
async def test_headers_are_bounded_as_ever(url: str, in_one: bool) -> None:
    limit = ConnectionLimits().header_bytes
    request = post("/v1/completions", BODY, *H2C[:2], f"HTTP2-Settings: {'a' * limit}")
    async with raw_client(url) as client:
        for packet in [request] if in_one else packets(request, 1000, 50_000):
            await client.send(packet)
            await asyncio.sleep(0.02)
        assert (await client.refusal())[0] == 431


async def test_so_are_the_requests_that_wait(url: str) -> None:
    async with raw_client(url) as client:
        await client.send(post("/v1/completions", BODY, *H2C) * (MAX_PIPELINED + 2))
        status, error = refusal_in(await client.read_to_end())
    assert (status, error["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("target", ["/", "a:443", "http://a/"])
async def test_what_asks_a_proxy_is_refused(url: str, target: str) -> None:
    async with raw_client(url) as client:
        await client.send("\r\n".join([f"CONNECT {target} HTTP/1.1", "Host: a", *H2C, "", ""]).encode())
        status, error = await client.refusal()
    assert (status, error["code"]) == (400, "malformed_request")
