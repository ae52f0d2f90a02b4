"""Memory, places and file descriptors that somebody would like to use up."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from threading import Event

import httpx
import pytest
import pytest_asyncio

from engine.config import EngineConfig
from engine.prompt.tokenizer import Tokenizer
from tests.faults.aftermath import Aftermath
from tests.faults.raw_client import post, raw_client, refusal_in
from tests.faults.real_server import RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETIONS = "/v1/completions"
SLOTS, QUEUE = 8, 16
MOST_SENT = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    async with real_server(replace(tiny_model, max_num_seqs=SLOTS, max_waiting=QUEUE)) as server:
        yield server


async def send_a_gigabyte(server: RealServer) -> tuple[bytes, int]:
    """In chunks, until the server hangs up: its answer, and how many bytes it let be sent."""
    sent, piece = 0, b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = (
        f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    async with raw_client(server.url) as client:
        await client.send(head.encode())
        answering = asyncio.create_task(client.read_to_end())
        while sent < 2**30 and not answering.done():
            try:
                await client.send(piece)
            except ConnectionError:
                break
            sent += len(piece)
        return await answering, sent


@pytest.mark.fault(18)
async def test_a_body_of_a_gigabyte(server: RealServer, aftermath: Aftermath) -> None:
    """A reset may overtake the answer, where the client still sends as the server closes (RFC 9112, 9.6). So it is sent
    again until an answer comes through.
    """
    answers = [await send_a_gigabyte(server)]
    while len(answers) < MOST_SENT and not any(answer for answer, _ in answers):
        answers.append(await send_a_gigabyte(server))
    assert max(sent for _, sent in answers) < 2**26
    told = [refusal_in(answer) for answer, _ in answers if answer]
    assert {(status, error["code"]) for status, error in told} == {(413, "body_too_large")}
    declared = post(COMPLETIONS, b"", f"X: {0}").replace(b"Content-Length: 0", b"Content-Length: 1073741824")
    async with raw_client(server.url) as client:
        await client.send(declared)
        assert (await client.refusal())[0] == 413


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    "head",
    [
        f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 2**16}\r\n\r\n",
        f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\n" + "X: a\r\n" * 2**14 + "\r\n",
        f"GET /{'a' * 2**16} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 2**24}",
    ],
    ids=["one", "many", "path", "endless"],
)
async def test_headers_of_64_kilobytes(server: RealServer, aftermath: Aftermath, head: str) -> None:
    async with raw_client(server.url) as client:
        answering = asyncio.create_task(client.refusal())
        with suppress(ConnectionError):
            await client.send(head.encode())
        status, error = await answering
    assert (status, error["code"]) == (431, "headers_too_large")


@pytest.mark.fault(20)
async def test_500_requests_at_once(server: RealServer, aftermath: Aftermath) -> None:
    """The engine stands still until all that cannot be served have been told so."""
    aftermath.secrets.append("one of many")
    total, room = 500, SLOTS + QUEUE
    refused = asyncio.Event()
    statuses: list[int] = []

    async def ask(http: httpx.AsyncClient, number: int) -> httpx.Response:
        response = await http.post(COMPLETIONS, json={"prompt": f"one of many {number}", "max_tokens": 5})
        statuses.append(response.status_code)
        if len(statuses) == total - room:
            refused.set()
        return response

    limits = httpx.Limits(max_connections=total)
    assert server.engine.pid is not None
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=120) as http:
        os.kill(server.engine.pid, signal.SIGSTOP)
        try:
            asking = [asyncio.create_task(ask(http, number)) for number in range(total)]
            async with asyncio.timeout(60):
                await refused.wait()
        finally:
            os.kill(server.engine.pid, signal.SIGCONT)
        responses = await asyncio.gather(*asking)
    served = [response for response in responses if response.status_code == 200]
    others = [response for response in responses if response.status_code != 200]
    assert len(served) == room
    assert {response.status_code for response in others} == {429}
    assert {response.json()["error"]["code"] for response in others} == {"queue_full"}
    assert all(int(response.headers["retry-after"]) >= 1 for response in others)
    assert all(response.json()["choices"][0]["finish_reason"] in ("stop", "length") for response in served)


@pytest.mark.fault(23)
async def test_health_while_a_long_prompt_is_tokenised(
    server: RealServer, aftermath: Aftermath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for and answered again and again meanwhile: never, where tokenising holds up the loop."""
    prompt = "some words of it " * (4 * 2**20 // 17)
    aftermath.secrets.append(prompt[:40])
    encode, tokenising = Tokenizer.encode, Event()

    def watched(tokenizer: Tokenizer, text: str) -> list[int]:
        tokenising.set()
        try:
            return encode(tokenizer, text)
        finally:
            tokenising.clear()

    monkeypatch.setattr(Tokenizer, "encode", watched)
    answered = 0
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as http:
        asking = asyncio.create_task(http.post(COMPLETIONS, json={"prompt": prompt}))
        while not asking.done():
            asked = tokenising.is_set()
            assert (await server.http.get("/health")).status_code == 200
            answered += asked and tokenising.is_set()
        response = await asking
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert answered > 3


@pytest.mark.fault(18)
async def test_large_bodies_share_a_bound(server: RealServer, aftermath: Aftermath) -> None:
    """Of all that are being read at once no more is held than the server has for them."""
    bodies = server.app.state.server.bodies
    half = bodies.limit - bodies.held - 1000
    bodies.take(half)
    try:
        refused = await server.http.post(COMPLETIONS, json={"prompt": "a" * 2000})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert (await server.http.post(COMPLETIONS, json={"prompt": "a"})).status_code == 200
    finally:
        bodies.give_back(half)
    assert bodies.held == 0
