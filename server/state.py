"""What every route is given."""

from dataclasses import dataclass, field
from time import time
from typing import Annotated

from fastapi import Depends, Request

from engine.streams import EngineClient
from server.config import ServerConfig
from server.errors import UnknownModelError
from server.text import Text


@dataclass(frozen=True, slots=True)
class ServerState:
    """The engine, the text side of its checkpoint, the configuration. `started` is in Unix seconds."""

    engine: EngineClient
    text: Text
    settings: ServerConfig
    started: int = field(default_factory=lambda: int(time()))

    def model_name(self, asked: str | None) -> str:
        """The name to answer under. Raises UnknownModelError."""
        names = self.settings.served_model_names
        if asked is None:
            return names[0]
        if asked not in names:
            served = ", ".join(names)
            raise UnknownModelError(f"the model {asked[:200]!r} does not exist; served here: {served}", param="model")
        return asked


def _server_state(request: Request) -> ServerState:
    state: ServerState = request.app.state.server
    return state


State = Annotated[ServerState, Depends(_server_state)]
