"""A request in the engine's terms: token ids and sampling parameters in, token events out.

Plain frozen data without torch, so that the same classes cross the pipe between processes.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import astuple

from engine.errors import ContextLengthError, RequestError

MAX_TOP_LOGPROBS = 20
MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 1024
MAX_LOGIT_BIAS = 1024
MAX_GRAMMAR_LENGTH = 2**18
SEED_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen, and when to stop.

    `max_tokens=None` means up to the end of the context; 0 reads the prompt and writes nothing (to score it).
    `temperature=0` is greedy. `top_k=0`, `top_p=1`, `min_p=0` switch a filter off. `logprobs=n` reports each
    sampled token with the n most likely ones (0: the sampled token alone); `prompt_logprobs` does the same for
    every prompt position. `stop` strings are matched outside the engine, on text. `grammar` is a Lark grammar (in
    llguidance's dialect) that the whole answer follows; build it with `engine.prompt.grammar`.

    Raises RequestError, naming the parameter, for a value out of range.
    """

    max_tokens: int | None = None
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    grammar: str | None = None

    @property
    def penalised(self) -> bool:
        """Whether a token's chance depends on the tokens before it."""
        return self.presence_penalty != 0 or self.frequency_penalty != 0 or self.repetition_penalty != 1

    def __post_init__(self) -> None:
        in_range("max_tokens", self.max_tokens, 0, 2**31 - 1)
        in_range("min_tokens", self.min_tokens, 0, 2**31 - 1)
        in_range("temperature", self.temperature, 0.0, 2.0)
        in_range("top_p", self.top_p, 0.0, 1.0, open_below=True)
        in_range("top_k", self.top_k, 0, 2**31 - 1)
        in_range("min_p", self.min_p, 0.0, 1.0)
        in_range("seed", self.seed, -(2 ** (SEED_BITS - 1)), 2**SEED_BITS - 1)
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        in_range("repetition_penalty", self.repetition_penalty, 0.01, 10.0)
        in_range("logprobs", self.logprobs, 0, MAX_TOP_LOGPROBS)
        in_range("prompt_logprobs", self.prompt_logprobs, 0, MAX_TOP_LOGPROBS)
        at_most("logit_bias", len(self.logit_bias), MAX_LOGIT_BIAS)
        for token_id, bias in self.logit_bias.items():
            in_range("logit_bias", token_id, 0, 2**31 - 1)
            in_range("logit_bias", bias, -100.0, 100.0)
        if isinstance(self.stop, str):
            raise RequestError("stop must be several strings, not one", param="stop")
        at_most("stop", len(self.stop), MAX_STOP_STRINGS)
        for text in self.stop:
            if not text:
                raise RequestError("stop strings must not be empty", param="stop")
            if len(text) > MAX_STOP_LENGTH:
                raise RequestError(f"a stop string is longer than {MAX_STOP_LENGTH} characters", param="stop")
        at_most("stop_token_ids", len(self.stop_token_ids), MAX_LOGIT_BIAS)
        for token_id in self.stop_token_ids:
            in_range("stop_token_ids", token_id, 0, 2**31 - 1)
        if self.grammar is not None and len(self.grammar) > MAX_GRAMMAR_LENGTH:
            raise RequestError(f"the grammar is longer than {MAX_GRAMMAR_LENGTH} characters", param="grammar")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise RequestError(
                f"min_tokens ({self.min_tokens}) is greater than max_tokens ({self.max_tokens})",
                param="min_tokens",
            )


def in_range(param: str, value: float | None, low: float, high: float, *, open_below: bool = False) -> None:
    """Raises RequestError unless `value` is None or a finite number within [low, high] ((low, high] if open)."""
    if value is None:
        return
    high_enough = value > low if open_below else value >= low
    if not (high_enough and value <= high):  # NaN is never in range.
        bracket = "(" if open_below else "["
        raise RequestError(f"{param} must be in {bracket}{low}, {high}], got {value}", param=param)


def at_most(param: str, count: int, limit: int) -> None:
    """Raises RequestError if a list parameter has more than `limit` entries."""
    if count > limit:
        raise RequestError(f"{param} has {count} entries, at most {limit} are allowed", param=param)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One sequence to generate. `id` is unique while it runs.

    Clients take turns, whatever they ask for (the server chooses the `client` number); within one client, requests with
    a lower `priority` are served first. Prompts of the same client and `cache_salt` reuse each other's computed
    prefixes; `instructions` is how many of the prompt's first tokens other prompts are likely to share.
    """

    id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    priority: int = 0
    client: int = 0
    cache_salt: str = ""
    instructions: int = 0


class FinishReason(StrEnum):
    """Why a sequence ended. ERROR comes with a message in the event."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


class TokenLogprob(Struct, frozen=True):
    """One position: the token there with its natural-log probability, and the most likely tokens, best first.

    The probabilities are the model's own: before temperature, penalties and filters.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class TokenEvent(Struct, frozen=True, kw_only=True, eq=False, omit_defaults=True):
    """One step's result for one request.

    `token_ids` are new tokens in order, a stop token included. `logprobs` has one entry per new token if asked
    for. `prompt_logprobs` comes once, with the event that ends the prompt: one entry per prompt token, the first
    None. The last event of a request, and only it, has a `finish_reason`. `stop_token_id` is the token that
    stopped it, if one did. The first event has `queue_seconds`: how long the request waited for its turn, and
    `cached_tokens`: how many tokens of its prompt were already computed.
    """

    request_id: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    finish_reason: FinishReason | None = None
    stop_token_id: int | None = None
    error: str | None = None
    queue_seconds: float | None = None
    cached_tokens: int = 0

    def __eq__(self, other: object) -> bool:
        """Ignores `queue_seconds` and `cached_tokens`, which are not part of the answer."""
        return isinstance(other, TokenEvent) and astuple(self)[:-2] == astuple(other)[:-2]


def resolve_max_tokens(prompt_tokens: int, max_tokens: int | None, max_model_len: int) -> int:
    """How many tokens a request may write, given its prompt's length and the context's.

    Every token that is read needs a position; the last one written is never read, so a prompt exactly as long as
    the context still gets one token. With `max_tokens=None`, the answer ends with the context.

    Raises RequestError for an empty prompt, ContextLengthError (with the numbers) if they cannot fit.

    >>> resolve_max_tokens(100, None, 128), resolve_max_tokens(128, None, 128), resolve_max_tokens(128, 1, 128)
    (28, 1, 1)
    """
    if prompt_tokens == 0:
        raise RequestError("the prompt is empty", param="prompt")
    if prompt_tokens > max_model_len:
        raise ContextLengthError(
            f"this model's maximum context length is {max_model_len} tokens; the prompt has {prompt_tokens}",
            param="prompt",
        )
    if max_tokens is None:
        return max(1, max_model_len - prompt_tokens)
    if prompt_tokens + max_tokens - 1 > max_model_len:
        raise ContextLengthError(
            f"this model's maximum context length is {max_model_len} tokens; the prompt has {prompt_tokens} "
            f"and max_tokens asks for {max_tokens} more",
            param="max_tokens",
        )
    return max_tokens
