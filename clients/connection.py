"""How a server is reached: through the proxy that the environment names, over sockets that notice a lost connection."""

import socket
from typing import TypedDict
from urllib.request import getproxies, proxy_bypass

import httpx

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32)
LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts without a proxy, whatever the environment says: no other machine can reach this machine's local addresses."""

PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""The system sends a probe after 60 s of silence, then every 10 s; after 6 probes without a reply the connection is
lost. So a read, which has no timeout, ends after two minutes. TCP_KEEPALIVE is macOS's name for TCP_KEEPIDLE."""

KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in PROBES.items() if hasattr(socket, name)),
]


class Settings(TypedDict):
    """Arguments of httpx's transports, blocking and asyncio."""

    limits: httpx.Limits
    proxy: str | None
    socket_options: list[tuple[int, int, int]]


def settings(url: str) -> Settings:
    """Sockets to a proxy keep the system's options: httpx does not pass `socket_options` on to them."""
    return {"limits": LIMITS, "proxy": proxy_for(httpx.URL(url)), "socket_options": KEEPALIVE}


def proxy_for(url: httpx.URL) -> str | None:
    """The proxy by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or by the system's settings: httpx reads them only
    for transports that it makes itself."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or url.host in LOCAL or any(map(proxy_bypass, (url.host, url.netloc.decode()))):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
