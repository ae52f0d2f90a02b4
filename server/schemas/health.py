"""`/health` and `/ping`, `/ready` and `/version`."""

from typing import Literal

from pydantic import Field

from engine.streams import Phase
from server.schemas.answer import AnswerModel


class Health(AnswerModel):
    """The server lives."""

    status: Literal["ok"] = Field(default="ok", examples=["ok"])
    """Always ok: a server that is not does not answer."""


class Readiness(AnswerModel):
    """Where the engine stands."""

    status: Phase = Field(examples=["ready"])
    """It generates while this is ready."""
    progress: float = Field(examples=[1.0])
    """How much of the weights is in place, in [0, 1]."""
    message: str = Field(examples=["ready"])
    """What it is at, or why it does not generate, in one line."""


class Version(AnswerModel):
    """Which Carousel this is."""

    version: str = Field(examples=["0.1.0"])
    """The version of the server and its engine."""
