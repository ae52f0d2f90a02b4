"""`/v1/completions`: the request, and the answer, whole or as a chunk of a stream."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_TOP_LOGPROBS
from server.schemas.request import expects, only
from server.schemas.sampling import MAX_CHOICES, SamplingFields
from server.schemas.usage import Usage

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128

Prompt = Annotated[
    str | list[int] | Annotated[list[str] | list[list[int]], Field(max_length=MAX_PROMPTS)],
    expects(f"a string, a list of token ids, or a list of at most {MAX_PROMPTS} of either"),
]


class CompletionRequest(SamplingFields):
    """Of `best_of` candidates the `n` with the highest mean log-probability per token are the answer."""

    prompt: Prompt
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    suffix: Annotated[Any, only("")] = None

    @field_validator("best_of")
    @classmethod
    def _has_room(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("n", 1):
            raise PydanticCustomError("best_of", "must be at least n")
        if value > 1 and info.data.get("stream"):
            raise PydanticCustomError("best_of", "not allowed when stream is true")
        return value

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompt as a batch, even if it is one."""
        if isinstance(self.prompt, str) or not self.prompt or isinstance(self.prompt[0], int):
            return [cast(str | list[int], self.prompt)]
        return list(cast(list[str | list[int]], self.prompt))


class CompletionLogprobs(BaseModel):
    """One entry per token. `text_offset` counts characters from the start of the choice's text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: str | None
    stop_reason: str | int | None = None


class Completion(BaseModel):
    """Only the fields that were set are sent."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
