"""GET /health and /ping (the server is alive), GET /ready (it can generate), GET /version"""

from fastapi import APIRouter, Response

import engine
from server.error_answers import NOT_READY_RETRY_SECONDS
from server.openapi import RETRY_AFTER, content
from server.schemas.health import Health, Readiness, Version
from server.state import State

router = APIRouter(tags=["Operation"])


@router.get("/health", summary="Whether the server is alive")
@router.get("/ping", summary="Whether the server is alive, for SageMaker and some load balancers")
async def health() -> Health:
    return Health()


@router.get(
    "/ready",
    summary="Whether the server can generate",
    responses={503: {"description": "The engine is not ready.", "headers": RETRY_AFTER, "content": content(Readiness)}},
)
async def ready(state: State, response: Response) -> Readiness:
    status = state.admission.status
    if status.phase != "ready":
        response.status_code = 503
        response.headers["retry-after"] = str(NOT_READY_RETRY_SECONDS)
    return Readiness(status=status.phase, progress=status.progress, message=status.message)


@router.get("/version", summary="The version of Carousel")
async def version() -> Version:
    return Version(version=engine.__version__)
