"""A model that fails on purpose, for tests: at the tokens of its `FaultPlan`."""

from dataclasses import replace
from threading import Event
from time import sleep
from typing import NoReturn

import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.config import FaultPlan, ModelConfig
from engine.kernels.ragged import RaggedBatch
from engine.kernels.table import Ops
from engine.model.gpt_oss import GptOss
from engine.model.weights import Weights

MORE_THAN_THERE_IS = 2**60


class FaultyModel(GptOss):
    """The real model, except in steps that run a token of the plan."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops, plan: FaultPlan) -> None:
        super().__init__(config, weights, ops)
        self.plan = plan

    def forward(self, batch: RaggedBatch, rings: RollingCache, pages: PagedCache) -> Tensor:
        step = set(batch.token_ids.tolist())
        if self.plan.delays in step:
            sleep(self.plan.delay_seconds)
        if self.plan.hangs in step:
            hang()
        if self.plan.spoils is not None:
            # Its rotation is NaN, and so is its key in every cache, and whatever attends to that.
            cos = batch.cos.masked_fill((batch.token_ids == self.plan.spoils)[:, None], torch.nan)
            batch = replace(batch, cos=cos)
        hidden = super().forward(batch, rings, pages)
        if self.plan.raises in step:  # The caches are already written: the worst moment.
            raise RuntimeError("a fault on purpose")
        if self.plan.exhausts in step:
            torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8, device=batch.token_ids.device)
        return hidden


def hang() -> NoReturn:
    """Blocks until the process is killed."""
    Event().wait()
    raise AssertionError
