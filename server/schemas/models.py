"""`/v1/models`."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel


class Model(AnswerModel):
    """A name of the checkpoint served."""

    id: str = Field(examples=["embedded"])
    """What a request calls it."""
    object: Literal["model"] = Field(default="model", examples=["model"])
    """The kind of this object."""
    created: int = Field(examples=[1764000000])
    """When the server was started, in Unix seconds."""
    owned_by: str = Field(default="carousel", examples=["carousel"])
    """Who serves it."""
    root: str = Field(examples=["embedded"])
    """The first name of the checkpoint, where it has several."""
    max_model_len: int | None = Field(examples=[131072, None])
    """The longest context in tokens, prompt and answer together; null until the engine is ready."""


class ModelList(AnswerModel):
    """Every name that requests may use."""

    object: Literal["list"] = Field(default="list", examples=["list"])
    """The kind of this object."""
    data: list[Model]
    """The names."""
