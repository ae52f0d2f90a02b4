"""The operator's settings for the HTTP side."""

import math
from dataclasses import dataclass, field
from datetime import date

from engine.errors import ConfigError
from server.auth import Keys
from server.connection import ConnectionLimits
from server.hosts import instead_of, is_host, is_loopback, is_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """`served_model_names` are the model's names for requests; the first one is the default.

    `keys` are the accepted API keys; without any the server is open. `allowed_hosts` are host names to accept besides
    `host`, `allowed_origins` sites whose pages may use the server. `current_date` (YYYY-MM-DD) fixes the date in the
    system message.

    `request_seconds` is the time limit from a request's arrival to the end of its answer, `drain_seconds` the time that
    running ones have once the server is told to stop. `max_body_bytes` bounds a request's body, `max_bodies_bytes` all
    bodies together, `stored_responses_bytes` the answers that are kept, `limits` a connection. `ping_seconds` is how
    long a stream may be silent before a comment is sent. `ignore_hosted_tools` leaves hosted tools out of requests
    instead of refusing these. Raises ConfigError.
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
    ignore_hosted_tools: bool = False
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
                raise ConfigError(f"--allowed-host must be a name alone, got {host!r}: give {instead_of(host)}")
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
        """Names that the Host header of a request may have."""
        return (self.host, *self.allowed_hosts)

    @property
    def open_to_others(self) -> bool:
        """Whether other machines can use the server without a key."""
        return not self.keys and not is_loopback(self.host)
