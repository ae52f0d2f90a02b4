"""Clients that leave, in whatever phase their requests are, or give them all one name: nobody else notices."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from engine.config import EngineConfig
from engine.request import Request, SamplingParams, TokenEvent
from tests.faults.aftermath import Aftermath, metric, until_free
from tests.faults.asking import COMPLETIONS, ask, body, stream
from tests.faults.real_server import DELAYS, FAULTS, RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDLESS = body("an endless secret", 900)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    async with real_server(replace(tiny_model, max_num_batched_tokens=16, faults=FAULTS)) as server:
        yield server


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.005)


@pytest.mark.fault(25)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("phase", ["queued", "prefill", "decode"])
async def test_leaving_frees_the_request(server: RealServer, aftermath: Aftermath, phase: str, streamed: bool) -> None:
    """Long before it would have ended by itself."""
    aftermath.secrets.append("secret")
    http = server.http
    before = await metric(http, "step_tokens_sum")
    crowd = [asyncio.create_task(ask(http, ENDLESS)) for _ in range(4 if phase == "queued" else 0)]
    await until(lambda: is_at(http, "requests_running", len(crowd)))
    asked = (body(DELAYS * 900) if phase == "prefill" else body("a secret wish", 900)) | {"stream": streamed}
    leaving = asyncio.create_task(http.post(COMPLETIONS, json=asked))
    await until(lambda: is_at(http, "requests_waiting" if phase == "queued" else "requests_running", 1))
    if phase == "decode":
        begun = await metric(http, "step_tokens_sum")
        await until(lambda: is_above(http, "step_tokens_sum", begun + 5))
    leaving.cancel()
    if phase == "queued":
        await until(lambda: is_at(http, "requests_waiting", 0))
        assert await metric(http, "requests_running") == len(crowd)
        for one in crowd:
            one.cancel()
    await until_free(http)
    assert await metric(http, "step_tokens_sum") - before < 900 * (1 + len(crowd))


async def is_at(http: httpx.AsyncClient, name: str, value: int) -> bool:
    return await metric(http, name) == value


async def is_above(http: httpx.AsyncClient, name: str, value: float) -> bool:
    return await metric(http, name) > value


@pytest.mark.fault(25)
async def test_a_prefill_ends_two_steps_after_its_client(server: RealServer, aftermath: Aftermath) -> None:
    """Its steps are slow, and there would be more than fifty of them. One may end between looking and leaving."""
    leaving = asyncio.create_task(ask(server.http, body(DELAYS * 900)))
    await until(lambda: is_at(server.http, "requests_running", 1))
    before = await metric(server.http, "step_tokens_count")
    leaving.cancel()
    await until_free(server.http)
    assert await metric(server.http, "step_tokens_count") - before <= 3


@pytest.mark.fault(25)
async def test_leaving_before_the_last_chunk(server: RealServer, aftermath: Aftermath) -> None:
    whole = await stream(server.http, body("nearly there", 6))
    for chunks in range(1, len(whole.tokens) + 1):
        asked = body("nearly there", 6) | {"stream": True}
        async with server.http.stream("POST", COMPLETIONS, json=asked) as response:
            lines = aiter(response.aiter_lines())
            for _ in range(2 * chunks - 1):
                await anext(lines)
    assert await stream(server.http, body("nearly there", 6)) == whole


@pytest.mark.fault(26)
async def test_leaving_while_the_request_is_added(server: RealServer, aftermath: Aftermath) -> None:
    """The connection is closed from 0 to 20 ms after the last byte was sent."""
    aftermath.secrets.append("secret")
    neighbour = asyncio.create_task(ask(server.http, body("a secret neighbour", 100)))
    content = json.dumps(ENDLESS | {"n": 3}).encode()
    where = urlsplit(server.url)
    head = (
        f"POST {COMPLETIONS} HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    for i in range(20):
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(head.encode() + content)
        await writer.drain()
        await asyncio.sleep(i / 1000)
        writer.close()
        await writer.wait_closed()
    assert (await neighbour).finish_reason == "length"
    assert await neighbour == await ask(server.http, body("a secret neighbour", 100))


@pytest.mark.fault(29)
async def test_aborted_twice_or_as_it_ends(server: RealServer, aftermath: Aftermath) -> None:
    """After an abort nothing more is seen of a request; if it ended before, it ended once."""
    engine, length = server.engine, 6
    sampling = SamplingParams(max_tokens=length, temperature=0.0, ignore_eos=True)
    for aborted_after in range(1, length + 1):
        names = [f"{name}-{aborted_after}" for name in ("aborted", "other")]
        events: list[TokenEvent] = []
        requests = [Request(id=name, prompt_token_ids=(65, 66), sampling=sampling) for name in names]
        async with engine.submit(requests) as events_of_both, asyncio.timeout(30):
            async for event in events_of_both:
                events.append(event)
                if sum(event.request_id == names[0] for event in events) == aborted_after:
                    events_of_both.abort(names[0])
                    events_of_both.abort(names[0])
        ends = [event.request_id for event in events if event.finish_reason is not None]
        assert ends == ([names[1]] if aborted_after < length else names)
        assert sum(event.request_id == names[0] for event in events) == aborted_after
        assert engine.in_flight == 0


@pytest.mark.fault(30)
async def test_requests_with_one_id_are_distinct_inside(server: RealServer, aftermath: Aftermath) -> None:
    aftermath.secrets.append("twins are told apart")
    bodies = [body(f"twins are told apart {i}", 20) for i in range(4)]

    async def named(asked: dict, request_id: str) -> tuple[str, list[str]]:
        response = await server.http.post(COMPLETIONS, json=asked, headers={"x-request-id": request_id})
        assert (response.status_code, response.headers["x-request-id"]) == (200, request_id)
        (choice,) = response.json()["choices"]
        return response.json()["id"], choice["logprobs"]["tokens"]

    alone = [await named(asked, f"own-{i}") for i, asked in enumerate(bodies)]
    together = await asyncio.gather(*(named(asked, "the-same") for asked in bodies))
    assert [tokens for _, tokens in together] == [tokens for _, tokens in alone]
    assert len({name for name, _ in together}) == len(bodies)
