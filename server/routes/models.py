"""GET /v1/models, GET /v1/models/{id}"""

from fastapi import APIRouter

from server.schemas.models import Model, ModelList
from server.state import ServerState, State

router = APIRouter()


@router.get("/v1/models")
async def list_models(state: State) -> ModelList:
    return ModelList(data=[model(state, name) for name in state.settings.served_model_names])


@router.get("/v1/models/{model_id:path}")
async def retrieve_model(state: State, model_id: str) -> Model:
    return model(state, state.model_name(model_id))


def model(state: ServerState, name: str) -> Model:
    return Model(
        id=name,
        created=state.started,
        root=state.settings.served_model_names[0],
        max_model_len=state.max_model_len,
    )
