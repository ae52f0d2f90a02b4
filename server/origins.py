"""Names a request may call this server by, and sites whose pages may ask it: a browser must not be anybody's proxy."""

import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.auth import PROBED
from server.error_answers import refuse
from server.errors import HostRefusedError, OriginRefusedError
from server.hosts import is_address, is_host


def is_named(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names this server: by an address, as localhost, by a name that no public site has (like
    host.docker.internal), or by one of `names`.

    A page whose own name is made to point at this machine still sends that name, and is refused.

    >>> [is_named(host, {"box"}) for host in ("127.0.0.1:8000", "[::1]", "localhost", "Box:80", "box.evil.example")]
    [True, True, True, True, False]
    >>> is_named("host.docker.internal:8000", ())
    True
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if host.rpartition("@")[0] or any(character in host for character in "/?#\\"):
        return False
    if is_address(name) or name.endswith((".localhost", ".internal")):
        return True
    return name in {"localhost", *(known.lower() for known in names)}


def own_names() -> tuple[str, ...]:
    """What this machine is called, and on its network (RFC 6762), where that can be a name. DNS is not asked: it may
    take its time, and whoever answers it would choose the name."""
    name = socket.gethostname()
    return tuple(filter(is_host, (name, f"{name.partition('.')[0]}.local")))


class OriginMiddleware:
    """Plain ASGI: refuses requests that pages of other sites make, unless the site is in `allowed`.

    A page of this server's own is known by an Origin that is the request's Host.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.lower() for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._may_ask(Headers(scope=scope)):
            message = "pages of this origin may not ask this server: see --allowed-origin"
            await refuse(OriginRefusedError(message), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may_ask(self, headers: Headers) -> bool:
        origins = {origin.lower() for origin in headers.getlist("origin")}
        own = {f"{scheme}://{headers.get('host', '').lower()}" for scheme in ("http", "https")}
        return origins <= self._allowed or (len(origins) == 1 and origins <= own)


class HostMiddleware:
    """Plain ASGI: refuses requests whose Host header is none of this server's names. The probes' paths ask nobody."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in PROBED:
            await self._app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1 or not is_named(hosts[0], self._names):
            message = "the Host header is none of this server's names: see --allowed-host"
            await refuse(HostRefusedError(message), scope, receive, send)
            return
        await self._app(scope, receive, send)
