"""POST /v1/responses; GET, DELETE /v1/responses/{id}; GET /v1/responses/{id}/input_items; POST …/{id}/cancel"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from engine.errors import CarouselError, RequestError
from server.admission import Admitted
from server.body import json_body
from server.body_memory import HeldBody
from server.logs import log_exception
from server.metering import RequestMeter
from server.openapi import GENERATION_ERRORS, asks, content, errors, streams, takes
from server.routes.answering import (
    WEATHER,
    admit,
    answer,
    as_much_as_fits,
    chat_answer,
    chat_prompt,
    identity,
    json_response,
    key_of,
    truncated_prompt,
)
from server.schemas import response as schema
from server.schemas.listed_items import InputItemList, ItemsQuery
from server.schemas.response_events import EVENTS
from server.schemas.response_request import ResponseRequest
from server.schemas.validation import validated
from server.state import ServerState, State
from server.translate.listed_items import item_list, with_name
from server.translate.own_terms import in_own_terms
from server.translate.response_request import OWN_NAMES, chat_request
from server.translate.responses import ResponseAnswer, past

router = APIRouter()

ResponseId = Annotated[str, Path(description="The name of an answer that is kept.", examples=["resp_1"])]
EXAMPLES: dict[str, dict[str, Any]] = {
    "question": {"input": "Who are you?", "max_output_tokens": 64},
    "stream": {"input": "Who are you?", "stream": True},
    "tools": {
        "input": "How is the weather in Paris?",
        "tools": [
            {"type": "function", **WEATHER},
        ],
    },
    "json": {"input": "Who are you?", "text": {"format": {"type": "json_object"}}},
}
EVENT = (
    '{"sequence_number":4,"item_id":"msg_5e0b6a1c","output_index":0,"type":"response.output_text.delta",'
    '"content_index":0,"delta":"I am","logprobs":[]}'
)


@router.post(
    "/v1/responses",
    tags=["Generation"],
    summary="Answer a conversation of items",
    response_model=None,
    openapi_extra=takes(ResponseRequest, **EXAMPLES),
    responses={**streams(schema.Response, EVENTS, EVENT, done=False), **errors(*GENERATION_ERRORS)},
)
async def create_response(
    request: Request, state: State, body: Annotated[ResponseRequest, Depends(json_body(ResponseRequest))]
) -> Response:
    named = identity("resp_", state.model_name(body.model), state)
    key, held = key_of(request), request.state.body
    items, size = state.responses.conversation(
        body.previous_response_id, body.input, key=key, most=state.settings.max_body_bytes
    )
    held.take(size)
    if body.store:
        items = [*map(with_name, items)]

    def keep(response: schema.Response) -> bool:
        return body.store and state.responses.keep(response, items, [*map(past, response.output)], key=key)

    with in_own_terms(OWN_NAMES):
        asked = chat_request(body, items)
        prompt = await (truncated_prompt if body.truncation == "auto" else chat_prompt)(asked, state)
        chat = await chat_answer(as_much_as_fits(asked, prompt, state), prompt, named, state)
        wanted = ResponseAnswer(named, body, chat, keep)
        if not body.background:
            return await answer(request, state, wanted, stream=body.stream, seconds=body.timeout)
        admitted = admit(request, state, wanted, seconds=body.timeout)
    begun = wanted.response("in_progress")
    try:
        state.responses.begin(begun, items, key=key)
    except CarouselError:
        admitted.close()
        raise
    meter: RequestMeter = request.state.meter
    meter.goes_on = held.goes_on = True
    meter.status = 200
    await state.background.start(begun.id, in_background(wanted, admitted, held, meter))
    return json_response(begun)


async def in_background(wanted: ResponseAnswer, admitted: Admitted, held: HeldBody, meter: RequestMeter) -> None:
    """Makes the answer, which is kept, whatever it comes to."""
    try:
        with admitted:
            await wanted.collect(admitted.events)
    except asyncio.CancelledError:
        wanted.cancel()
        raise
    except Exception as error:
        if not isinstance(error, CarouselError):
            log_exception(error)
        meter.failed(error)
        wanted.fail(error)
    finally:
        held.give_back()
        meter.finish()


@router.get(
    "/v1/responses/{response_id}",
    tags=["Responses"],
    summary="An answer that is kept",
    response_model=None,
    responses={200: {"description": "The answer.", "content": content(schema.Response)}, **errors(400, 404)},
)
async def retrieve_response(request: Request, state: State, response_id: ResponseId) -> Response:
    if request.query_params.get("stream", "false").lower() not in ("false", "0"):
        raise RequestError("stream: an answer that is kept is not streamed again", param="stream")
    return kept(request, state, response_id)


@router.delete("/v1/responses/{response_id}", tags=["Responses"], summary="Keep it no longer", responses=errors(404))
async def delete_response(request: Request, state: State, response_id: ResponseId) -> schema.DeletedResponse:
    state.responses.get(response_id, key=key_of(request))
    await state.background.cancel(response_id)
    state.responses.delete(response_id, key=key_of(request))
    return schema.DeletedResponse(id=response_id, object="response", deleted=True)


@router.get(
    "/v1/responses/{response_id}/input_items",
    tags=["Responses"],
    summary="What an answer was given",
    response_model=None,
    openapi_extra=asks(ItemsQuery),
    responses={200: {"description": "The items.", "content": content(InputItemList)}, **errors(400, 404)},
)
async def list_input_items(request: Request, state: State, response_id: ResponseId) -> Response:
    query = request.query_params
    include = [*query.getlist("include"), *query.getlist("include[]")]  # OpenAI's clients write the latter.
    asked = validated(ItemsQuery, {**query, "include": include})
    answered = state.responses.get(response_id, key=key_of(request))
    return json_response(item_list(answered.items[: answered.given], asked))


@router.post(
    "/v1/responses/{response_id}/cancel",
    tags=["Responses"],
    summary="End an answer in the background",
    response_model=None,
    responses={200: {"description": "The answer.", "content": content(schema.Response)}, **errors(400, 404)},
)
async def cancel_response(request: Request, state: State, response_id: ResponseId) -> Response:
    if not state.responses.get(response_id, key=key_of(request)).background:
        raise RequestError("only an answer that is made in the background can be cancelled")
    await state.background.cancel(response_id)
    return kept(request, state, response_id)


def kept(request: Request, state: ServerState, response_id: str) -> Response:
    body = state.responses.get(response_id, key=key_of(request)).body
    return Response(body, media_type="application/json")
