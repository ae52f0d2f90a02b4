"""What is sent again, how often, and after how long."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

import clients.errors
import clients.retries
from clients.client import AsyncCarousel, Carousel
from clients.errors import BusyError, ServerFailedError, TimedOutError, UnreachableError, seconds_of
from clients.retries import NO_RETRIES, Retries

BUSY = BusyError("full", status=429)
AT_ONCE = Retries(count=3, first_seconds=0.001)
ANSWER = {"id": "1", "model": "m", "choices": [], "usage": {"prompt_tokens": 1}}


def test_pauses_grow_and_are_drawn() -> None:
    retries = Retries(count=9, first_seconds=1.0, longest_seconds=5.0)
    for failures, ceiling in enumerate([1.0, 2.0, 4.0, 5.0, 5.0], 1):
        pauses = [retries.pause(BUSY, failures) for _ in range(50)]
        assert all(ceiling / 2 <= pause <= ceiling for pause in pauses)
        assert len(set(pauses)) > 1
    assert retries.pause(BUSY, 9) is not None
    assert retries.pause(BUSY, 10) is None
    assert 2.5 <= Retries(count=5000, longest_seconds=5.0).pause(BUSY, 5000) <= 5.0


def test_retry_after_is_waited_for() -> None:
    retries = Retries(patience_seconds=20.0)
    pause = retries.pause(BusyError("full", status=503, retry_after=7.0), 1)
    assert 7.0 < pause < 8.0
    assert retries.pause(BusyError("full", status=503, retry_after=21.0), 1) is None


def test_only_what_was_not_begun_is_sent_again() -> None:
    retries = Retries()
    assert retries.pause(UnreachableError("nobody"), 1) is not None
    assert retries.pause(TimedOutError("slow"), 1) is None
    assert retries.pause(ServerFailedError("broken", status=500), 1) is None
    assert NO_RETRIES.pause(BUSY, 1) is None


def test_no_date_to_retry_after() -> None:
    assert seconds_of(f"Wed, 21 Oct 2015 07:28:00 +{'9' * 20}") is None


def test_a_date_to_retry_after() -> None:
    then = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < seconds_of(format_datetime(then, usegmt=True)) <= 100


class Server:
    """Fails as often as told, then answers; a failure is a status or an exception."""

    def __init__(self, *failures: int | type[httpx.HTTPError]) -> None:
        self.failures = list(failures)
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        failure = self.failures.pop(0) if self.failures else 200
        if not isinstance(failure, int):
            raise failure("")
        return httpx.Response(failure, json=ANSWER)


Ask = Callable[[Server, Retries], Awaitable[Any]]


async def ask_sync(server: Server, retries: Retries) -> Any:
    with Carousel(retries=retries, transport=httpx.MockTransport(server)) as client:
        return client.complete("hi")


async def ask_async(server: Server, retries: Retries) -> Any:
    async with AsyncCarousel(retries=retries, transport=httpx.MockTransport(server)) as client:
        return await client.complete("hi")


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
async def test_it_comes_through(ask: Ask) -> None:
    server = Server(429, 503, httpx.ConnectError)
    assert (await ask(server, AT_ONCE)).id == "1"
    assert server.asked == 4


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
@pytest.mark.parametrize(
    ("failure", "error", "asked"),
    [
        (429, BusyError, 4),
        (500, ServerFailedError, 1),
        (httpx.ConnectError, UnreachableError, 4),
        (httpx.ReadTimeout, TimedOutError, 1),
        (httpx.RemoteProtocolError, clients.errors.ConnectionFailedError, 1),
    ],
)
async def test_it_is_given_up(ask: Ask, failure: Any, error: type[Exception], asked: int) -> None:
    server = Server(*[failure] * 9)
    with pytest.raises(error):
        await ask(server, AT_ONCE)
    assert server.asked == asked
