"""`/v1/models`."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel


class Capacity(AnswerModel):
    """What fits: as many requests at once as there are slots, while their contexts, counted in whole pages, fit in the
    KV cache beside every slot's rings."""

    slots: int = Field(examples=[256])
    """How many requests run at once, at most."""
    kv_cache_bytes: int = Field(examples=[117929148416])
    """All memory for keys and values: the rings of every slot, and the pages."""
    kv_token_bytes: int = Field(examples=[24576])
    """What a token of context takes in the layers that attend to everything."""
    kv_ring_bytes: int = Field(examples=[3145728])
    """What a request takes in the sliding layers: their rings, the same for every length."""
    page_tokens: int = Field(examples=[16])
    """Tokens of a page, the unit in which a context's memory grows."""
    weights_bytes: int = Field(examples=[13958643712])
    """What the weights take."""


class Model(AnswerModel):
    """A name of the checkpoint served."""

    id: str = Field(examples=["embedded"])
    """What a request calls it."""
    object: Literal["model"] = Field(default="model", examples=["model"])
    """The kind of this object."""
    created: int = Field(examples=[1764000000])
    """When the server was started, in Unix seconds."""
    type: Literal["model"] = Field(default="model", examples=["model"])
    """The kind of this object, as Anthropic's clients read it."""
    display_name: str = Field(examples=["embedded"])
    """Its name, as they read it."""
    created_at: str = Field(examples=["2025-11-24T16:00:00Z"])
    """When the server was started, as they read it."""
    owned_by: str = Field(default="carousel", examples=["carousel"])
    """Who serves it."""
    root: str = Field(examples=["embedded"])
    """The first name of the checkpoint, where it has several."""
    max_model_len: int | None = Field(examples=[131072, None])
    """The longest context in tokens, prompt and answer together; null until the engine is ready."""
    capacity: Capacity | None
    """What fits in its memory; null until the engine is ready."""


class ModelList(AnswerModel):
    """Every name that requests may use."""

    object: Literal["list"] = Field(default="list", examples=["list"])
    """The kind of this object."""
    data: list[Model]
    """The names."""
    has_more: Literal[False] = Field(default=False, examples=[False])
    """Always false: these are all, for Anthropic's clients."""
    first_id: str = Field(examples=["embedded"])
    """The first name, for them."""
    last_id: str = Field(examples=["embedded"])
    """The last one, for them."""
