"""Makes a trained model larger: deeper, wider, with twice the heads. The new parts write nothing at first.

Attention and experts add to the residual stream through `o_proj` and `down_proj`. New layers and heads are copies with
these at zero, so that the larger model computes exactly what the smaller one does, and new heads already look at useful
places (compare the stacking of Gong et al., ICML 2019, where copies write from the start). A wider residual stream
begins with zeros in its new part, which nothing reads.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from training.config import Shape
from training.model import GptOss

SPEAKS = ("o_proj.weight", "o_proj.bias", "down_proj", "down_proj_bias")
WRITES = ("o_proj.weight", "down_proj")
"""Matrices whose rows, not columns, correspond to the residual stream."""
OF_HEADS = ("q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "sinks")
NOT_OF_HIDDEN = (*OF_HEADS[1::2], "sinks", "router.bias", "gate_up_proj_bias")


def with_heads_twice(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Heads 4 to 7 of eight become copies of heads 0 to 3 of four, with copies of their keys and values."""
    grown = dict(weights)
    for name, tensor in weights.items():
        if name.endswith(OF_HEADS):
            grown[name] = torch.cat((tensor, tensor))
        elif name.endswith("o_proj.weight"):
            grown[name] = torch.cat((tensor, torch.zeros_like(tensor)), 1)
    return grown


def wider(weights: Mapping[str, Tensor], more: int) -> dict[str, Tensor]:
    """Adds `more` zeros to the residual stream. The norms' weights make up for the mean over more entries."""
    grown = dict(weights)
    for name, tensor in weights.items():
        if name.endswith("norm.weight"):
            share = len(tensor) / (len(tensor) + more)
            grown[name] = functional.pad(tensor, (0, more), value=1.0) * share**0.5
        elif name.endswith(WRITES):
            grown[name] = functional.pad(tensor, (0, 0, 0, more))
        elif not name.endswith(NOT_OF_HIDDEN):
            grown[name] = functional.pad(tensor, (0, more))
    return grown


def deeper(weights: Mapping[str, Tensor], old: int, new: int) -> dict[str, Tensor]:
    """If four layers grow to six, layers 4 and 5 are copies of 2 and 3: sliding stays sliding, full stays full."""
    grown = dict(weights)
    for layer in range(old, new):
        source = f"model.layers.{old - 2 + (layer - old) % 2}."
        for name, tensor in weights.items():
            if name.startswith(source):
                copy = torch.zeros_like(tensor) if name.endswith(SPEAKS) else tensor
                grown[f"model.layers.{layer}.{name.removeprefix(source)}"] = copy
    return grown


def grown(model: GptOss, shape: Shape) -> GptOss:
    """`model` grown to `shape`, which may have an even number more layers, more width and twice the heads.

    Raises ValueError if `shape` differs in another way.
    """
    old, weights = model.shape, dict(model.state_dict())
    if shape.num_layers < old.num_layers or (shape.num_layers - old.num_layers) % 2 or old.num_layers < 2:
        raise ValueError(f"{old.num_layers} layers cannot grow to {shape.num_layers}, only by an even number")
    if (shape.num_heads, shape.num_kv_heads) == (2 * old.num_heads, 2 * old.num_kv_heads):
        weights = with_heads_twice(weights)
    if shape.hidden_size > old.hidden_size:
        weights = wider(weights, shape.hidden_size - old.hidden_size)
    result = GptOss(shape)
    try:
        result.load_state_dict(deeper(weights, old.num_layers, shape.num_layers))
    except RuntimeError as error:
        raise ValueError(f"the model to start from has another shape: {error}") from error
    return result
