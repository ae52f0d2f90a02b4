"""The fields that all requests for answers share."""

from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_LOGIT_BIAS, MAX_STOP_LENGTH, MAX_STOP_STRINGS
from server.schemas.request import Forgotten, Many, RequestModel, expects, only
from server.schemas.structured import StructuredOutputs

MAX_CHOICES = 16
MAX_PRIORITY = 2**31 - 1
MAX_COUNT = 2**31 - 1
STOP_STRING: dict[str, JsonValue] = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_LENGTH}

Stop = Annotated[str | Many[str], expects("a string or a list of strings")]


class SamplingFields(RequestModel):
    """`engine.request.SamplingParams` checks ranges. Ranges in `json_schema_extra` only document them."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the served model; by default the first."""
    temperature: float = Field(default=1.0, examples=[0.7], json_schema_extra={"minimum": 0, "maximum": 2})
    """Divides the logits; 0 always picks the likeliest token. A checkpoint may have another default."""
    top_p: float = Field(default=1.0, examples=[0.95], json_schema_extra={"exclusiveMinimum": 0, "maximum": 1})
    """Samples from the likeliest tokens that together have this probability. A checkpoint may have another default."""
    top_k: int = Field(default=0, examples=[50], json_schema_extra={"minimum": -1, "maximum": MAX_COUNT})
    """Samples from so many of the likeliest tokens; 0 and -1 mean all. A checkpoint may have another default."""
    min_p: float = Field(default=0.0, examples=[0.05], json_schema_extra={"minimum": 0, "maximum": 1})
    """Samples from tokens with at least this fraction of the top probability. A checkpoint may have another default."""
    seed: int | None = Field(default=None, examples=[7], json_schema_extra={"minimum": -(2**63), "maximum": 2**64 - 1})
    """Makes an answer repeatable; each choice of a prompt gets its own seed, derived from this one."""
    stop: Stop = Field(
        default_factory=list,
        examples=["\n\n", ["END", "Q:"]],
        json_schema_extra={
            "anyOf": [STOP_STRING, {"type": "array", "items": STOP_STRING, "maxItems": MAX_STOP_STRINGS}]
        },
    )
    """Strings that end the answer; the answer does not include them. A chat's reasoning is not searched for them."""
    stop_token_ids: Many[int] = Field(
        default_factory=list,
        examples=[[200002]],
        json_schema_extra={"items": {"type": "integer", "minimum": 0}, "maxItems": MAX_LOGIT_BIAS},
    )
    """Tokens that end the answer."""
    ignore_eos: bool = Field(default=False, examples=[False])
    """Continues where the model would end the answer; for benchmarks."""
    min_tokens: int = Field(default=0, examples=[0], json_schema_extra={"minimum": 0, "maximum": MAX_COUNT})
    """Only `max_tokens` and `stop` end the answer before so many tokens."""
    logit_bias: dict[str, float] = Field(
        default_factory=dict,
        examples=[{"1734": -100}],
        json_schema_extra={
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
            "propertyNames": {"pattern": "^[0-9]{1,20}$"},
            "maxProperties": MAX_LOGIT_BIAS,
        },
    )
    """Values to add to the logits of tokens, by token id; -100 bans a token."""
    presence_penalty: float = Field(default=0.0, examples=[0.5], json_schema_extra={"minimum": -2, "maximum": 2})
    """Subtracted from the logit of each token that the answer already has."""
    frequency_penalty: float = Field(default=0.0, examples=[0.5], json_schema_extra={"minimum": -2, "maximum": 2})
    """Subtracted from a token's logit once for each time that the answer already has the token."""
    repetition_penalty: float = Field(default=1.0, examples=[1.1], json_schema_extra={"minimum": 0.01, "maximum": 10})
    """Divides the logits of tokens in the prompt or the answer, and multiplies negative ones. A checkpoint may have
    another default."""
    stream: bool = Field(default=False, examples=[False])
    """Sends the answer while it is generated, as server-sent events."""
    timeout: float | None = Field(default=None, gt=0, examples=[30.0])
    """Time limit for the answer in seconds, queueing included; by default the server's limit, which is the maximum."""
    priority: int = Field(default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, examples=[0])
    """Among requests of the same API key, lower numbers are served first."""
    structured_outputs: StructuredOutputs | None = Field(default=None, examples=[{"choice": ["yes", "no"]}])
    """The format of the answer; in a chat, of the final message."""
    cache_salt: str = Field(default="", max_length=1024, examples=["tenant-1"])
    """Cached prefixes are shared only among requests of the same API key with the same salt."""

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _is_not_too_long(cls, value: Any) -> Any:
        """Checks the number of entries before each is validated."""
        if isinstance(value, dict) and len(value) > MAX_LOGIT_BIAS:
            raise PydanticCustomError("too_long", "at most {most} are allowed", {"most": MAX_LOGIT_BIAS})
        return value

    user: str | None = Field(default=None, examples=["user-1"])
    """Changes nothing here."""
    metadata: Forgotten = Field(default=None, examples=[{"purpose": "test"}])
    """Changes nothing here."""
    service_tier: str | None = Field(default=None, examples=["auto"])
    """Changes nothing here."""
    safety_identifier: str | None = Field(default=None, examples=["user-1"])
    """Changes nothing here."""
    prompt_cache_key: str | None = Field(default=None, examples=["session-1"])
    """Changes nothing here."""
    prompt_cache_retention: str | None = Field(default=None, examples=["24h"])
    """Changes nothing here."""
    prompt_cache_options: Forgotten = Field(default=None, examples=[{"mode": "implicit"}])
    """Changes nothing here."""


