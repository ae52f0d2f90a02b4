"""The op table: what the model calls, and which implementation answers.

Every op that has, or will have, a kernel of its own stands in a file of this folder with its plain torch reference;
the model knows only this table. A faster implementation is another row of `select_ops`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.kernels.experts import mix_experts
from engine.kernels.norm_linear import linear_add, norm_linear
from engine.kernels.paged_attention import paged_attention
from engine.kernels.ring_attention import ring_attention
from engine.kernels.router import route


@dataclass(frozen=True, slots=True)
class Ops:
    """One implementation of every op; the signatures are those of the references."""

    norm_linear: Callable[..., Tensor]
    ring_attention: Callable[..., Tensor]
    paged_attention: Callable[..., Tensor]
    linear_add: Callable[..., Tensor]
    route: Callable[..., tuple[Tensor, Tensor, Tensor]]
    mix_experts: Callable[..., Tensor]


REFERENCE = Ops(
    norm_linear=norm_linear,
    ring_attention=ring_attention,
    paged_attention=paged_attention,
    linear_add=linear_add,
    route=route,
    mix_experts=mix_experts,
)


def select_ops(device: torch.device) -> Ops:
    """The ops to run on `device`: the references everywhere, until a device has kernels of its own."""
    del device
    return REFERENCE
