"""Whether a request can be served at all: checked before it is accepted, without the model."""

from collections.abc import Sequence
from dataclasses import replace

from engine.errors import RequestError
from engine.request import Request, resolve_max_tokens


def admit(requests: Sequence[Request], vocab_size: int, max_model_len: int) -> list[Request]:
    """The requests with their `max_tokens` settled. A prompt that several requests share is checked once.

    Raises RequestError for token ids outside the vocabulary, ContextLengthError if the context is exceeded.
    """
    for prompt in {id(request.prompt_token_ids): request.prompt_token_ids for request in requests}.values():
        check_token_ids("prompt", prompt, vocab_size)
    admitted = []
    for request in requests:
        sampling = request.sampling
        check_token_ids("stop_token_ids", sampling.stop_token_ids, vocab_size)
        check_token_ids("logit_bias", tuple(sampling.logit_bias), vocab_size)
        max_tokens = resolve_max_tokens(len(request.prompt_token_ids), sampling.max_tokens, max_model_len)
        admitted.append(replace(request, sampling=replace(sampling, max_tokens=max_tokens)))
    return admitted


def check_token_ids(param: str, token_ids: Sequence[int], vocab_size: int) -> None:
    if not token_ids:
        return
    least, most = min(token_ids), max(token_ids)
    if least < 0 or most >= vocab_size:
        worst = most if most >= vocab_size else least
        raise RequestError(f"{param}: token id {worst} is not in the vocabulary of {vocab_size}", param=param)
