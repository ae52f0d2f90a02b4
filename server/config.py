"""What the operator chose for the HTTP side."""

import math
import re
from dataclasses import dataclass, field
from datetime import date
from ipaddress import ip_address
from urllib.parse import urlsplit

from engine.errors import ConfigError
from server.auth import Keys
from server.connection import ConnectionLimits

HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """`served_model_names` are the names requests may use, the first one is the default.

    `keys` open the server, without any it is open; `allowed_hosts` are names it goes by beside `host`,
    `allowed_origins` sites whose pages may ask it. `current_date` (YYYY-MM-DD) pins the date in the system message.

    `request_seconds` is what a request has from its arrival to the end of its answer, `drain_seconds` what running ones
    still have when the server is told to stop. `max_body_bytes` bounds a request's body, `max_bodies_bytes` those of
    all requests together, `stored_responses_bytes` the answers that are kept, `limits` a connection. `ping_seconds` is
    how long a stream may be silent before a comment is sent. Raises ConfigError.
    """

    served_model_names: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    keys: Keys = field(default_factory=Keys)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    current_date: str | None = None
    request_seconds: float = 3600.0
    drain_seconds: float = 10.0
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    max_bodies_bytes: int = 256 * 2**20
    max_body_bytes: int = 16 * 2**20
    stored_responses_bytes: int = 64 * 2**20
    ping_seconds: float = 15.0

    def __post_init__(self) -> None:
        if not self.served_model_names or not all(self.served_model_names):
            raise ConfigError("--served-model-name must not be empty")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be in [0, 65535], got {self.port}")
        if not (math.isfinite(self.request_seconds) and self.request_seconds > 0):
            raise ConfigError(f"--request-timeout must be a number of seconds above 0, got {self.request_seconds}")
        if not (math.isfinite(self.drain_seconds) and self.drain_seconds >= 0):
            raise ConfigError(f"--drain-timeout must be a number of seconds from 0, got {self.drain_seconds}")
        for host in self.allowed_hosts:
            if not is_host(host):
                raise ConfigError(f"--allowed-host must be a name alone, got {host!r}: give {name_in(host)}")
        for origin in self.allowed_origins:
            if not is_origin(origin):
                raise ConfigError(f"--allowed-origin must be like https://example.com, got {origin!r}")
        if self.current_date is not None:
            try:
                date.fromisoformat(self.current_date)
            except ValueError as error:
                raise ConfigError(f"--current-date must be YYYY-MM-DD, got {self.current_date!r}") from error

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names that a request's Host header may have."""
        return (self.host, *self.allowed_hosts)

    @property
    def open_to_others(self) -> bool:
        """Whether other machines reach it, and need no key."""
        return not self.keys and not is_loopback(self.host)


def is_address(host: str) -> bool:
    """Whether it is no name.

    >>> [is_address(host) for host in ("::", "0.0.0.0", "box")]
    [True, True, False]
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Whether a Host header may have this beside its port: a name or an address.

    >>> [is_host(text) for text in ("gpu1.corp.example", "::1", "*", "gpu1:8000", "https://gpu1", ".corp.example")]
    [True, True, False, False, False, False]
    """
    return is_address(text) or HOST_NAME.fullmatch(text) is not None


def name_in(text: str) -> str:
    """In words, what to give instead of what is no name.

    >>> name_in("gpu1:8000"), name_in("https://gpu1.corp.example/v1")
    ("'gpu1', without a scheme, port or path", "'gpu1.corp.example', without a scheme, port or path")
    >>> name_in("*"), name_in(".corp.example")
    ('each name by itself, there are no wildcards', 'each name by itself, there are no wildcards')
    """
    try:
        name = urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        name = ""
    return (
        f"{name!r}, without a scheme, port or path" if is_host(name) else "each name by itself, there are no wildcards"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "box")]
    [True, True, True, False, False]
    """
    return ip_address(host).is_loopback if is_address(host) else host == "localhost"


def is_origin(text: str) -> bool:
    """Whether this is what browsers send as Origin: a scheme and a host, perhaps a port, nothing more.

    >>> is_origin("https://example.com:8443"), is_origin("*"), is_origin("https://example.com/")
    (True, False, False)
    """
    parts = urlsplit(text)
    return text == f"{parts.scheme}://{parts.netloc}" and bool(parts.scheme and parts.hostname)
