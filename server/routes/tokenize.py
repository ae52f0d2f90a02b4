"""POST /tokenize, POST /detokenize"""

from typing import Annotated

from fastapi import APIRouter, Depends

from engine.errors import RequestError
from server.body import json_body
from server.schemas.tokenize import DetokenizedText, DetokenizeRequest, TokenizeRequest, Tokens
from server.state import State
from server.translate.chat import conversation

router = APIRouter()


@router.post("/tokenize")
async def tokenize(state: State, body: Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))]) -> Tokens:
    state.model_name(body.model)
    if body.messages is None:
        tokens = await state.text.encode(body.prompt or "")
    else:
        current_date = state.settings.current_date
        tokens = await state.text.render(conversation(body.messages, current_date=current_date))
    return Tokens(tokens=tokens, count=len(tokens), max_model_len=state.max_model_len)


@router.post("/detokenize")
async def detokenize(
    state: State, body: Annotated[DetokenizeRequest, Depends(json_body(DetokenizeRequest))]
) -> DetokenizedText:
    state.model_name(body.model)
    tokenizer = state.text.tokenizer
    for token_id in body.tokens:
        if not 0 <= token_id < tokenizer.vocab_size:
            raise RequestError(f"tokens: {token_id} is not in the vocabulary", param="tokens")
    return DetokenizedText(prompt=tokenizer.decode(body.tokens))
