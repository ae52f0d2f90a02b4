"""From the fields of a request to the engine's requests, one per prompt and choice."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from engine.errors import RequestError
from engine.request import MAX_LOGIT_BIAS, SEED_BITS, Request, SamplingParams, at_most
from server.schemas.sampling import ChoiceFields, SamplingFields

Body = TypeVar("Body", bound=SamplingFields)

TOKEN_ID = re.compile(r"-?[0-9]{1,20}")


def with_defaults(body: Body, defaults: Mapping[str, float | int]) -> Body:
    """The request, with the checkpoint's defaults in the sampling fields that it leaves out."""
    return body.model_copy(
        update={name: value for name, value in defaults.items() if name not in body.model_fields_set}
    )


def engine_requests(
    response_id: str,
    prompts: Sequence[Sequence[int]],
    fields: ChoiceFields,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    prompt_logprobs: int | None = None,
    grammar: str | None = None,
    choices: int | None = None,
    instructions: int = 0,
) -> list[Request]:
    """One request per prompt and choice (n by default), prompt by prompt, named `ID-PROMPT-CHOICE`.

    With a seed, each choice of a prompt has its own seed; the first has the given one. `instructions` is how many
    tokens of instructions the prompts begin with. Raises RequestError.
    """
    samplings = [
        sampling_params(
            fields,
            choice,
            max_tokens=max_tokens,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            grammar=grammar,
        )
        for choice in range(choices or fields.n)
    ]
    return [
        Request(
            id=f"{response_id}-{at}-{choice}",
            prompt_token_ids=prompt,
            sampling=sampling,
            priority=fields.priority,
            cache_salt=fields.cache_salt,
            instructions=instructions,
        )
        for at, prompt in enumerate(map(tuple, prompts))
        for choice, sampling in enumerate(samplings)
    ]


def sampling_params(
    fields: SamplingFields,
    choice: int,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    prompt_logprobs: int | None,
    grammar: str | None,
) -> SamplingParams:
    """The sampling parameters of a choice. Raises RequestError for a value out of range."""
    return SamplingParams(
        max_tokens=max_tokens,
        min_tokens=fields.min_tokens,
        temperature=fields.temperature,
        top_p=fields.top_p,
        top_k=0 if fields.top_k == -1 else fields.top_k,
        min_p=fields.min_p,
        seed=None if fields.seed is None else nth_seed(fields.seed, choice),
        presence_penalty=fields.presence_penalty,
        frequency_penalty=fields.frequency_penalty,
        repetition_penalty=fields.repetition_penalty,
        logit_bias=logit_bias(fields.logit_bias),
        stop=(fields.stop,) if isinstance(fields.stop, str) else tuple(fields.stop),
        stop_token_ids=tuple(fields.stop_token_ids),
        ignore_eos=fields.ignore_eos,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        grammar=grammar,
    )


def nth_seed(seed: int, choice: int) -> int:
    """`seed + choice`, wrapped to 0 after the largest seed.

    >>> nth_seed(-1, 2), nth_seed(2**64 - 1, 0), nth_seed(2**64 - 1, 2)
    (1, 18446744073709551615, 1)
    """
    wraps = seed < 2**SEED_BITS <= seed + choice
    return seed + choice - (2**SEED_BITS if wraps else 0)


def logit_bias(biases: dict[str, float]) -> dict[int, float]:
    """The biases by token id: JSON's keys are strings. Raises RequestError for a key that is not a number."""
    at_most("logit_bias", len(biases), MAX_LOGIT_BIAS)
    for key in biases:
        if not TOKEN_ID.fullmatch(key):
            raise RequestError(f"logit_bias: {key[:40]!r} is not a token id", param="logit_bias")
    return {int(key): bias for key, bias in biases.items()}
