"""The accepted host names, and the sites whose pages may use the server: no page may use a browser as a proxy."""

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
    """Whether a Host header matches this server: an address, localhost, a name that no public site can have (like
    host.docker.internal), or one of `names`.

    If a page's own name is made to resolve to this machine, the header still has that name, and is refused.

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
    """The machine's name, and its name on the local network (RFC 6762), if they are valid. DNS is not asked: it can be
    slow, and its answer would decide which name is accepted."""
    name = socket.gethostname()
    return tuple(filter(is_host, (name, f"{name.partition('.')[0]}.local")))


class OriginMiddleware:
    """Plain ASGI: refuses requests from pages of other sites, unless the site is in `allowed`.

    For the server's own pages the Origin matches the request's Host.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(origin.lower() for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._may_ask(Headers(scope=scope)):
            message = "requests from this origin are not allowed: see --allowed-origin"
            await refuse(OriginRefusedError(message), scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may_ask(self, headers: Headers) -> bool:
        origins = {origin.lower() for origin in headers.getlist("origin")}
        own = {f"{scheme}://{headers.get('host', '').lower()}" for scheme in ("http", "https")}
        return origins <= self._allowed or (len(origins) == 1 and origins <= own)


class HostMiddleware:
    """Plain ASGI: refuses requests whose Host header does not match this server, except on the paths of probes."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in PROBED:
            await self._app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1 or not is_named(hosts[0], self._names):
            message = "the Host header does not match this server: see --allowed-host"
            await refuse(HostRefusedError(message), scope, receive, send)
            return
        await self._app(scope, receive, send)
