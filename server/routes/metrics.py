"""GET /metrics"""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from server.state import State

router = APIRouter()


@router.get("/metrics")
async def metrics(request: Request, state: State) -> Response:
    """In Prometheus' text format, or OpenMetrics' for whoever accepts that."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(state.metrics.registry), media_type=media_type)
