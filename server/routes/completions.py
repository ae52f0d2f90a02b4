"""POST /v1/completions"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from server.body import json_body
from server.routes.answering import answer, identity
from server.schemas.completions import CompletionRequest
from server.state import State
from server.translate.completions import CompletionAnswer

router = APIRouter()


@router.post("/v1/completions")
async def create_completion(
    request: Request, state: State, body: Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]
) -> Response:
    model = state.model_name(body.model)
    prompts = [await state.text.encode(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompts]
    completion = CompletionAnswer(identity("cmpl", model, state), body, prompts, state.text.tokenizer)
    return await answer(request, state, completion, stream=body.stream)
