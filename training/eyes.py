"""Parts of the residual stream, and heads that attend to the token a fixed number of places back."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from training.attention import Attention

LOOK_BACK, FAST = 7.0, 0.03
"""Size of the biases that look back, and how fast the pairs with them turn: the right place gains 8 nats."""
SLOW = 2e-3
"""Pairs that turn slower than this hardly depend on position: tokens are compared in them."""
NO_MATCH = 6.0
"""Sink of the heads that compare: without a match they attend to nothing."""


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
    """A head's slow dimensions: the first of each pair, then the second."""
    slow = torch.nonzero(frequencies < SLOW).flatten()
    return torch.cat((slow, slow + len(frequencies)))


def by_head(weight: Tensor, head_dim: int) -> Tensor:
    """A view of a projection's weight or bias, [heads, head_dim, ...]."""
    return weight.view(-1, head_dim, *weight.shape[1:])


def heads_of(attention: Attention) -> Tensor:
    """The weights by which each head writes: a view of o_proj's weight, [hidden, heads, head_dim]."""
    return attention.o_proj.weight.view(attention.o_proj.out_features, -1, attention.head_dim)


def turn_eyes(attention: Attention, distances: tuple[int, ...], frequencies: Tensor, begin: int = 0) -> None:
    """Makes each head from `begin` on attend to the token at its distance back.

    Turned by position, a query a·(cos df, -sin df) and a key a·(1, 0) agree most if the key is d places back.
    """
    pairs, strength = len(frequencies), LOOK_BACK * (frequencies > FAST)
    heads, keys = attention.q_proj.bias.view(-1, 2, pairs), attention.k_proj.bias.view(-1, 2, pairs)
    group = len(heads) // len(keys)
    keys[begin // group : (begin + len(distances)) // group, 0] = strength
    for head, distance in enumerate(distances, begin):
        heads[head, 0] = strength * (distance * frequencies).cos()
        heads[head, 1] = -strength * (distance * frequencies).sin()
