"""The weights that training begins with: random, but with heads that see the tokens just before and find them again.

To copy, a model needs two layers that work together: one tells every position which tokens came before it, the next
looks for an earlier position with the same tokens before it and outputs the token there (induction heads, Olsson et
al., arXiv 2209.11895). A small model that must find this by itself spends most of its training on it, and every task of
this model rests on copying. So the residual stream is divided as follows, and the first two layers start as such a
pair; training is free to change every weight.

    content      what the token is
    back 1 … 4   what the tokens 1 to 4 places back are, written by the first layer
    said         what the second layer's heads found, read by the output
    far 5 … 8    with eight heads, what the tokens 5 to 8 places back are (far_sight.py)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.attention import Attention
from training.config import Shape
from training.eyes import NO_MATCH, by_head, consecutive, heads_of, normal, slow_dimensions, turn_eyes, width
from training.far_sight import look_farther
from training.model import GptOss

DEVIATION = 0.5
"""Standard deviation of the entries of the residual stream's parts."""
MATCH = 4.0
"""Size of a query times a key where tokens are compared: a match gains about 14 nats."""
COPY_LOGIT = 0.3
VOICES = (1.0, 0.3, 0.5, 0.3)
"""How strongly each comparing head writes."""
DISTANCES, FARTHER = (1, 2, 3, 4), (3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Parts:
    """Slices of the residual stream.

    Of 224 with eight heads: content has 48, the tokens before 24, 24, 16 and 16, said 32, the tokens far back 4 · 16.
    """

    content: slice
    back: tuple[slice, ...]
    said: slice
    far: tuple[slice, ...]

    @staticmethod
    def of(shape: Shape) -> "Parts":
        far = shape.hidden_size // 14 if shape.num_heads >= 8 and shape.num_kv_heads >= 4 else 0
        near = shape.hidden_size - 4 * far
        widths = (*(near * share // 20 for share in (3, 3, 2, 2)), near // 5)
        first, *back, said = consecutive(0, (near - sum(widths), *widths))
        return Parts(first, tuple(back), said, consecutive(near, (far,) * 4))


@torch.no_grad()
def initialise(model: GptOss, seed: int) -> None:
    """Sets every weight of `model`. Matrices that write the residual stream are scaled by 1/sqrt(2·layers) (GPT-2)."""
    shape, generator = model.shape, torch.Generator().manual_seed(seed)
    residual_scale = (2 * shape.num_layers) ** -0.5
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or parameter.dim() == 1:
            parameter.fill_(1.0 if "norm" in name else 0.0)
            continue
        writes = "o_proj" in name or "down_proj" in name
        parameter.normal_(0.0, shape.initializer_range * (residual_scale if writes else 1.0), generator=generator)
    if shape.num_layers < 2 or shape.num_heads < 4 or shape.num_kv_heads < 2:
        return
    parts = Parts.of(shape)
    embedding = model.model.embed_tokens.weight
    embedding[:, parts.content] = DEVIATION * normal(generator, len(embedding), width(parts.content))
    first, second = (model.model.layers[i].self_attn for i in (0, 1))
    assert isinstance(first, Attention)
    assert isinstance(second, Attention)
    codes = normal(generator, shape.head_dim, width(parts.content)) / width(parts.content) ** 0.5
    look_back(first, parts, codes, model.model.frequencies)
    if shape.num_layers > 2:
        third = model.model.layers[2].self_attn
        assert isinstance(third, Attention)
        turn_eyes(third, FARTHER, model.model.frequencies)
    find_and_copy(second, model, parts, codes)
    if width(parts.far[0]):
        look_farther(model, parts.content, parts.far, generator)


def look_back(attention: Attention, parts: Parts, codes: Tensor, frequencies: Tensor) -> None:
    """Makes the heads see the tokens 1 to 4 places back and write their codes."""
    turn_eyes(attention, DISTANCES, frequencies)
    values = by_head(attention.v_proj.weight, attention.head_dim)
    values[:] = 0
    values[:, :, parts.content] = codes
    output = heads_of(attention)
    normed = (attention.o_proj.out_features / width(parts.content)) ** 0.5
    for head, part in enumerate(parts.back):
        output[:, head] = 0
        output[part, head, : width(part)] = torch.eye(width(part)) * DEVIATION / normed


def find_and_copy(attention: Attention, model: GptOss, parts: Parts, codes: Tensor) -> None:
    """Makes the heads find an earlier place after the same tokens and write the token there.

    Tokens are compared in the pairs that position hardly turns. Two heads compare one token, the current one or the one
    before it, with the token before the key. Two compare two tokens, the last two or every other of the last four (as
    in a numbered list of letters), with the two before the key.
    """
    wide = slow_dimensions(model.model.frequencies)[: min(width(part) for part in parts.back[:2])]
    half = len(wide) // 2
    size = MATCH**0.5
    content, (one, two, three, _) = parts.content, parts.back
    queries = by_head(attention.q_proj.weight, attention.head_dim)
    keys = by_head(attention.k_proj.weight, attention.head_dim)
    eye = torch.eye(len(wide)) * size

    def compare(rows: Tensor, row: slice, part: slice) -> None:
        dimensions = wide[row]
        if part is content:
            rows[dimensions, part] = codes[: len(dimensions)] * size
        else:
            rows[dimensions, part.start : part.start + len(dimensions)] = eye[: len(dimensions), : len(dimensions)]

    whole, left, right = slice(0, len(wide)), slice(0, half), slice(half, 2 * half)
    compared = (
        (keys[0], left, one), (keys[0], right, two),
        (queries[0], left, content), (queries[0], right, one),
        (queries[1], left, one), (queries[1], right, three),
        (keys[1], whole, one), (queries[2], whole, content), (queries[3], whole, one),
    )  # fmt: skip
    for rows, row, part in compared:
        compare(rows, row, part)
    attention.sinks[:4] = NO_MATCH

    values = by_head(attention.v_proj.weight, attention.head_dim)
    values[:] = 0
    said = min(width(parts.said), attention.head_dim)
    values[:, :said, content] = codes[:said]
    output = heads_of(attention)
    for head in range(len(VOICES)):
        output[:, head] = 0
        output[parts.said.start : parts.said.start + said, head, :said] = torch.eye(said) * DEVIATION * VOICES[head]
    embedding = model.model.embed_tokens.weight[:, content]
    spoken = embedding @ codes[:said].T
    model.lm_head.weight[:, parts.said.start : parts.said.start + said] = COPY_LOGIT * spoken / spoken.std()
