"""GET /health (the server lives), GET /ready (it can generate), GET /version"""

from fastapi import APIRouter
from starlette.responses import JSONResponse

import engine
from server.errors import NOT_READY_RETRY_SECONDS
from server.state import State

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/ready")
async def ready(state: State) -> JSONResponse:
    """`progress` is in [0, 1]: how much of the weights is in place."""
    status = state.engine.status
    content = {"status": status.phase, "progress": status.progress}
    if status.phase == "ready":
        return JSONResponse(content)
    return JSONResponse(content, 503, {"retry-after": str(NOT_READY_RETRY_SECONDS)})


@router.get("/version")
async def version() -> dict[str, str]:
    return {"version": engine.__version__}
