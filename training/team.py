"""Several processes that train one model: each reads its own batches, and all step by the mean of their gradients."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn


@dataclass(frozen=True, slots=True)
class Team:
    """`rank` is this process's number among `size`."""

    rank: int = 0
    size: int = 1

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Averages all gradients over the team in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        together /= self.size
        for gradient, mean in zip(gradients, together.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


ALONE = Team()


def join(rank: int, size: int, meeting: Path) -> Team:
    """Waits for the other processes. `meeting` is a file, not existing yet, by which they find each other."""
    distributed.init_process_group("gloo", init_method=f"file://{meeting.resolve()}", rank=rank, world_size=size)
    return Team(rank, size)
