"""`/v1/completions`: the request, and the answer, whole or as a chunk of a stream."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_TOP_LOGPROBS
from server.schemas.answer import AnswerModel, Finish, IdentifiedAnswer
from server.schemas.request import Many, expects, only
from server.schemas.sampling import MAX_CHOICES, MAX_COUNT, ChoiceFields
from server.schemas.usage import Usage

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128

TokenIds = Many[int]
Prompt = Annotated[
    str | TokenIds | Annotated[Many[str] | list[TokenIds], Field(max_length=MAX_PROMPTS)],
    expects(f"a string, a list of token ids, or a list of at most {MAX_PROMPTS} of either"),
]


class CompletionRequest(ChoiceFields):
    """The answer is the `n` of `best_of` candidates with the highest mean log-probability per token."""

    prompt: Prompt = Field(examples=["Once upon a time", [12430, 5304], ["The cat", "One day"]])
    """The text to continue: a string or token ids, or several of either. Special tokens in a string are plain text."""
    echo: bool = Field(default=False, examples=[False])
    """Puts the prompt before the answer; `logprobs` then covers the prompt, too."""
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS, examples=[3])
    """Reports the log-probability of each token, and so many of the likeliest tokens at its position."""
    best_of: int | None = Field(default=None, ge=1, le=MAX_CHOICES, examples=[1])
    """Candidates to generate, of which the best `n` are returned; not with `stream`."""
    skip_special_tokens: bool = Field(default=True, examples=[True])
    """Leaves special tokens out of the text. false shows a format's markup, except the token that ended the answer:
    `include_stop_str_in_output` shows that one."""
    truncate_prompt_tokens: int | None = Field(
        default=None, ge=-1, le=MAX_COUNT, examples=[1024], json_schema_extra={"not": {"const": 0}}
    )
    """Keeps only the last so many tokens of each prompt; -1 keeps as many as leave room for `max_tokens`."""
    truncation_side: Annotated[Any, only("left")] = Field(default=None, examples=["left"])
    """Not supported: refused unless left."""
    suffix: Annotated[Any, only("")] = Field(default=None, examples=[""])
    """Not supported: refused unless empty."""

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _keeps_some(cls, value: int) -> int:
        if value == 0:
            raise PydanticCustomError("truncate_prompt_tokens", "must be at least 1, or -1")
        return value

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
        """The prompts as a list, even a single one."""
        if isinstance(self.prompt, str) or not self.prompt or isinstance(self.prompt[0], int):
            return [cast(str | list[int], self.prompt)]
        return list(cast(list[str | list[int]], self.prompt))

    @property
    def longest_answer(self) -> int:
        """The longest answer in tokens."""
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens


class CompletionLogprobs(AnswerModel):
    """One entry per token."""

    tokens: list[str] = Field(examples=[["Hi", "!"]])
    """The tokens' texts; or `token_id:ID`, if requested."""
    token_logprobs: list[float | None] = Field(examples=[[-0.25, -1.5]])
    """The tokens' log-probabilities; null for the first token of a prompt."""
    top_logprobs: list[dict[str, float] | None] = Field(examples=[[{"Hi": -0.25, "Yo": -2.5}, {"!": -1.5}]])
    """The likeliest tokens at each position, named as in `tokens`."""
    text_offset: list[int] = Field(examples=[[0, 2]])
    """How many characters of the choice's text precede each token."""


class CompletionChoice(AnswerModel):
    """One answer to one prompt; in a stream, its next piece."""

    index: int = Field(examples=[0])
    """The choice's number; choices of the first prompt come first."""
    text: str = Field(examples=[" there was a cat."])
    """The text."""
    logprobs: CompletionLogprobs | None
    """Log-probabilities, if requested."""
    finish_reason: Finish | None = Field(examples=["stop"])
    """Why the answer ended: its own end or a stop (stop), or no more room (length). Null before the end of a stream."""
    stop_reason: str | int | None = Field(default=None, examples=["\n\n", None])
    """The stop string or token id that ended the answer, if one did."""
    prompt_token_ids: list[int] | None = Field(default=None, examples=[[12430, 5304, 261, 1058]])
    """The prompt's tokens, if requested; in a stream, in the choice's first chunk only."""
    token_ids: list[int] | None = Field(default=None, examples=[[1354, 673, 261, 9059]])
    """The generated tokens, if requested; in a stream, those since the choice's last chunk."""


class Completion(IdentifiedAnswer):
    """The answer to a request, or a chunk of it. Only the fields that were set are sent."""

    object: Literal["text_completion"] = Field(examples=["text_completion"])
    """The kind of this object."""
    choices: list[CompletionChoice]
    """The answers; none in a chunk that reports usage."""
    usage: Usage | None = None
    """Token counts; in a stream, only if requested."""
