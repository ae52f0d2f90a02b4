"""The fields that completions and chats have in common."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from server.schemas.request import RequestModel, expects
from server.schemas.structured import StructuredOutputs

MAX_CHOICES = 16
MAX_PRIORITY = 2**31 - 1

Stop = Annotated[str | list[str], expects("a string or a list of strings")]


class StreamOptions(RequestModel):
    """`continuous_usage_stats` puts the counts so far on every chunk; it needs `include_usage`."""

    include_usage: bool = False
    continuous_usage_stats: bool = False
    include_obfuscation: bool = False


class SamplingFields(RequestModel):
    """Ranges are checked where `engine.request.SamplingParams` is made, unless a field has them here."""

    model: str | None = None
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    seed: int | None = None
    stop: Stop = Field(default_factory=list)
    stop_token_ids: list[int] = Field(default_factory=list)
    ignore_eos: bool = False
    min_tokens: int = 0
    logit_bias: dict[str, float] = Field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stream: bool = False
    stream_options: StreamOptions | None = None
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    structured_outputs: StructuredOutputs | None = None

    # These change no answer here.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    cache_salt: str | None = None

    @field_validator("stream_options")
    @classmethod
    def _needs_stream(cls, value: StreamOptions, info: ValidationInfo) -> StreamOptions:
        if not info.data.get("stream"):
            raise PydanticCustomError("stream_options", "only allowed when stream is true")
        return value
