"""`/v1/models`."""

from typing import Literal

from pydantic import Field

from server.schemas.answer import AnswerModel


class Capacity(AnswerModel):
    """What fits: as many requests at once as there are slots, as long as their contexts, counted in whole pages, fit in
    the KV cache beside the rings of all slots."""

    slots: int = Field(examples=[256])
    """The most requests that run at once."""
    kv_cache_bytes: int = Field(examples=[117929148416])
    """All memory for keys and values: the rings of all slots, and the pages."""
    kv_token_bytes: int = Field(examples=[24576])
    """Memory for a token of context in the layers with full attention."""
    kv_ring_bytes: int = Field(examples=[3145728])
    """Memory for the rings of a request in the sliding layers, the same for every length."""
    page_tokens: int = Field(examples=[16])
    """Tokens per page, the unit in which a context's memory grows."""
    weights_bytes: int = Field(examples=[13958643712])
    """Memory for the weights."""


class Model(AnswerModel):
    """A name of the served checkpoint."""

    id: str = Field(examples=["embedded"])
    """The model's name in requests."""
    object: Literal["model"] = Field(default="model", examples=["model"])
    """The kind of this object."""
    created: int = Field(examples=[1764000000])
    """When the server was started, in Unix seconds."""
    type: Literal["model"] = Field(default="model", examples=["model"])
    """The kind of this object, for Anthropic's clients."""
    display_name: str = Field(examples=["embedded"])
    """The model's name, for Anthropic's clients."""
    created_at: str = Field(examples=["2025-11-24T16:00:00Z"])
    """When the server was started, for Anthropic's clients."""
    owned_by: str = Field(default="carousel", examples=["carousel"])
    """The owner of the model: always carousel."""
    root: str = Field(examples=["embedded"])
    """The checkpoint's first name."""
    max_model_len: int | None = Field(examples=[131072, None])
    """The longest context in tokens, prompt and answer together; null until the engine is ready."""
    capacity: Capacity | None
    """What fits in memory; null until the engine is ready."""


class ModelList(AnswerModel):
    """The names of the served checkpoint."""

    object: Literal["list"] = Field(default="list", examples=["list"])
    """The kind of this object."""
    data: list[Model]
    """The names."""
    has_more: Literal[False] = Field(default=False, examples=[False])
    """Always false, for Anthropic's clients: the list is complete."""
    first_id: str = Field(examples=["embedded"])
    """The first name, for Anthropic's clients."""
    last_id: str = Field(examples=["embedded"])
    """The last name, for Anthropic's clients."""
