"""POST /v1/chat/completions"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from engine.errors import RequestError
from server.body import json_body
from server.routes.answering import answer, identity
from server.schemas.chat import ChatRequest
from server.state import State
from server.translate.chat import ChatAnswer, conversation

router = APIRouter()


@router.post("/v1/chat/completions")
async def create_chat_completion(
    request: Request, state: State, body: Annotated[ChatRequest, Depends(json_body(ChatRequest))]
) -> Response:
    model = state.model_name(body.model)
    prompt = await state.text.render(
        conversation(
            body.messages,
            reasoning_effort=body.reasoning_effort,
            current_date=body.current_date or state.settings.current_date,
        )
    )
    chat = ChatAnswer(identity("chatcmpl", model, state), body, prompt, state.text.tokenizer)
    try:
        return await answer(request, state, chat, stream=body.stream)
    except RequestError as error:
        if error.param == "prompt":
            error.param = "messages"
        raise
