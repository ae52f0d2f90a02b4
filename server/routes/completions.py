"""POST /v1/completions"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from server.body import json_body
from server.openapi import GENERATION_ERRORS, errors, streams, takes
from server.routes.answering import answer, identity
from server.schemas.completions import Completion, CompletionRequest
from server.state import ServerState, State
from server.translate.completions import CompletionAnswer
from server.translate.constraints import completion_constraint
from server.translate.requests import with_defaults

router = APIRouter(tags=["Generation"])

EXAMPLES: dict[str, dict[str, Any]] = {
    "text": {"prompt": "Once upon a time", "max_tokens": 32, "seed": 7},
    "batch": {"prompt": ["The cat", "One day"], "max_tokens": 16, "stop": ["\n"]},
    "scores": {"prompt": "Once upon a time", "max_tokens": 0, "echo": True, "logprobs": 1},
    "stream": {"prompt": "Once upon a time", "stream": True},
}
EVENT = (
    '{"id":"cmpl-5e0b6a1c","object":"text_completion","created":1764000000,"model":"embedded",'
    '"system_fingerprint":"carousel-0.1.0-3f9a2c71",'
    '"choices":[{"index":0,"text":" there was","logprobs":null,"finish_reason":null}]}'
)


@router.post(
    "/v1/completions",
    summary="Continue a text",
    response_model=None,
    openapi_extra=takes(CompletionRequest, **EXAMPLES),
    responses={**streams(Completion, [Completion], EVENT), **errors(*GENERATION_ERRORS)},
)
async def create_completion(
    request: Request, state: State, body: Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]
) -> Response:
    model = state.model_name(body.model)
    body = with_defaults(body, state.text.sampling_defaults)
    prompts = last_tokens(await state.text.encode_all(body.prompts), body, state)
    constraint = completion_constraint(body.structured_outputs)
    grammar = None if constraint is None else await constraint.checked(state.text)
    completion = CompletionAnswer(identity("cmpl-", model, state), body, prompts, state.text.tokenizer, grammar)
    return await answer(request, state, completion, stream=body.stream, seconds=body.timeout)


def last_tokens(prompts: list[list[int]], body: CompletionRequest, state: ServerState) -> list[list[int]]:
    """The prompts, cut to their last tokens if the request asks for it."""
    kept = body.truncate_prompt_tokens
    if kept == -1:
        answer_read = max(0, body.longest_answer - 1)  # Its last token is never read.
        kept = max(1, state.engine.info.max_model_len - answer_read)
    return prompts if kept is None else [prompt[-kept:] for prompt in prompts]
