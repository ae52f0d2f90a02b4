"""What the operator chose for the HTTP side."""

from dataclasses import dataclass
from datetime import date

from engine.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """`served_model_names` are the names requests may use, the first one is the default.

    `current_date` (YYYY-MM-DD) pins the date in the system message. `max_body_bytes` bounds a request's body.
    `ping_seconds` is how long a stream may be silent before a comment is sent. Raises ConfigError.
    """

    served_model_names: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    current_date: str | None = None
    max_body_bytes: int = 16 * 2**20
    ping_seconds: float = 15.0

    def __post_init__(self) -> None:
        if not self.served_model_names or not all(self.served_model_names):
            raise ConfigError("--served-model-name must not be empty")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be in [0, 65535], got {self.port}")
        if self.current_date is not None:
            try:
                date.fromisoformat(self.current_date)
            except ValueError as error:
                raise ConfigError(f"--current-date must be YYYY-MM-DD, got {self.current_date!r}") from error