class StreamOptions(RequestModel):
    """What a stream reports besides the answer."""

    include_usage: bool = Field(default=False, examples=[True])
    """Adds a last chunk, without choices, that reports usage."""
    continuous_usage_stats: bool = Field(default=False, examples=[False])
    """Reports the usage so far in every chunk; needs `include_usage`."""
    include_obfuscation: bool = Field(default=False, examples=[False])
    """Changes nothing here."""


class ChoiceFields(SamplingFields):
    """The further fields of completions and chats."""

    max_tokens: int | None = Field(default=None, examples=[64], json_schema_extra={"minimum": 0, "maximum": MAX_COUNT})
    """The longest answer in tokens, reasoning included. By default 16 in a completion; a chat may fill the context."""
    n: int = Field(default=1, ge=1, le=MAX_CHOICES, examples=[1])
    """How many answers to give for each prompt."""
    stream_options: StreamOptions | None = Field(default=None, examples=[None])
    """What a stream reports besides the answer; needs `stream`."""
    include_stop_str_in_output: bool = Field(default=False, examples=[False])
    """Includes what ended the answer in its text: the stop string, or the token, if it has a text."""
    return_tokens_as_token_ids: bool = Field(default=False, examples=[False])
    """Names the tokens of log-probabilities `token_id:ID`, since several tokens can have the same text."""
    return_token_ids: bool = Field(default=False, examples=[False])
    """Returns the ids of the prompt's tokens and of all generated ones, including the reasoning, the markup and the
    token that ended the answer. A stream has the prompt's once, and in each chunk those since the last chunk."""
    store: bool | None = Field(default=None, examples=[False])
    """Changes nothing here: these answers are not kept."""
    spaces_between_special_tokens: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: there are no spaces between special tokens."""
    use_beam_search: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    length_penalty: Annotated[Any, only(1, 1.0)] = Field(default=None, examples=[1.0])
    """Not supported: refused unless 1."""
    typical_p: Annotated[Any, only(1, 1.0)] = Field(default=None, examples=[1.0])
    """Not supported: refused unless 1."""
    bad_words: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""
    add_special_tokens: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: these tokenizers add no special tokens to a text."""
    cache_prompt: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: prompts are cached automatically."""

    @field_validator("stream_options")
    @classmethod
    def _needs_stream(cls, value: StreamOptions, info: ValidationInfo) -> StreamOptions:
        if not info.data.get("stream"):
            raise PydanticCustomError("stream_options", "only allowed when stream is true")
        return value
