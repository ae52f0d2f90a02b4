"""How an endpoint that generates answers: submitted once, then streamed or collected."""

from collections.abc import AsyncGenerator, Sequence
from time import perf_counter, time
from typing import Protocol
from uuid import uuid4

from fastapi import Request, Response
from pydantic import BaseModel

from engine import request as engine_request
from engine.streams import EventStream
from server.disconnect import until_disconnect
from server.metering import Measured, RequestMeter
from server.sse import EventSourceResponse
from server.state import ServerState
from server.translate.answer import Identity


class Answer(Measured, Protocol):
    """What `server.translate` makes of a request's body."""

    @property
    def requests(self) -> Sequence[engine_request.Request]: ...

    def stream(self, events: EventStream) -> AsyncGenerator[str, None]: ...

    async def collect(self, events: EventStream) -> BaseModel: ...


def identity(prefix: str, model: str, state: ServerState) -> Identity:
    return Identity(
        id=f"{prefix}-{uuid4().hex}",
        created=int(time()),
        model=model,
        system_fingerprint=state.system_fingerprint,
    )


async def answer(
    request: Request, state: ServerState, wanted: Answer, *, stream: bool, seconds: float | None
) -> Response:
    """Raises what is refused before anything is sent. A client that leaves ends its requests.

    `seconds` is the time the request asked for.
    """
    meter: RequestMeter = request.state.meter
    admitted = state.admission.submit(
        wanted.requests,
        key=getattr(request.state, "key", 0),
        timeout=seconds,
        elapsed=perf_counter() - meter.began,
    )
    meter.follow(wanted, admitted.events)
    if stream:
        return EventSourceResponse(
            wanted.stream(admitted.events),
            on_error=meter.failed,
            on_close=admitted.close,
            ping_seconds=state.settings.ping_seconds,
        )
    with admitted:
        whole = await until_disconnect(request.receive, wanted.collect(admitted.events))
    return json_response(whole)


def json_response(content: BaseModel) -> Response:
    """Only the fields that were set are sent."""
    return Response(content.model_dump_json(exclude_unset=True), media_type="application/json")
