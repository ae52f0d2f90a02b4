"""Proxies of the environment are asked, and a connection that is lost without a word is noticed."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import pytest

from clients import connection
from clients.client import AsyncCarousel, Carousel
from clients.errors import UsageError
from clients.results import Model
from clients.retries import NO_RETRIES

SetProxies = Callable[..., None]
ELSEWHERE = "http://no-such-host.invalid:8000"


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> SetProxies:
    """Sets the environment's proxies, those alone."""

    def set_proxies(**values: str) -> None:
        for name in os.environ:
            if name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_proxies


@dataclass
class Proxy:
    """Answers in the place of every server, and keeps what it was asked."""

    address: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readline()).decode().strip())
        content = b'{"data": [{"id": "m"}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content))
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    async with await asyncio.start_server(proxy.answer, "127.0.0.1", 0) as server:
        proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


@pytest.mark.parametrize(("name", "prefix"), [("HTTP_PROXY", "http://"), ("all_proxy", "")])
async def test_a_proxy_is_asked(proxy: Proxy, proxies: SetProxies, name: str, prefix: str) -> None:
    proxies(**{name: prefix + proxy.address})
    async with AsyncCarousel(ELSEWHERE, retries=NO_RETRIES) as client:
        assert await client.models() == [Model(id="m")]
    with Carousel(ELSEWHERE, retries=NO_RETRIES) as other:
        assert await asyncio.to_thread(other.models) == [Model(id="m")]
    assert proxy.asked == [f"GET {ELSEWHERE}/v1/models HTTP/1.1"] * 2


@pytest.mark.parametrize(
    ("url", "no_proxy", "asked"),
    [
        ("http://host", "", "http://plain:1"),
        ("https://host", "other,hos", "http://secure:1"),
        ("http://host", "other, host", None),
        ("http://sub.host:8000", ".host", None),
        ("http://10.0.0.1:8000", "10.0.0.1:8000", None),
        ("http://10.0.0.1:8001", "10.0.0.1:8000", "http://plain:1"),
        ("http://[fd00::1]:8000", "fd00::1", None),
        ("http://host", "*", None),
        ("http://localhost:8000", "", None),
        ("http://[::1]:8000", "", None),
    ],
)
def test_which_proxy(proxies: SetProxies, url: str, no_proxy: str, asked: str | None) -> None:
    proxies(HTTP_PROXY="plain:1", HTTPS_PROXY="http://secure:1", NO_PROXY=no_proxy)
    assert connection.proxy_for(httpx.URL(url)) == asked


@pytest.mark.parametrize("address", ["http://host:none", "gopher://host"])
def test_a_proxy_that_cannot_be_one(proxies: SetProxies, address: str) -> None:
    proxies(ALL_PROXY=address)
    for client in (Carousel, AsyncCarousel):
        with pytest.raises(UsageError, match=r"a proxy .* cannot be used"):
            client("http://host")


def asks_its_peer(response: httpx.Response) -> bool:
    """Whether the system asks the other side of a silent connection, the first time after a minute."""
    of = response.extensions["network_stream"].get_extra_info("socket")
    asks = of.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    return asks and of.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the platform has another name for it")
async def test_a_lost_connection_is_noticed(url: str) -> None:
    async with AsyncCarousel(url) as client, client._http.stream("GET", "/health") as response:
        assert asks_its_peer(response)

    def blocking() -> bool:
        with Carousel(url) as client, client._http.stream("GET", "/health") as response:
            return asks_its_peer(response)

    assert await asyncio.to_thread(blocking)
