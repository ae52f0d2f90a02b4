"""GET /v1/models, GET /v1/models/{id}"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path

from engine.streams import EngineInfo
from server.openapi import errors
from server.schemas.models import Capacity, Model, ModelList
from server.state import ServerState, State

router = APIRouter(tags=["Models"])

ModelId = Annotated[str, Path(description="A name of the served model.", examples=["embedded"])]


@router.get("/v1/models", summary="The model's names")
async def list_models(state: State) -> ModelList:
    names = state.settings.served_model_names
    return ModelList(data=[model(state, name) for name in names], first_id=names[0], last_id=names[-1])


@router.get("/v1/models/{model_id:path}", summary="The model under one of its names", responses=errors(404))
async def retrieve_model(state: State, model_id: ModelId) -> Model:
    return model(state, state.model_name(model_id))


def model(state: ServerState, name: str) -> Model:
    info = state.info
    return Model(
        id=name,
        created=state.started,
        display_name=name,
        created_at=datetime.fromtimestamp(state.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        root=state.settings.served_model_names[0],
        max_model_len=None if info is None else info.max_model_len,
        capacity=None if info is None else capacity(info),
    )


def capacity(info: EngineInfo) -> Capacity:
    return Capacity(
        slots=info.max_num_seqs,
        kv_cache_bytes=info.kv_cache_bytes,
        kv_token_bytes=info.kv_token_bytes,
        kv_ring_bytes=info.kv_ring_bytes,
        page_tokens=info.page_size,
        weights_bytes=info.weights_bytes,
    )
