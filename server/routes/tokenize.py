"""POST /tokenize, POST /detokenize"""

from typing import Annotated

from fastapi import APIRouter, Depends

from server.body import json_body
from server.openapi import BODY_ERRORS, errors, takes
from server.routes.answering import chat_prompt
from server.schemas.chat import ChatRequest
from server.schemas.tokenize import DetokenizedText, DetokenizeRequest, TokenizeRequest, Tokens
from server.schemas.validation import validated
from server.state import State

router = APIRouter(tags=["Tokens"])

OF_CHATS = ("messages", "tools", "reasoning_effort", "current_date")
"""The fields that a chat's prompt is made from."""


@router.post(
    "/tokenize",
    summary="The token ids of a text or a conversation",
    openapi_extra=takes(
        TokenizeRequest,
        text={"prompt": "Once upon a time"},
        conversation={"messages": [{"role": "user", "content": "Who are you?"}]},
    ),
    responses=errors(*BODY_ERRORS),
)
async def tokenize(state: State, body: Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))]) -> Tokens:
    state.model_name(body.model)
    if body.messages is None:
        tokens = await state.text.encode(body.prompt or "")
    else:
        tokens = await chat_prompt(validated(ChatRequest, {name: getattr(body, name) for name in OF_CHATS}), state)
    longest = None if state.info is None else state.info.max_model_len
    texts = await state.text.token_texts(tokens) if body.return_token_strs else None
    return Tokens(tokens=tokens, count=len(tokens), max_model_len=longest, token_strs=texts)


@router.post(
    "/detokenize",
    summary="The text of token ids",
    openapi_extra=takes(DetokenizeRequest, tokens={"tokens": [72, 105]}),
    responses=errors(*BODY_ERRORS),
)
async def detokenize(
    state: State, body: Annotated[DetokenizeRequest, Depends(json_body(DetokenizeRequest))]
) -> DetokenizedText:
    state.model_name(body.model)
    return DetokenizedText(prompt=await state.text.decode(body.tokens))
