"""`/v1/models`."""

from typing import Literal

from pydantic import BaseModel


class Model(BaseModel):
    """`root` is the first name of the checkpoint served; `max_model_len` is in tokens."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "carousel"
    root: str
    max_model_len: int | None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
