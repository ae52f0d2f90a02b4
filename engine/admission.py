"""Whether a request can be served at all: checked before anything is promised, without the model."""

from dataclasses import replace

from engine.errors import RequestError
from engine.request import Request, resolve_max_tokens


def admit(request: Request, vocab_size: int, max_model_len: int) -> Request:
    """The request with its `max_tokens` settled.

    Raises RequestError for token ids outside the vocabulary, ContextLengthError for what exceeds the context.
    """
    sampling = request.sampling
    for param, token_ids in (
        ("prompt", request.prompt_token_ids),
        ("stop_token_ids", sampling.stop_token_ids),
        ("logit_bias", tuple(sampling.logit_bias)),
    ):
        if token_ids and not (min(token_ids) >= 0 and max(token_ids) < vocab_size):
            worst = max(token_ids) if max(token_ids) >= vocab_size else min(token_ids)
            raise RequestError(f"{param}: token id {worst} is not in the vocabulary of {vocab_size}", param=param)
    max_tokens = resolve_max_tokens(len(request.prompt_token_ids), sampling.max_tokens, max_model_len)
    return replace(request, sampling=replace(sampling, max_tokens=max_tokens))
