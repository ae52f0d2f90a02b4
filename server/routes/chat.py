"""POST /v1/chat/completions"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from server.body import json_body
from server.openapi import GENERATION_ERRORS, errors, streams, takes
from server.routes.answering import WEATHER, answer, chat_answer, chat_prompt, identity
from server.schemas.chat import ChatRequest
from server.schemas.chat_answer import ChatChunk, ChatCompletion
from server.state import State
from server.translate.own_terms import in_own_terms

router = APIRouter(tags=["Generation"])

HELLO = {"role": "user", "content": "Who are you?"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "question": {"messages": [HELLO], "max_completion_tokens": 64},
    "stream": {"messages": [HELLO], "stream": True, "stream_options": {"include_usage": True}},
    "tools": {
        "messages": [{"role": "user", "content": "How is the weather in Paris?"}],
        "tools": [
            {
                "type": "function",
                "function": WEATHER,
            }
        ],
    },
    "json": {"messages": [HELLO], "response_format": {"type": "json_object"}},
}
EVENT = (
    '{"id":"chatcmpl-5e0b6a1c","object":"chat.completion.chunk","created":1764000000,"model":"embedded",'
    '"system_fingerprint":"carousel-0.1.0-3f9a2c71",'
    '"choices":[{"index":0,"delta":{"content":"I am"},"logprobs":null,"finish_reason":null}]}'
)


@router.post(
    "/v1/chat/completions",
    summary="Answer a conversation",
    response_model=None,
    openapi_extra=takes(ChatRequest, **EXAMPLES),
    responses={**streams(ChatCompletion, [ChatChunk], EVENT), **errors(*GENERATION_ERRORS)},
)
async def create_chat_completion(
    request: Request, state: State, body: Annotated[ChatRequest, Depends(json_body(ChatRequest))]
) -> Response:
    model = state.model_name(body.model)
    names = {"prompt": "messages"}
    if body.max_completion_tokens is not None:
        names["max_tokens"] = "max_completion_tokens"
    with in_own_terms(names):
        prompt = await chat_prompt(body, state)
        chat = await chat_answer(body, prompt, identity("chatcmpl-", model, state), state)
        return await answer(request, state, chat, stream=body.stream, seconds=body.timeout)
