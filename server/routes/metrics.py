"""GET /metrics"""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from starlette.responses import PlainTextResponse

from server.state import State

router = APIRouter(tags=["Operation"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"description": "The metrics; all names begin with `carousel_`."}},
)
async def metrics(request: Request, state: State) -> Response:
    """In Prometheus' text format, or in OpenMetrics' if the client accepts it."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(state.metrics.registry), media_type=media_type)
