"""The fields that all requests for answers have in common."""

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
    """Ranges are checked where `engine.request.SamplingParams` is made, and only told of here, unless a field has
    them itself.
    """

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the model served; the first one, if not given."""
    temperature: float = Field(default=1.0, examples=[0.7], json_schema_extra={"minimum": 0, "maximum": 2})
    """Divides the logits; 0 always takes the likeliest token. A checkpoint may have another default."""
    top_p: float = Field(default=1.0, examples=[0.95], json_schema_extra={"exclusiveMinimum": 0, "maximum": 1})
    """Draws from the likeliest tokens that together have this probability. A checkpoint may have another default."""
    top_k: int = Field(default=0, examples=[50], json_schema_extra={"minimum": -1, "maximum": MAX_COUNT})
    """Draws from so many of the likeliest tokens; 0 and -1: from all. A checkpoint may have another default."""
    min_p: float = Field(default=0.0, examples=[0.05], json_schema_extra={"minimum": 0, "maximum": 1})
    """Draws from tokens at least this probable beside the likeliest one. A checkpoint may have another default."""
    seed: int | None = Field(default=None, examples=[7], json_schema_extra={"minimum": -(2**63), "maximum": 2**64 - 1})
    """Makes an answer repeatable; the choices of a prompt have seeds of their own, made from it."""
    stop: Stop = Field(
        default_factory=list,
        examples=["\n\n", ["END", "Q:"]],
        json_schema_extra={
            "anyOf": [STOP_STRING, {"type": "array", "items": STOP_STRING, "maxItems": MAX_STOP_STRINGS}]
        },
    )
    """Ends the answer before any of these strings. In a chat the reasoning is not searched for them."""
    stop_token_ids: Many[int] = Field(
        default_factory=list,
        examples=[[200002]],
        json_schema_extra={"items": {"type": "integer", "minimum": 0}, "maxItems": MAX_LOGIT_BIAS},
    )
    """Ends the answer at any of these tokens."""
    ignore_eos: bool = Field(default=False, examples=[False])
    """Goes on where the model would end; for measuring."""
    min_tokens: int = Field(default=0, examples=[0], json_schema_extra={"minimum": 0, "maximum": MAX_COUNT})
    """Nothing ends the answer before so many tokens but `max_tokens` and `stop`."""
    logit_bias: dict[str, float] = Field(
        default_factory=dict,
        examples=[{"1734": -100}],
        json_schema_extra={
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
            "propertyNames": {"pattern": "^[0-9]{1,20}$"},
            "maxProperties": MAX_LOGIT_BIAS,
        },
    )
    """Added to the logits of tokens, by their ids; -100 bans a token."""
    presence_penalty: float = Field(default=0.0, examples=[0.5], json_schema_extra={"minimum": -2, "maximum": 2})
    """Taken off the logit of each token that is in the answer already."""
    frequency_penalty: float = Field(default=0.0, examples=[0.5], json_schema_extra={"minimum": -2, "maximum": 2})
    """Taken off a token's logit as many times as it is in the answer already."""
    repetition_penalty: float = Field(default=1.0, examples=[1.1], json_schema_extra={"minimum": 0.01, "maximum": 10})
    """Divides the logits (multiplies the negative ones) of tokens in the prompt or the answer. A checkpoint may have
    another default."""
    stream: bool = Field(default=False, examples=[False])
    """Sends the answer as it is made, as server-sent events."""
    timeout: float | None = Field(default=None, gt=0, examples=[30.0])
    """Seconds until the answer must be complete, waiting included; the default is the most the server allows."""
    priority: int = Field(default=0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, examples=[0])
    """Of the requests of one API key, a lower number is served earlier."""
    structured_outputs: StructuredOutputs | None = Field(default=None, examples=[{"choice": ["yes", "no"]}])
    """What the answer must look like; of a chat's answer the final message."""
    cache_salt: str = Field(default="", max_length=1024, examples=["tenant-1"])
    """What was computed of a prompt serves only requests of the same API key with the same salt."""

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _is_not_too_long(cls, value: Any) -> Any:
        """Before each is looked at."""
        if isinstance(value, dict) and len(value) > MAX_LOGIT_BIAS:
            raise PydanticCustomError("too_long", "at most {most} are allowed", {"most": MAX_LOGIT_BIAS})
        return value

    # These change no answer here.
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
    """`continuous_usage_stats` puts the counts so far on every chunk; it needs `include_usage`."""

    include_usage: bool = Field(default=False, examples=[True])
    """A last chunk, of no choices, reports usage."""
    continuous_usage_stats: bool = Field(default=False, examples=[False])
    """Every chunk reports the usage so far; needs `include_usage`."""
    include_obfuscation: bool = Field(default=False, examples=[False])
    """Changes nothing here."""


class ChoiceFields(SamplingFields):
    """What completions and chats have beyond that: several answers to a prompt, and chunks that can report usage."""

    max_tokens: int | None = Field(default=None, examples=[64], json_schema_extra={"minimum": 0, "maximum": MAX_COUNT})
    """The longest answer in tokens, reasoning included. A completion's default is 16, a chat may fill the context."""
    n: int = Field(default=1, ge=1, le=MAX_CHOICES, examples=[1])
    """How many answers to give to each prompt."""
    stream_options: StreamOptions | None = Field(default=None, examples=[None])
    """What a stream reports beside the answer; needs `stream`."""
    include_stop_str_in_output: bool = Field(default=False, examples=[False])
    """Shows what ended the answer, too: the stop string, or the token, if it has a text."""
    return_tokens_as_token_ids: bool = Field(default=False, examples=[False])
    """Calls the tokens of log-probabilities `token_id:ID`: several have the same text."""
    return_token_ids: bool = Field(default=False, examples=[False])
    """Gives the ids of the prompt's tokens and of all generated ones: also those of the reasoning, of the format, and
    the one that ended it. In a stream the prompt's come once, and each chunk has those since the last one."""
    store: bool | None = Field(default=None, examples=[False])
    """Changes nothing here: no answer is kept."""
    spaces_between_special_tokens: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: these vocabularies put none between tokens."""
    use_beam_search: Annotated[Any, only(False)] = Field(default=None, examples=[False])
    """Not supported: refused unless false."""
    length_penalty: Annotated[Any, only(1, 1.0)] = Field(default=None, examples=[1.0])
    """Not supported: refused unless 1."""
    typical_p: Annotated[Any, only(1, 1.0)] = Field(default=None, examples=[1.0])
    """Not supported: refused unless 1."""
    bad_words: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""
    add_special_tokens: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: these vocabularies put none around a text."""
    cache_prompt: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: what was computed of a prompt is kept by itself."""

    @field_validator("stream_options")
    @classmethod
    def _needs_stream(cls, value: StreamOptions, info: ValidationInfo) -> StreamOptions:
        if not info.data.get("stream"):
            raise PydanticCustomError("stream_options", "only allowed when stream is true")
        return value
