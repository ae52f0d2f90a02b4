"""Parts of the residual stream, and heads that see what stands so many places back."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from training.attention import Attention

LOOK_BACK, FAST = 7.0, 0.03
"""Size of the biases that look back, in the pairs that turn so fast: the right place gains 8 nats."""
SLOW = 2e-3
"""Position hardly turns the pairs that turn slower: in these, tokens are compared."""
NO_MATCH = 6.0
"""Sink of the heads that compare: what is not found is not attended to."""


def consecutive(start: int, widths: Sequence[int]) -> tuple[slice, ...]:
    """
    >>> consecutive(4, (2, 3))
    (slice(4, 6, None), slice(6, 9, None))
    """
    edges = itertools.accumulate(widths, initial=start)
    return tuple(slice(a, b) for a, b in itertools.pairwise(edges))


def width(part: slice) -> int:
    return int(part.stop - part.start)


def normal(generator: torch.Generator, *size: int) -> Tensor:
    return torch.randn(size, generator=generator)


def slow_dimensions(frequencies: Tensor) -> Tensor:
    """The dimensions of a head that are slow, first of each pair and then second."""
    slow = torch.nonzero(frequencies < SLOW).flatten()
    return torch.cat((slow, slow + len(frequencies)))


def by_head(weight: Tensor, head_dim: int) -> Tensor:
    """A view of a projection's weight or bias, [heads, head_dim, ...]."""
    return weight.view(-1, head_dim, *weight.shape[1:])


def heads_of(attention: Attention) -> Tensor:
    """What each head writes: a view of o_proj's weight, [hidden, heads, head_dim]."""
    return attention.o_proj.weight.view(attention.o_proj.out_features, -1, attention.head_dim)


def turn_eyes(attention: Attention, distances: tuple[int, ...], frequencies: Tensor, begin: int = 0) -> None:
    """Each head from `begin` on sees the token so many places back.

    Turned by position, a query a·(cos df, -sin df) and a key a·(1, 0) agree most where the key is d places back.
    """
    pairs, strength = len(frequencies), LOOK_BACK * (frequencies > FAST)
    heads, keys = attention.q_proj.bias.view(-1, 2, pairs), attention.k_proj.bias.view(-1, 2, pairs)
    group = len(heads) // len(keys)
    keys[begin // group : (begin + len(distances)) // group, 0] = strength
    for head, distance in enumerate(distances, begin):
        heads[head, 0] = strength * (distance * frequencies).cos()
        heads[head, 1] = -strength * (distance * frequencies).sin()
