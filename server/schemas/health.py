"""`/health` and `/ping`, `/ready` and `/version`."""

from typing import Literal

from pydantic import Field

from engine.streams import Phase
from server.schemas.answer import AnswerModel


class Health(AnswerModel):
    """The server is alive."""

    status: Literal["ok"] = Field(default="ok", examples=["ok"])
    """Always ok: a server that is not ok does not answer."""


class Readiness(AnswerModel):
    """The state of the engine."""

    status: Phase = Field(examples=["ready"])
    """The phase: the engine generates only while it is ready."""
    progress: float = Field(examples=[1.0])
    """The fraction of the weights that is loaded, in [0, 1]."""
    message: str = Field(examples=["ready"])
    """What the engine is doing, or why it does not generate, in one line."""


class Version(AnswerModel):
    """The version of Carousel."""

    version: str = Field(examples=["0.1.0"])
    """The version of the server and its engine."""
