"""API keys: if there are any, every path but those of probes and of the page requires one."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.errors import ConfigError
from server.error_answers import refuse
from server.errors import KeyRefusedError
from server.page import FILES

PROBED = frozenset({"/health", "/ping", "/ready"})
"""Paths for probes, which have no key and do not know the server's name."""
OPEN = PROBED | FILES.keys()
"""Paths without a key: a browser that loads the page has none yet; the user types it there."""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Keys:
    """The accepted keys, each of one client, stored as digests; without any the server is open to everybody."""

    _digests: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, keys: Iterable[str]) -> "Keys":
        """The distinct keys. Raises ConfigError for a key that no client could send."""
        distinct = list(dict.fromkeys(keys))
        for number, key in enumerate(distinct, start=1):
            if not (key.isascii() and key.isprintable() and key.split() == [key]):
                raise ConfigError(f"API key {number} must be printable ASCII without spaces, and not empty")
        return cls(tuple(_digest(key.encode()) for key in distinct))

    def __len__(self) -> int:
        return len(self._digests)

    def number(self, headers: Headers) -> int:
        """The number, from 1, of the key in headers of OpenAI's or Anthropic's clients; 0 if the server has no keys.
        Takes the same time for every wrong key.

        Raises KeyRefusedError for no key, or a wrong one.
        """
        if not self:
            return 0
        headers = list(headers)
        for digest in map(_digest, (shown_as_bearer(headers), shown_as_key(headers))):
            matches = [hmac.compare_digest(digest, known) for known in self._digests]
            if any(matches):
                return matches.index(True) + 1
        raise KeyRefusedError(
            "no API key, or a wrong one: send the header Authorization: Bearer KEY, or x-api-key: KEY"
        )


def shown_as_bearer(headers: Headers) -> bytes:
    """The key of a single header `Authorization: Bearer KEY`; empty if there is none, or several.

    >>> shown_as_bearer([(b"authorization", b"Bearer a")]), shown_as_bearer([(b"authorization", b"Basic a")])
    (b'a', b'')
    """
    shown = [value for name, value in headers if name == b"authorization"]
    scheme, _, key = (shown[0] if len(shown) == 1 else b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def shown_as_key(headers: Headers) -> bytes:
    """The key of a single header `x-api-key: KEY`; empty if there is none, or several."""
    shown = [value for name, value in headers if name == b"x-api-key"]
    return shown[0].strip() if len(shown) == 1 else b""


def check_variable(value: str | None) -> None:
    """Checks CAROUSEL_API_KEY. Raises ConfigError if it is blank, which would open the server to everybody."""
    if value is not None and value.isspace():
        raise ConfigError("CAROUSEL_API_KEY is blank: set a key, or unset it to require none")


def read_keys(path: Path) -> list[str]:
    """The keys in a file, one per line; skips empty lines and those that begin with #. Raises ConfigError."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the API keys in {path}: {error}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path} contains no API key")
    return keys


class KeyMiddleware:
    """Plain ASGI: requires a key for all paths but the `OPEN` ones; `state.key` is the number of the request's key."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not self._keys or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            scope["state"]["key"] = self._keys.number(scope["headers"])
        except KeyRefusedError as error:
            await refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
