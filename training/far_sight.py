"""Heads 4 to 7 of eight, which look farther back than the first four, in a new model or in one that has grown.

The word that tells one function's definition from another's is more than four tokens back, before ".", the line's end
and "type": a name is found by comparing the token six places back with the token seven places before the key.
"""

import torch
from torch import Tensor

from training.attention import Attention
from training.eyes import NO_MATCH, by_head, heads_of, normal, slow_dimensions, turn_eyes, width
from training.model import GptOss

DISTANCES = (5, 6, 7, 8)
DEVIATION = 0.3
"""Standard deviation of the values that the first layer writes."""
MATCH = 16.0
"""Size of a query times a key where tokens are compared."""
NEW_HEADS, NEW_KEYS = slice(4, 8), slice(2, 4)


@torch.no_grad()
def look_farther(model: GptOss, seen: slice, far: tuple[slice, ...], generator: torch.Generator) -> None:
    """The first layer's new heads write the tokens 5 to 8 places back, as codes of `seen`, into the parts `far` of the
    residual stream. The second layer's new heads compare these, but do not write what they find yet.

    In the layers above, new heads read the new parts a little, or they would never learn to compare them.
    """
    codes = normal(generator, model.shape.head_dim, width(seen)) / model.shape.hidden_size**0.5
    for number, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        assert isinstance(attention, Attention)
        queries = by_head(attention.q_proj.weight, attention.head_dim)[NEW_HEADS]
        keys = by_head(attention.k_proj.weight, attention.head_dim)[NEW_KEYS]
        if number > 1:
            for rows in (queries[:, :, far[0].start : far[-1].stop], keys[:, :, far[0].start : far[-1].stop]):
                rows.copy_(normal(generator, *rows.shape) * model.shape.initializer_range)
            continue
        by_head(attention.q_proj.bias, attention.head_dim)[NEW_HEADS] = 0
        by_head(attention.k_proj.bias, attention.head_dim)[NEW_KEYS] = 0
        queries.zero_()
        keys.zero_()
        if number == 0:
            norm = layer.get_parameter("input_layernorm.weight")
            write_far(attention, codes / norm[seen], seen, far, model.model.frequencies)
        else:
            compare_far(attention, queries, keys, far, slow_dimensions(model.model.frequencies))


def write_far(attention: Attention, codes: Tensor, seen: slice, far: tuple[slice, ...], frequencies: Tensor) -> None:
    turn_eyes(attention, DISTANCES, frequencies, begin=NEW_HEADS.start)
    attention.sinks[NEW_HEADS] = 0
    values = by_head(attention.v_proj.weight, attention.head_dim)[NEW_KEYS]
    values.zero_()
    values[:, :, seen] = codes
    by_head(attention.v_proj.bias, attention.head_dim)[NEW_KEYS] = 0
    for head, part in enumerate(far, NEW_HEADS.start):
        heads_of(attention)[part, head, : width(part)] = torch.eye(width(part)) * DEVIATION


def compare_far(attention: Attention, queries: Tensor, keys: Tensor, far: tuple[slice, ...], slow: Tensor) -> None:
    """Compares the token six places back with the one seven before the key, and five with six, in two heads each."""
    five, six, seven, _ = far
    attention.sinks[NEW_HEADS] = NO_MATCH
    heads_of(attention)[:, NEW_HEADS] = 0
    dimensions = slow[: width(five)]
    compared = (
        (keys[0], seven),
        (queries[0], six),
        (queries[1], six),
        (keys[1], six),
        (queries[2], five),
        (queries[3], five),
    )
    for rows, part in compared:
        rows[dimensions, part.start : part.start + len(dimensions)] = torch.eye(len(dimensions)) * MATCH**0.5
