"""A trained model made deeper: the new layers begin as copies of the last ones that do not speak yet.

What a layer adds to the residual stream comes from `o_proj` and `down_proj`. With these at zero a deeper model says
exactly what the one it came from says, and its new layers already look where useful things stand (compare the stacking
of Gong et al., ICML 2019, where copies speak from the start).
"""

import torch

from training.config import Shape
from training.model import GptOss

SPEAKS = ("o_proj.weight", "o_proj.bias", "down_proj", "down_proj_bias")


def grown(model: GptOss, shape: Shape) -> GptOss:
    """`model` in `shape`, which has as many layers or an even number more: sliding stays sliding, full stays full.

    Of four layers grown to six, layers 4 and 5 are copies of 2 and 3. Raises ValueError where something else differs.
    """
    old, new = model.shape.num_layers, shape.num_layers
    if new < old or (new - old) % 2 or old < 2:
        raise ValueError(f"{old} layers do not grow to {new}: only by an even number")
    weights = dict(model.state_dict())
    for layer in range(old, new):
        source = f"model.layers.{old - 2 + (layer - old) % 2}."
        for name, tensor in model.state_dict().items():
            if name.startswith(source):
                copy = torch.zeros_like(tensor) if name.endswith(SPEAKS) else tensor
                weights[f"model.layers.{layer}.{name.removeprefix(source)}"] = copy
    result = GptOss(shape)
    try:
        result.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the model to begin with has another shape: {error}") from error
    return result
