"""POST /v1/messages, POST /v1/messages/count_tokens"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from engine.errors import ContextLengthError
from server.body import json_body
from server.openapi import BODY_ERRORS, GENERATION_ERRORS, errors, streams, takes
from server.routes.answering import WEATHER, answer, as_much_as_fits, chat_answer, chat_prompt, identity
from server.schemas.anthropic_answer import AnthropicError, AnthropicMessage, CountedTokens
from server.schemas.anthropic_events import MESSAGE_EVENTS
from server.schemas.anthropic_request import AnthropicPrompt, AnthropicRequest
from server.state import ServerState, State
from server.translate.anthropic_answer import AnthropicAnswer
from server.translate.anthropic_request import OWN_NAMES, as_chat
from server.translate.own_terms import in_own_terms

router = APIRouter()

HELLO = {"role": "user", "content": "Who are you?"}
TOOL = {
    "name": WEATHER["name"], "description": WEATHER["description"], "input_schema": WEATHER["parameters"],
}  # fmt: skip
EXAMPLES: dict[str, dict[str, Any]] = {
    "question": {"messages": [HELLO], "max_tokens": 64},
    "stream": {"messages": [HELLO], "max_tokens": 64, "stream": True},
    "tools": {
        "messages": [{"role": "user", "content": "How is the weather in Paris?"}],
        "max_tokens": 256,
        "tools": [TOOL],
    },
}
EVENT = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I am"}}'


@router.post(
    "/v1/messages",
    tags=["Generation"],
    summary="Answer a conversation of blocks",
    response_model=None,
    openapi_extra=takes(AnthropicRequest, **EXAMPLES),
    responses={
        **streams(AnthropicMessage, [*MESSAGE_EVENTS, AnthropicError], EVENT, done=False),
        **errors(*GENERATION_ERRORS, body=AnthropicError),
    },
)
async def create_message(
    request: Request, state: State, body: Annotated[AnthropicRequest, Depends(json_body(AnthropicRequest))]
) -> Response:
    named = identity("msg_", state.model_name(body.model), state)
    with in_own_terms(OWN_NAMES):
        asked = as_chat(body)
        prompt = await chat_prompt(asked, state)
        check_length(prompt, state)
        chat = await chat_answer(as_much_as_fits(asked, prompt, state), prompt, named, state)
        wanted = AnthropicAnswer(named, body, chat)
        return await answer(request, state, wanted, stream=body.stream, seconds=body.timeout)


@router.post(
    "/v1/messages/count_tokens",
    tags=["Tokens"],
    summary="How long a conversation of blocks is",
    openapi_extra=takes(AnthropicPrompt, question={"messages": [HELLO]}),
    responses=errors(*BODY_ERRORS, body=AnthropicError),
)
async def count_tokens(
    state: State, body: Annotated[AnthropicPrompt, Depends(json_body(AnthropicPrompt))]
) -> CountedTokens:
    state.model_name(body.model)
    with in_own_terms(OWN_NAMES):
        return CountedTokens(input_tokens=len(await chat_prompt(as_chat(body), state)))


def check_length(prompt: Sequence[int], state: ServerState) -> None:
    """Raises ContextLengthError for a prompt that is longer than the context, in the words that this endpoint's clients
    look for before they shorten a conversation."""
    longest = state.engine.info.max_model_len
    if len(prompt) > longest:
        raise ContextLengthError(f"prompt is too long: {len(prompt)} tokens > {longest} maximum", param="messages")
