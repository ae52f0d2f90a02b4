"""Keys and values of some of a model's layers, in slots that requests share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.config import ModelConfig


class LayerCache:
    """Keys and values [layers, slots, kv_heads, head_dim] of the given model layers, uninitialised."""

    def __init__(
        self, config: ModelConfig, layers: Sequence[int], slots: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (len(layers), slots, config.num_kv_heads, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self._index = {layer: i for i, layer in enumerate(layers)}

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """The keys and values of one model layer, flat [slots, kv_heads, head_dim]."""
        index = self._index[layer]
        return self.keys[index], self.values[index]
