"""The state that every route receives."""

from dataclasses import dataclass, field
from time import time
from typing import Annotated

from fastapi import Depends, Request

from engine.errors import EngineNotReadyError
from engine.streams import EngineClient, EngineInfo
from server.admission import Admission
from server.background import Background
from server.body_memory import BodyMemory
from server.config import ServerConfig
from server.errors import UnknownModelError
from server.hosted_tools import HostedTools
from server.metrics import Metrics
from server.response_store import ResponseStore
from server.text import Text


@dataclass(frozen=True, slots=True)
class ServerState:
    """The engine and who may use it, the text side of its checkpoint, the configuration, the metrics, the answers that
    are kept, what is done about tools that the server does not run.

    `system_fingerprint` names the weights and the engine's version. `started` is in Unix seconds.
    """

    engine: EngineClient
    text: Text
    settings: ServerConfig
    metrics: Metrics
    admission: Admission
    bodies: BodyMemory
    responses: ResponseStore
    hosted_tools: HostedTools
    system_fingerprint: str
    background: Background = field(default_factory=Background)
    started: int = field(default_factory=lambda: int(time()))

    @property
    def info(self) -> EngineInfo | None:
        """The engine's limits, as its memory plan sets them; None until it is ready."""
        try:
            return self.engine.info
        except EngineNotReadyError:
            return None

    def model_name(self, asked: str | None) -> str:
        """The model's name for the answer: the requested one, or the default. Raises UnknownModelError."""
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
