"""POST /v1/completions"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from server.body import json_body
from server.routes.answering import answer, identity
from server.schemas.completions import CompletionRequest
from server.state import State
from server.translate.completions import CompletionAnswer
from server.translate.constraints import completion_constraint

router = APIRouter()


@router.post("/v1/completions")
async def create_completion(
    request: Request, state: State, body: Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]
) -> Response:
    model = state.model_name(body.model)
    prompts = [await state.text.encode(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompts]
    constraint = completion_constraint(body.structured_outputs)
    if constraint is not None:
        await constraint.check(state.text)
    grammar = None if constraint is None else constraint.grammar
    completion = CompletionAnswer(identity("cmpl", model, state), body, prompts, state.text.tokenizer, grammar)
    return await answer(request, state, completion, stream=body.stream)
