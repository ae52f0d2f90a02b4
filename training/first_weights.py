"""The weights that training begins with: random, but with eyes for what stood just before and for where it stood.

To copy, a model needs two layers that work together: one tells every position which tokens came before it, the next
looks for an earlier position with the same tokens before it and says what stood there (induction heads, Olsson et
al., arXiv 2209.11895). A small model that must find this by itself spends most of its training on it, and all that is
asked of ours rests on copying. So the residual stream is shared out as follows, and the first two layers start as such
a pair; every number is free to move from there.

    content      what the token is
    back 1 … 4   what the tokens 1 to 4 places back are, written by the first layer
    said         what the second layer's heads found, read by the output
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.attention import Attention
from training.config import Shape
from training.model import GptOss

DEVIATION = 0.5
"""Of every entry of the residual stream's parts."""
LOOK_BACK, FAST = 7.0, 0.03
"""Size of the biases that look back, in the pairs that turn so fast: the right place gains 8 nats."""
MATCH = 4.0
"""Size of queries times keys where tokens are compared: a match gains about 14 nats."""
NO_MATCH = 6.0
"""Sink of the heads that compare: what is not found is not attended to."""
COPY_LOGIT = 0.3
VOICES = (1.0, 0.3, 0.5, 0.3)
"""How much each comparing head has to say."""
DISTANCES, FARTHER = (1, 2, 3, 4), (3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Parts:
    """Slices of the residual stream. Of 160: 48 of content, 24, 24, 16 and 16 of the tokens before, 32 said."""

    content: slice
    back: tuple[slice, ...]
    said: slice

    @staticmethod
    def of(shape: Shape) -> "Parts":
        hidden = shape.hidden_size
        widths = (*(hidden * share // 20 for share in (3, 3, 2, 2)), hidden // 5)
        edges = [hidden - sum(widths)]
        for width in widths:
            edges.append(edges[-1] + width)
        first, *rest = (slice(a, b) for a, b in zip((0, *edges), edges, strict=False))
        return Parts(first, tuple(rest[:-1]), rest[-1])


def normal(generator: torch.Generator, *size: int) -> Tensor:
    return torch.randn(size, generator=generator)


def width(part: slice) -> int:
    return int(part.stop - part.start)


@torch.no_grad()
def initialise(model: GptOss, seed: int) -> None:
    """Sets every weight of `model`. What writes into the residual stream is scaled by 1/sqrt(2·layers) (GPT-2)."""
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
    find_and_copy(second, model, parts, codes, generator)


def turn_eyes(attention: Attention, distances: tuple[int, ...], frequencies: Tensor) -> None:
    """Each head sees the token so many places back.

    Turned by position, a query a·(cos df, -sin df) and a key a·(1, 0) agree most where the key is d places back.
    """
    pairs, strength = len(frequencies), LOOK_BACK * (frequencies > FAST)
    attention.k_proj.bias.view(-1, 2, pairs)[:, 0] = strength
    heads = attention.q_proj.bias.view(-1, 2, pairs)
    for head, distance in enumerate(distances):
        heads[head, 0] = strength * (distance * frequencies).cos()
        heads[head, 1] = -strength * (distance * frequencies).sin()


def look_back(attention: Attention, parts: Parts, codes: Tensor, frequencies: Tensor) -> None:
    """Heads that see the tokens 1 to 4 places back and write their codes."""
    turn_eyes(attention, DISTANCES, frequencies)
    pairs = len(frequencies)
    values = attention.v_proj.weight.view(-1, 2 * pairs, attention.v_proj.in_features)
    values[:] = 0
    values[:, :, parts.content] = codes
    output = attention.o_proj.weight.view(attention.o_proj.out_features, -1, 2 * pairs)
    normed = (attention.o_proj.out_features / width(parts.content)) ** 0.5
    for head, part in enumerate(parts.back):
        output[:, head] = 0
        output[part, head, : width(part)] = torch.eye(width(part)) * DEVIATION / normed


def find_and_copy(attention: Attention, model: GptOss, parts: Parts, codes: Tensor, generator: torch.Generator) -> None:
    """Heads that find where the same tokens stood before and say what came there.

    Tokens are compared in the pairs that position hardly turns. Two heads compare one token: the current one, or the
    one before it, with the one before the key. Two compare two: the last two, or every other of the last four, as in
    a numbered list of letters, with the two before the key.
    """
    slow = torch.nonzero(model.model.frequencies < 2e-3).flatten()
    pairs = len(model.model.frequencies)
    wide = torch.cat((slow, slow + pairs))[: min(width(part) for part in parts.back[:2])]
    half = len(wide) // 2
    size = MATCH**0.5
    content, (one, two, three, _) = parts.content, parts.back
    queries = attention.q_proj.weight.view(-1, 2 * pairs, attention.q_proj.in_features)
    keys = attention.k_proj.weight.view(-1, 2 * pairs, attention.k_proj.in_features)
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

    values = attention.v_proj.weight.view(-1, 2 * pairs, attention.v_proj.in_features)
    values[:] = 0
    said = min(width(parts.said), 2 * pairs)
    values[:, :said, content] = codes[:said]
    output = attention.o_proj.weight.view(attention.o_proj.out_features, -1, 2 * pairs)
    for head in range(len(VOICES)):
        output[:, head] = 0
        output[parts.said.start : parts.said.start + said, head, :said] = torch.eye(said) * DEVIATION * VOICES[head]
    embedding = model.model.embed_tokens.weight[:, content]
    spoken = embedding @ codes[:said].T
    model.lm_head.weight[:, parts.said.start : parts.said.start + said] = COPY_LOGIT * spoken / spoken.std()
